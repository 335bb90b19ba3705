"""Many videos to dub, from a table: what is there is not made again, and one fault ends one job."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from syncdiff.dubbing.report import Report
from syncdiff.dubbing.timeline import Length
from syncdiff.dubbing.wishes import Wishes
from syncdiff.errors import UserError
from syncdiff.pipeline.files import in_a_line, short_message, write_text

log = logging.getLogger(__name__)

NEEDED = ("video", "sound", "out")
WISHES = ("face", "length", "crf")
Dub = Callable[[Path, Path, Path, Wishes], Report]


@dataclass(frozen=True)
class Job:
    """One video to dub; its fields are the arguments of `dub`, after the networks."""

    video: Path
    sound: Path
    out: Path
    wishes: Wishes


def read_jobs(table: Path, wishes: Wishes) -> list[Job]:
    """Read a CSV file: a job a row, with the columns video, sound and out, and any of face, length and crf.

    Args:
        table: UTF-8, its first row names the columns; relative paths begin at the working folder.
        wishes: those of cells that are empty, and of columns that are not there.

    Raises:
        UserError: it cannot be read, a column is missing or unknown, a cell cannot be, or two jobs write one file.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: cannot be read as a table ({short_message(error)}); give a CSV file") from None
    if lacking := [name for name in NEEDED if name not in columns]:
        raise UserError(f"{table}: has no column {lacking[0]}; its first line must name {', '.join(NEEDED)}")
    if odd := [name for name in columns if name not in NEEDED + WISHES]:
        raise UserError(f"{table}: column {odd[0]!r} is not known; {', '.join(NEEDED + WISHES)} are")
    jobs = [_job(f"{table}, line {line}", row, wishes) for line, row in enumerate(rows, start=2)]
    outs = [str(job.out.absolute()) for job in jobs]
    if twice := next((out for out in outs if outs.count(out) > 1), None):
        raise UserError(f"{table}: two jobs write {twice}; give each a file of its own")
    return jobs


def _job(where: str, row: dict[str, str], wishes: Wishes) -> Job:
    if empty := [name for name in NEEDED if not row[name]]:
        raise UserError(f"{where}: no {empty[0]}; name a file")
    given: dict[str, Any] = {name: row[name] for name in WISHES if row.get(name)}
    if given.get("length", "video") not in get_args(Length):
        raise UserError(f"{where}: length {given['length']}; say {', '.join(get_args(Length))}")
    if "crf" in given:
        if not (given["crf"].isdecimal() and int(given["crf"]) <= 51):
            raise UserError(f"{where}: crf {given['crf']}; say a whole number from 0 to 51")
        given["crf"] = int(given["crf"])
    return Job(Path(row["video"]), Path(row["sound"]), Path(row["out"]), replace(wishes, **given))


def run_jobs(dub: Dub, jobs: Sequence[Job], report: Path | None = None) -> bool:
    """Do the jobs whose output is not there; say of each in a line what became of it. Return whether all went well.

    Args:
        dub: of `dubbing.dub`, with its networks.
        report: written anew after each job: a list of {video, sound, out, status, reason, report}.
    """
    rows: list[dict[str, Any]] = []
    for job in jobs:
        status, reason, made = ("there", "it is there already", None) if job.out.exists() else _attempt(dub, job)
        print(made.line() if made else f"{job.out}: {status}: {reason}", flush=True)
        paths = {name: str(getattr(job, name)) for name in NEEDED}
        rows.append({**paths, "status": status, "reason": reason, "report": asdict(made) if made else None})
        if report:
            write_text(report, json.dumps(rows, indent=2) + "\n")
    counts = ", ".join(
        f"{n} {status}" for status in ("ok", "there", "failed") if (n := sum(row["status"] == status for row in rows))
    )
    log.info("%d jobs: %s", len(rows), counts or "nothing to do")
    return not any(row["status"] == "failed" for row in rows)


def _attempt(dub: Dub, job: Job) -> tuple[str, str, Report | None]:
    try:
        return "ok", "", dub(job.video, job.sound, job.out, job.wishes)
    except Exception as error:  # one bad video never stops the others
        return "failed", in_a_line(error), None
