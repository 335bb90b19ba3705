"""The table: every figure with its scorer, its bootstrap interval and how many of the clips are behind it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from syncdiff.config import Config
from syncdiff.evaluation.metrics.bootstrap import mean_interval
from syncdiff.evaluation.names import PROTOCOLS, in_order, method_label
from syncdiff.pipeline.files import read_parquet, write_parquet, write_text
from syncdiff.pipeline.ledger import stop_if_too_many_failed
from syncdiff.registry.metrics import METRICS, why_not_taken

log = logging.getLogger(__name__)

COLUMNS = ["method", "protocol", "metric", "scorer", "value", "ci_low", "ci_high", "n_expected", "n_scored"]
LOG_COLUMNS = 220  # characters a line, where nobody's terminal says how many fit
KEYS = ["method", "protocol", "metric", "scorer"]


def write_table(config: Config, scores: Sequence[Path], out_csv: Path, out_parquet: Path) -> None:
    """Average the files of `score_method` over clips, and write and print the table.

    Rows: real, reconstruction, frozen, syncdiff, then the other methods in the order of their files.

    n_expected is the number of test clips that entered packing, which are those whose face was found (the first
    `sample.max_clips` of each shard): a clip that was lost on the way, or that could not be scored, is counted there
    and not in n_scored.

    Raises:
        UserError: a file of scores is missing or damaged; of the clips of a method that is not external, more than
            `max_failed_fraction` have failed, in sampling or in scoring.
    """
    rows = pd.concat([read_parquet(path) for path in scores], ignore_index=True)
    for method, own in rows[rows["clip"] != ""].groupby("method", sort=False):
        if method not in config.evaluate.external:  # what others have not made is counted in the table
            worst = own.sort_values("status", key=lambda status: status != "failed", kind="stable")
            stop_if_too_many_failed(f"score {method}", worst.drop_duplicates("clip"), config.max_failed_fraction)
    table = in_order(summarise(rows, config.evaluate.bootstrap, config.seed), list(rows["method"].unique()))
    write_text(out_csv, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_parquet(out_parquet, table)
    print_table(table, Console() if sys.stdout.isatty() else Console(width=LOG_COLUMNS))
    if reasons := why_not_taken(set(table["metric"])):
        log.info(reasons)


def summarise(rows: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Return one row per method, protocol, metric and scorer, with `COLUMNS`.

    Args:
        rows: tidy scores. Rows with a clip are averaged with a 95 % percentile bootstrap over clips; the figure of a
            whole set (clip "") keeps its own interval, and counts the clips named by its n_expected and n_scored.
        resamples: behind each interval.
        seed: of the resamples.
    """
    figures = rows[rows["metric"].map(lambda name: METRICS[name].in_table)]
    sets = figures[figures["clip"] == ""][COLUMNS]
    means = [
        dict(zip(KEYS, key, strict=True)) | _mean(group["value"].to_numpy(float), resamples, seed)
        for key, group in figures[figures["clip"] != ""].groupby(KEYS, sort=False)
    ]
    table = pd.concat([pd.DataFrame(means, columns=COLUMNS), sets], ignore_index=True)
    return table.astype({"n_expected": "int64", "n_scored": "int64"})


def _mean(values: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    scored = values[~np.isnan(values)]
    low, high = mean_interval(scored, resamples, seed)
    mean = float(scored.mean()) if len(scored) else float("nan")
    return {"value": mean, "ci_low": low, "ci_high": high, "n_expected": len(values), "n_scored": len(scored)}


@dataclass(frozen=True)
class Cell:
    """A figure as printed."""

    value: str
    interval: str  # "7.10 – 8.31", or "" where there is none
    n_scored: int
    n_expected: int

    @property
    def incomplete(self) -> bool:
        """Whether clips are missing behind the figure."""
        return self.n_scored < self.n_expected

    @property
    def clips(self) -> str:
        """`24`, or `20 of 24` where clips are missing."""
        return f"{self.n_scored} of {self.n_expected}" if self.incomplete else str(self.n_scored)


@dataclass(frozen=True)
class Panel:
    """The figures of one protocol: a row for each method, a column for each metric and scorer."""

    protocol: str
    columns: list[tuple[str, str]]  # (metric, scorer)
    rows: dict[str, list[Cell | None]]  # by method

    @property
    def scorers(self) -> list[tuple[str, int]]:
        """Each scorer, and how many columns in a row are its."""
        return [(scorer, len(list(own))) for scorer, own in groupby(scorer for _, scorer in self.columns)]

    @property
    def incomplete(self) -> bool:
        """Whether some figure lacks clips."""
        return any(cell is not None and cell.incomplete for row in self.rows.values() for cell in row)


def panels(table: pd.DataFrame) -> list[Panel]:
    """Lay the tidy table out for reading, protocol by protocol."""
    return [_panel(protocol, rows) for protocol in PROTOCOLS if len(rows := table[table["protocol"] == protocol])]


def _panel(protocol: str, rows: pd.DataFrame) -> Panel:
    cells = {(row["method"], row["metric"], row["scorer"]): _cell(row) for row in rows.to_dict("records")}
    pairs = {(metric, scorer) for _, metric, scorer in cells}
    columns = sorted(pairs, key=lambda pair: ([*METRICS, pair[0]].index(pair[0]), pair[1]))
    methods = dict.fromkeys(rows["method"])
    return Panel(protocol, columns, {name: [cells.get((name, *column)) for column in columns] for name in methods})


def _cell(row: Mapping[Any, Any]) -> Cell:
    digits = METRICS[row["metric"]].digits
    value, low, high = (_number(row[key], digits) for key in ("value", "ci_low", "ci_high"))
    return Cell(value, "" if np.isnan(row["ci_low"]) else f"{low} – {high}", row["n_scored"], row["n_expected"])


def _number(value: float, digits: int) -> str:
    if not np.isfinite(value):
        return "–" if np.isnan(value) else "∞" if value > 0 else "−∞"
    return f"{value:z.{digits}f}".replace("-", "−")


def print_table(table: pd.DataFrame, console: Console) -> None:
    """Print the table, a block for each protocol; `*` marks a figure behind which clips are missing."""
    for panel in panels(table):
        block = Table(title=f"{panel.protocol}: {PROTOCOLS[panel.protocol]}", title_justify="left", title_style="bold")
        block.add_column("method", no_wrap=True)
        for metric, scorer in panel.columns:
            block.add_column(f"{METRICS[metric].heading}\n[dim]{escape(scorer)}[/dim]", justify="right")
        for method, cells in panel.rows.items():
            block.add_row(escape(method_label(method)), *(_printed(cell) for cell in cells))
        console.print(block)
        if panel.incomplete:
            console.print("* not all clips could be scored; the table's n_scored and the scores' reasons say which")


def _printed(cell: Cell | None) -> str:
    if cell is None:
        return ""
    mark, below = ("*", f"{cell.interval} ({cell.clips})") if cell.incomplete else ("", cell.interval)
    return f"{cell.value}{mark}\n[dim]{below}[/dim]"
