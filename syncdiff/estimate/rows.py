"""The rows of an estimate, and how they are printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

NOT_COUNTED = "Not counted: the corpus itself, generated videos, evaluation and report, and retries."


@dataclass(frozen=True)
class Row:
    """One figure, with its unit, its grade and what it rests on."""

    section: str
    name: str
    value: float
    unit: str
    grade: str
    basis: str


def as_dicts(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON can hold them."""
    return [asdict(row) for row in rows]


def print_rows(rows: list[Row], console: Console) -> None:
    """Print a table to a terminal, and one plain line a row to anything else."""
    if console.is_terminal:
        table = Table("", "", "figure", "", "grade", "basis")
        for row in rows:
            table.add_row(row.section, row.name, figure(row.value), row.unit, row.grade, row.basis)
        console.print(table)
    else:
        for row in rows:
            amount = f"{figure(row.value)} {row.unit}".strip()
            console.out(f"{row.section:<8} {row.name:<26} {amount:>20}  {row.grade:<9}  {row.basis}", highlight=False)
    console.out(NOT_COUNTED, highlight=False)


def figure(value: float) -> str:
    """Write a number with three digits, and large ones in full."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
