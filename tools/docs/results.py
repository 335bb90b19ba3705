"""The files of benchmarks/results, and how their figures are printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from syncdiff.registry.metrics import METRICS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results"
OF_TRIALS = {  # columns of trials.csv that are no metric of the table
    "lse_c_cross": "LSE-C, cross ↑",
    "closed_read_open": "closed mouths read as open ↓",
    "error_unseen": "lip error, unseen people ↓",
    "error_seen": "lip error, training people ↓",
    "step_s": "s a step ↓",
    "train_s": "s of training ↓",
    "autoencoder_ms": "ms a step of the autoencoder ↓",
    "encode_ms": "ms to encode a crop ↓",
    "decode_ms": "ms to decode ↓",
    "grey_levels": "error in grey levels ↓",
}


@cache
def json_of(name: str) -> dict[str, Any]:
    """Return the results of benchmarks/<name>.py."""
    return json.loads((RESULTS / f"{name}.json").read_text())


@cache
def csv_of(name: str) -> pd.DataFrame:
    """Return a table of results as text, cell by cell, as it was written."""
    return pd.read_csv(RESULTS / f"{name}.csv", dtype=str, keep_default_na=False)


def heading(metric: str) -> str:
    """Return a metric's name and direction as a table's heading."""
    return OF_TRIALS.get(metric) or METRICS[metric].heading


def figure(metric: str, value: float, low: float | None = None, high: float | None = None) -> str:
    """Return a figure with its metric's digits, and its interval where there is one."""
    digits = METRICS[metric].digits
    if value == float("inf"):
        return "∞"
    text = plain(value, digits)
    return text if low is None or high is None else f"{text} [{plain(low, digits)}, {plain(high, digits)}]"


def plain(value: float, digits: int) -> str:
    """Return a number with so many digits, a true minus, and no minus before a zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; every cell but a row's first is a figure."""
    return _markdown(headings, ["---"] + ["--:"] * (len(headings) - 1), rows)


def listing(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of words."""
    return _markdown(headings, ["---"] * len(headings), rows)


def _markdown(headings: Sequence[str], rule: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows))
