"""The table for each group of clips: by a column of the plan or of curation.parquet, or by whether training saw them.

Metrics of a whole set have no row here: a Fréchet distance grows as its clips get fewer, so that groups of two sizes
do not compare.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.evaluation.names import in_order
from syncdiff.evaluation.table import COLUMNS, Panel, panels, summarise
from syncdiff.pipeline.files import read_parquet, write_text

log = logging.getLogger(__name__)

GROUP_COLUMNS = ["column", "group", "n_clips", *COLUMNS]
UNKNOWN = "unknown"  # the group of clips without a value
N_QUANTILES = 3  # groups of a column of numbers whose edges are not given
MAX_GROUPS = 50
MAX_DIGITS = 15  # significant ones, before a number is printed as Python does


def write_groups(config: Config, scores: Sequence[Path], plan: Path, curation: Path | None, out: Path) -> None:
    """Write the table of each group of `evaluate.groups` as CSV; without any, its heading alone.

    Args:
        config: with `evaluate.groups`, `evaluate.bootstrap` and the seed.
        scores: files of `score_method`.
        plan: plan/clips.parquet.
        curation: curation.parquet, a row a clip; None: there is none.
        out: CSV with GROUP_COLUMNS.

    Raises:
        UserError: an input is missing or damaged, no file has a column, or one has too many categories.
    """
    tables: list[pd.DataFrame] = []
    if config.evaluate.groups:
        rows = pd.concat([read_parquet(path) for path in scores], ignore_index=True)
        facts = facts_of(read_parquet(plan), read_parquet(curation, "clip") if curation else None)
        for column, edges in config.evaluate.groups.items():
            groups = grouped(values_of(column, facts, rows["clip"]), edges)
            tables += by_group(config, rows, column, groups)
            log.info("groups by %s: %s", column, ", ".join(f"{name} ({n})" for name, n in sizes(groups).items()))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=GROUP_COLUMNS)
    write_text(out, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def facts_of(plan: pd.DataFrame, curation: pd.DataFrame | None) -> pd.DataFrame:
    """Join what the plan and curation know of each clip: a row a clip, named by it; and its speaker, by its folder."""
    facts = plan.set_index("clip")
    if curation is not None:
        facts = facts.join(curation.set_index("clip").drop(columns=[*facts], errors="ignore"))
    speaker = pd.Series([str(PurePosixPath(clip).parent) for clip in facts.index], facts.index)
    trained = facts["split"].isin(["train", "pretrain"]) & (facts["status"] == "ok")
    seen = speaker.isin(speaker[trained]).map({True: "seen", False: "unseen"})
    return facts.assign(speaker=speaker, speaker_seen=seen)


def values_of(column: str, facts: pd.DataFrame, clips: pd.Series) -> pd.Series:
    """Return a column's values of the clips that have scores, named by them.

    Raises:
        UserError: there is no such column.
    """
    if column not in facts:
        raise UserError(
            f"config: evaluate.groups.{column}: neither the plan nor curation.parquet has this column; "
            f"there are {', '.join(map(str, facts.columns))}"
        )
    return facts[column].reindex(clips[clips != ""].unique())


def grouped(values: pd.Series, edges: Sequence[float]) -> pd.Series:
    """Return each clip's group: an ordered category, whose names are as they are printed.

    Args:
        values: of a column, named by the clips.
        edges: where numbers are cut, rising; none: at their quantiles, or not at all where they are few or no numbers.

    Raises:
        UserError: edges for a column that has no numbers, more than MAX_GROUPS categories, or lists for values.
    """
    if any(not isinstance(value, Hashable) for value in values):
        raise UserError(f"config: evaluate.groups.{values.name}: each clip has several values; name another column")
    values = values.mask(values.eq(""))
    numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if edges and not numbers:
        raise UserError(f"config: evaluate.groups.{values.name}: its values are no numbers; give [] instead of edges")
    if numbers and (edges or values.nunique() > N_QUANTILES):
        return _cut(values.astype(float), sorted(edges) or _quantiles(values.astype(float)))
    there = sorted(values.dropna().unique())
    if len(there) > MAX_GROUPS:
        raise UserError(
            f"config: evaluate.groups.{values.name}: {len(there)} categories, {MAX_GROUPS} at most; name another column"
        )
    names = dict(zip(there, distinct(there) if numbers else map(str, there), strict=True))
    return _ordered(values.map(names), [*names.values()])


def _quantiles(values: pd.Series) -> list[float]:
    shares = np.arange(1, N_QUANTILES) / N_QUANTILES
    return sorted(set(np.quantile(values[np.isfinite(values)], shares)))


def _cut(values: pd.Series, edges: Sequence[float]) -> pd.Series:
    """Put numbers into bins, each of which holds its lower edge."""
    edges = sorted(set(edges))
    named = distinct(edges)
    names = [f"below {named[0]}", *(f"{low} to {high}" for low, high in pairwise(named)), f"from {named[-1]}"]
    bins = np.searchsorted(edges, values.fillna(edges[0]), side="right")
    return _ordered(pd.Series([names[place] for place in bins], values.index).where(values.notna()), names)


def distinct(numbers: Sequence[float]) -> list[str]:
    """Print different numbers with four significant digits, or as many as tell them apart."""
    printed = ([f"{number:.{digits}g}" for number in numbers] for digits in range(4, MAX_DIGITS + 1))
    return next((names for names in printed if len(set(names)) == len(numbers)), [*map(str, numbers)])


def _ordered(names: pd.Series, order: Sequence[str]) -> pd.Series:
    return pd.Series(
        pd.Categorical(names.fillna(UNKNOWN), list(dict.fromkeys([*order, UNKNOWN])), ordered=True), names.index
    )


def sizes(groups: pd.Series) -> dict[str, int]:
    """Return how many clips each group has, in their order, without those that have none."""
    return {str(name): int(n) for name, n in groups.value_counts(sort=False).items() if n}


def by_group(config: Config, rows: pd.DataFrame, column: str, groups: pd.Series) -> Iterator[pd.DataFrame]:
    """Yield the table of each group; intervals are over its clips, and a group of one has none."""
    for name, n_clips in sizes(groups).items():
        own = rows[rows["clip"].isin(groups.index[groups == name])]
        table = in_order(summarise(own, config.evaluate.bootstrap, config.seed), list(rows["method"].unique()))
        yield table.assign(column=column, group=name, n_clips=n_clips)[GROUP_COLUMNS]


@dataclass(frozen=True)
class Group:
    """The table of one group, laid out for reading."""

    name: str
    n_clips: int
    panels: list[Panel]

    @property
    def clips(self) -> str:
        """`12 clips`, or that one clip says nothing about others."""
        return f"{self.n_clips} clips" if self.n_clips > 1 else "1 clip: no interval"


def read_groups(path: Path) -> dict[str, list[Group]]:
    """Read a file of `write_groups` as it is shown: the groups of each column; none where there is no file."""
    if not path.is_file():
        return {}
    table = pd.read_csv(path, dtype={"column": str, "group": str}, keep_default_na=False, na_values=[""])
    found: dict[str, list[Group]] = {}
    for (column, name), rows in table.groupby(["column", "group"], sort=False):
        found.setdefault(str(column), []).append(Group(str(name), int(rows["n_clips"].iloc[0]), panels(rows)))
    return found
