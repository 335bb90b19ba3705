"""The stage `curation`: a verdict on every clip of the joined shards, from the measures of all of them."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from syncdiff.config import Config
from syncdiff.curation.measures import SYNC
from syncdiff.curation.verdicts import doubt, judge
from syncdiff.errors import UserError
from syncdiff.pipeline.check_ledgers import ledger_after_shards
from syncdiff.pipeline.files import read_parquet, write_parquet
from syncdiff.pipeline.ledger import LEDGER_COLUMNS, stop_if_too_many_failed

log = logging.getLogger(__name__)

MEND = "train it longer (syncnet.steps), or name a better one (curate.syncnet; of the command --syncnet)"
TRAINED = ("pretrain", "train")


def curate_corpus(config: Config, folder: Path, splits: Collection[str], out: Path) -> pd.DataFrame:
    """Write the verdicts on a corpus, a row for each clip that came into a shard, and return them.

    Columns: those of the stage `measures`, and split, conf, asd, chance, deviation, rule (by which a clip is rejected),
    shift (frames: the speech of picture t is row t + shift). Nothing is deleted.

    Args:
        config: reads `curate` and `max_failed_fraction`.
        folder: of the corpus, with plan/, <split>/shards/ and <split>/measures/.
        splits: those that are prepared.
        out: parquet.

    Raises:
        UserError: a ledger is missing or damaged, or does not account for every clip; more than `max_failed_fraction`
            of the clips could not be measured; nothing is left to train on.
    """
    plan = read_parquet(folder / "plan/clips.parquet", *LEDGER_COLUMNS, "split", "shard", "video", "conf", "asd")
    planned = plan[(plan["status"] == "ok") & plan["split"].isin(splits)]
    shards = sorted(set(zip(planned["split"], planned["shard"], strict=True)))
    own = [ledger_after_shards(folder / split, shard, "measures") for split, shard in shards]
    clips = with_own_scores(pd.concat(own, ignore_index=True), plan)
    stop_if_too_many_failed("measures", clips, config.max_failed_fraction)
    judged = judge(clips, config.curate)
    log.info(summary(judged))
    _stop_if_nothing_is_left(judged)
    write_parquet(out, judged)
    return judged


def with_own_scores(clips: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Return clips with the corpus's own scores, `conf` and `asd`, of the file that each is of."""
    scores = plan.drop_duplicates("video").set_index("video")[["conf", "asd"]].astype("Float64").astype(float)
    return clips.join(scores, on="video")


def summary(judged: pd.DataFrame) -> str:
    """Say how many clips are taken and why others are not, one a line."""
    counts = judged["status"].value_counts()
    by_status = ", ".join(f"{counts.get(status, 0)} {status}" for status in ("ok", "rejected", "failed"))
    lines = [f"curation: {len(judged)} in, {by_status}; the sound of {(judged['shift'] != 0).sum()} shifted"]
    rules = judged.loc[judged["rule"] != "", "rule"].value_counts()
    lines += [f"  {n} rejected by {rule}" for rule, n in rules.items()]
    if judged[list(SYNC)].isna().all(axis=None):
        lines.append("  no SyncNet was given: sync was not measured, and who of several speaks is not known")
    if said := doubt(judged):
        lines.append(f"  {said}; {MEND}")
    return "\n".join(lines)


def _stop_if_nothing_is_left(judged: pd.DataFrame) -> None:
    train = judged[judged["split"].isin(TRAINED)]
    if len(train) and not (train["status"] == "ok").any():
        lost = train["rule"].where(train["rule"] != "", train["status"]).value_counts()
        why = ", ".join(f"{n} by {rule}" for rule, n in lost.items())
        raise UserError(
            f"curation: none of {len(train)} clips is left to train on ({why}); widen the thresholds "
            "in the config's section curate"
        )
