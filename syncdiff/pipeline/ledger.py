"""The ledger of clips: a row for each that entered a stage, and what a stage says when too many were lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from syncdiff.errors import UserError
from syncdiff.pipeline.files import write_parquet, write_text
from syncdiff.pipeline.parallel import Outcome
from syncdiff.pipeline.retries import after, read_note, retry_note

LEDGER_COLUMNS = ["clip", "stage", "status", "reason"]


def note_failures(ledger: Path, files: Sequence[str]) -> None:
    """Leave, beside a ledger, what the workflow must know to try its failed clips again; see `retries`.

    Args:
        files: of each failed clip, the file that could not be read, or "".
    """
    path = retry_note(ledger)
    if files or path.is_file():
        write_text(path, json.dumps(asdict(after(read_note(path), files))) + "\n")


class Ledger:
    """One row per clip that entered a stage: clip, stage, status (`ok`, `rejected`, `failed`), reason, and extras.

    `rejected` is a statement about the clip, which stays; `failed` one about the world, where the clip is tried again.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.rows: list[dict[str, Any]] = []
        self.failures: list[str] = []  # of each failed row, the file that could not be read, or ""

    def add(self, clip: str, status: str = "ok", reason: str = "", **extra: Any) -> None:
        """Add the row of one clip."""
        self.rows.append({"clip": clip, "stage": self.stage, "status": status, "reason": reason, **extra})

    def record(self, clip: str, outcome: Outcome[Any], **extra: Any) -> None:
        """Add the row of a clip that was attempted."""
        self.add(clip, outcome.status, outcome.reason, **extra)
        if outcome.status == "failed":
            self.failures.append(outcome.file)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a data frame in the order they were added."""
        columns = dict.fromkeys([*LEDGER_COLUMNS, *(key for row in self.rows for key in row)])
        return pd.DataFrame(self.rows, columns=list(columns))

    def write(self, path: Path, frame: pd.DataFrame | None = None) -> None:
        """Write the ledger (or `frame`, made of it) as parquet, atomically, and note what is to be tried again."""
        write_parquet(path, self.frame() if frame is None else frame)
        note_failures(path, self.failures)

    def summary(self) -> str:
        """Return, for example, `faces: 12 in, 10 ok, 2 rejected, 0 failed`; what has failed is named."""
        counts = {status: sum(row["status"] == status for row in self.rows) for status in ("ok", "rejected", "failed")}
        failed = [f" (first: {row['clip']}: {row['reason']})" for row in self.rows if row["status"] == "failed"]
        counted = ", ".join(f"{n} {status}" for status, n in counts.items())
        return f"{self.stage}: {len(self.rows)} in, {counted}{''.join(failed[:1])}"


def stop_if_too_many_failed(stage: str, rows: pd.DataFrame, limit: float) -> None:
    """Raise a `UserError` where more than `limit` of the rows of a stage have failed: then it is not the clips."""
    failed = rows[rows["status"] == "failed"]
    if len(failed) > limit * len(rows):
        first = failed.iloc[0]
        raise UserError(
            f"{stage}: {len(failed)} of {len(rows)} clips failed, more than max_failed_fraction {limit:g} "
            f"(first: {first['clip']}: {first['reason']}); mend the cause and run again, or raise max_failed_fraction"
        )


def stop_if_nothing_came_out(stage: str, rows: pd.DataFrame, what: str = "clips") -> None:
    """Raise a `UserError` with the reasons where there were clips, and not one row is `ok`."""
    if len(rows) and not (rows["status"] == "ok").any():
        raise UserError(
            f"{stage}: none of {len(rows)} {what} came out ({count_reasons(rows)}); mend the cause and run again"
        )


def count_reasons(rows: pd.DataFrame) -> str:
    """Count why rows are not `ok`, the most frequent reason first: `3 x no face, 1 x digital silence`."""
    reasons = Counter(rows.loc[rows["status"] != "ok", "reason"]).most_common(5)
    return ", ".join(f"{n} x {reason}" for reason, n in reasons)
