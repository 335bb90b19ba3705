"""The ledger's arithmetic: what enters each stage has a row there, and not too much of it has failed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.pipeline.files import read_parquet, write_parquet
from syncdiff.pipeline.ledger import LEDGER_COLUMNS, count_reasons, stop_if_too_many_failed

log = logging.getLogger(__name__)


def check_ledgers(config: Config, folder: Path, splits: Collection[str], out: Path, stage: str | None = None) -> None:
    """Check the ledgers of all stages up to the shards, or of one that follows, and write them as one.

    Args:
        config: reads `max_failed_fraction` and which speech features there are.
        folder: of the corpus, with plan/ and <split>/<stage>/.
        splits: those that are prepared.
        out: parquet: clip, stage, status, reason, split.
        stage: one that follows the shards (`latents`), instead of those up to them.

    Raises:
        UserError: a ledger is missing or damaged; a clip entered a stage and has no row there, or two, or has one and
            did not enter; more than `max_failed_fraction` of a stage's clips have failed; nothing is left of a split.
    """
    plan = read_parquet(folder / "plan/clips.parquet", *LEDGER_COLUMNS, "split", "shard")
    planned = plan[(plan["status"] == "ok") & plan["split"].isin(splits)]
    shards = sorted(set(zip(planned["split"], planned["shard"], strict=True)))
    ledgers: list[pd.DataFrame] = [] if stage else [plan]
    for split, shard in shards:
        clips = planned.loc[(planned["split"] == split) & (planned["shard"] == shard), "clip"]
        if stage:
            ledgers.append(_after_shards(folder / split, shard, stage))
        else:
            ledgers += _of_shard(folder / split, shard, set(clips), config.speech.feature_set)
    whole = pd.concat([plan.head(0), *ledgers], ignore_index=True)[[*LEDGER_COLUMNS, "split"]]
    for name, rows in whole.groupby("stage", sort=False):
        counts = rows["status"].value_counts()
        log.info("%s: %d in, %s", name, len(rows), ", ".join(f"{n} {status}" for status, n in counts.items()))
        stop_if_too_many_failed(str(name), rows, config.max_failed_fraction)
    for split in splits:
        _stop_if_nothing_is_left(split, whole[whole["split"] == split], stage or "shards")
    write_parquet(out, whole)


def _of_shard(split: Path, shard: str, planned: set[str], feature_set: str) -> Iterator[pd.DataFrame]:
    """Yield the ledgers of one shard, stage by stage; what a stage lets through must have entered the next ones.

    The plan's rows are files, of which each gives one clip or several: those are what enters the other stages.
    """
    faces = _checked(split / f"faces/{shard}.parquet", planned, of="file")
    yield faces.assign(split=split.name)
    passed = _passed(faces)
    for stage in ("priors", f"speech/{feature_set}", "shards"):
        yield _checked(split / f"{stage}/{shard}.parquet", passed).assign(split=split.name)


def _after_shards(split: Path, shard: str, stage: str) -> pd.DataFrame:
    """Return the ledger of a stage that reads a joined shard."""
    packed = _passed(read_parquet(split / f"shards/{shard}.parquet", *LEDGER_COLUMNS))
    return _checked(split / f"{stage}/{shard}.parquet", packed).assign(split=split.name)


def _passed(ledger: pd.DataFrame) -> set[str]:
    return set(ledger.loc[ledger["status"] == "ok", "clip"])


def _checked(path: Path, entered: set[str], of: str = "clip") -> pd.DataFrame:
    """Read a ledger whose rows are those of what entered, each clip once; a file may have given several clips."""
    ledger = read_parquet(path, *LEDGER_COLUMNS, of)
    twice = set(ledger.loc[ledger["clip"].duplicated(), "clip"])
    if odd := entered.symmetric_difference(ledger[of]) | twice:
        raise UserError(
            f"{path}: {len(entered)} {of}s entered and {len(ledger)} rows are there (see {min(odd)}); "
            "delete it and run again"
        )
    return ledger


def _stop_if_nothing_is_left(split: str, rows: pd.DataFrame, last: str) -> None:
    if len(rows) and not ((rows["stage"] == last) & (rows["status"] == "ok")).any():
        raise UserError(
            f"{split}: none of {rows['clip'].nunique()} clips is left ({count_reasons(rows)}); "
            "mend the cause or give other clips, and run again"
        )
