"""The verdicts of curation as training and sampling read them: which clips to use, and how to shift their sound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from syncdiff.errors import UserError
from syncdiff.pipeline.files import read_parquet
from syncdiff.pipeline.ledger import LEDGER_COLUMNS
from syncdiff.shards.tar import clip_key


@dataclass(frozen=True)
class Verdicts:
    """What became of each clip; without curation every one is used as it is.

    shifts: by key, frames: the speech of picture t is row t + shift; None: the clip is left out. Of no curation, None.
    path: of the file.
    curator: SHA-256 of the SyncNet by whose scores clips were chosen.
    """

    shifts: Mapping[str, int | None] | None = None
    path: Path | None = None
    curator: str = ""

    def shift_of(self, key: str) -> int | None:
        """Return the shift of a clip's speech in frames, None where it is left out.

        Raises:
            UserError: curation has not seen this clip.
        """
        if self.shifts is None:
            return 0
        try:
            return self.shifts[key]
        except KeyError:
            raise UserError(f"{self.path}: has no row for {key}; run the stage curation again") from None

    def count(self, keys: Iterable[str]) -> str:
        """Say in a line what becomes of some clips; "" without curation."""
        if self.shifts is None:
            return ""
        shifts = [self.shift_of(key) for key in keys]
        left_out, moved = shifts.count(None), sum(bool(shift) for shift in shifts)
        return f"curation: of {len(shifts)} clips {left_out} left out, the sound of {moved} shifted ({self.path})"


NO_CURATION = Verdicts()


def read_verdicts(path: Path | None) -> Verdicts:
    """Read curation.parquet; of None, that there was no curation.

    Raises:
        UserError: missing or damaged.
    """
    if path is None:
        return NO_CURATION
    table = read_parquet(path, *LEDGER_COLUMNS, "shift", "curator")
    used = table["status"] == "ok"
    shifts = {
        clip_key(clip): int(shift) if ok else None
        for clip, shift, ok in zip(table["clip"], table["shift"], used, strict=True)
    }
    return Verdicts(shifts, path, next(iter(table["curator"]), ""))


def shifted(n_frames: int, shift: int) -> tuple[slice, slice]:
    """Return the pictures of a clip that have a row of speech, and these rows, of as many frames each."""
    n = max(n_frames - abs(shift), 0)
    first, row = max(-shift, 0), max(shift, 0)
    return slice(first, first + n), slice(row, row + n)
