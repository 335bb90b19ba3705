"""What failed is tried again at the next run: a note beside the ledger, which the workflow makes a parameter of.

A stage that ends with failed clips notes it in `retry/<ledger>.json`, in the ledger's folder. `attempts` gives the
workflow a number for each note. It grows, and Snakemake runs the job again, when something speaks for another try: a
file that could not be read can be read now, or the failure was none of a file (time, memory, a process that died) and
has been tried less than `TRIES` times. A job that succeeds leaves its number as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from syncdiff.errors import UserError

TRIES = 3  # of what may fail for good, as a decoder that crashes: every try runs all that depends on the job again
MAX_FILES = 20  # that a note names: the workflow looks at them whenever it is read


@dataclass(frozen=True)
class Note:
    """How often a job has been tried, and what must change for the next time."""

    attempt: int = 0  # of the next try, where there is to be one
    tries: int = 0  # in a row in which something failed that is no file's fault
    again: bool = True  # to be tried whatever the files say
    files: tuple[str, ...] = ()  # that could not be read: to be tried when one of them can be

    @property
    def number(self) -> int:
        """What the workflow sees: it changes when the job is to run again."""
        return self.attempt - (not (self.again or any(map(can_be_read, self.files))))


def after(before: Note, failures: Sequence[str]) -> Note:
    """Return the note of a job that has run once more.

    Args:
        before: its note until now.
        failures: of each failed clip, the file that could not be read, or "".
    """
    if not failures:
        return Note(before.number)
    absent = sorted({file for file in failures if file and not can_be_read(file)})
    tries = before.tries + 1 if any(file not in absent for file in failures) else 0
    return Note(before.number + 1, tries, 0 < tries < TRIES, tuple(absent[:MAX_FILES]))


def retry_note(ledger: Path) -> Path:
    """Return where the note of a ledger lies."""
    return ledger.parent / "retry" / f"{ledger.stem}.json"


def read_note(path: Path) -> Note:
    """Read a note; without one, the job has run as often as it should.

    Raises:
        UserError: damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Note(values["attempt"], values["tries"], values["again"], tuple(values["files"]))
    except FileNotFoundError:
        return Note()
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: damaged; delete it and run again") from None


def attempts(folder: Path) -> dict[str, int]:
    """Return the number of each ledger of a folder that has a note, by its name without suffix: one listing."""
    return {path.stem: read_note(path).number for path in folder.glob("retry/[!.]*.json")}


def can_be_read(file: str) -> bool:
    """Say whether a file is there and its first byte can be read."""
    try:
        if not Path(file).is_file():  # to open a pipe would wait for its other end
            return False
        with Path(file).open("rb") as opened:
            opened.read(1)
    except (OSError, ValueError):
        return False
    return True
