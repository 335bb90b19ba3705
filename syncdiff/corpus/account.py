"""The ledger's arithmetic: what enters each stage has a row there, and not too much of it has failed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from syncdiff.artifacts import LEDGER_COLUMNS, read_parquet, write_parquet
from syncdiff.config import Config
from syncdiff.errors import UserError


def account(config: Config, folder: Path, splits: Collection[str], out: Path) -> None:
    """Check the ledgers of all stages up to the shards, and write them as one.

    Args:
        config: reads `max_failed_fraction` and which speech features there are.
        folder: of the corpus, with plan/ and <split>/<stage>/.
        splits: those that are prepared.
        out: parquet: clip, stage, status, reason, split.

    Raises:
        UserError: a ledger is missing or damaged; a clip entered a stage and has no row there, or two, or has one and
            did not enter; more than `max_failed_fraction` of a stage's clips have failed.
    """
    plan = read_parquet(folder / "plan/clips.parquet", *LEDGER_COLUMNS, "split", "shard")
    planned = plan[(plan["status"] == "ok") & plan["split"].isin(splits)]
    shards = sorted(set(zip(planned["split"], planned["shard"], strict=True)))
    ledgers: list[pd.DataFrame] = []
    for split, shard in shards:
        clips = planned.loc[(planned["split"] == split) & (planned["shard"] == shard), "clip"]
        ledgers += _of_shard(folder / split, shard, set(clips), config.speech.feature_set)
    whole = pd.concat([plan, *ledgers], ignore_index=True)[[*LEDGER_COLUMNS, "split"]]
    for stage, rows in whole.groupby("stage", sort=False):
        counts = rows["status"].value_counts()
        print(f"{stage}: {len(rows)} in, {', '.join(f'{n} {status}' for status, n in counts.items())}")
        _stop_if_too_many_failed(str(stage), rows, config.max_failed_fraction)
    write_parquet(out, whole)


def _of_shard(split: Path, shard: str, planned: set[str], feature_set: str) -> Iterator[pd.DataFrame]:
    """Yield the ledgers of one shard, stage by stage; what a stage lets through must have entered the next ones."""
    faces = _checked(split / f"faces/{shard}.parquet", planned)
    yield faces.assign(split=split.name)
    passed = set(faces.loc[faces["status"] == "ok", "clip"])
    for stage in ("priors", f"speech/{feature_set}", "shards"):
        yield _checked(split / f"{stage}/{shard}.parquet", passed).assign(split=split.name)


def _checked(path: Path, entered: set[str]) -> pd.DataFrame:
    ledger = read_parquet(path, *LEDGER_COLUMNS)
    clips = list(ledger["clip"])
    if sorted(clips) != sorted(entered):
        odd = min(entered.symmetric_difference(clips) or {clip for clip in clips if clips.count(clip) > 1})
        raise UserError(
            f"{path}: {len(entered)} clips entered and {len(clips)} rows are there (see {odd}); delete it and run again"
        )
    return ledger


def _stop_if_too_many_failed(stage: str, rows: pd.DataFrame, limit: float) -> None:
    failed = rows[rows["status"] == "failed"]
    if len(failed) > limit * len(rows):
        first = failed.iloc[0]
        raise UserError(
            f"{stage}: {len(failed)} of {len(rows)} clips failed, more than max_failed_fraction {limit:g} "
            f"(first: {first['clip']}: {first['reason']}); mend the cause, or raise max_failed_fraction"
        )
