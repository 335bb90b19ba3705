"""Whether an output can be written, said before any work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from syncdiff.errors import UserError
from syncdiff.media.encode import KINDS
from syncdiff.pipeline.files import temporary_name


def check_out(out: Path, *inputs: Path) -> None:
    """Refuse an output that could not be written, or that is one of the inputs, before any work is done.

    Raises:
        UserError: a folder or no ordinary file, a suffix that is not written, an input under whatever name, or a place
            where this user may not write.
    """
    try:
        _check_name(out, inputs)
        folder = next(folder for folder in out.absolute().parents if folder.exists())
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another place or name") from None
    if not folder.is_dir():
        raise UserError(f"{out}: {folder} is no folder; choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{out}: {folder} cannot be written to; choose another folder")


def _check_name(out: Path, inputs: Sequence[Path]) -> None:
    if out.is_dir():
        raise UserError(f"{out}: is a folder; name a file in it, such as {out / 'dubbed.mp4'}")
    if out.suffix.lower() not in KINDS:
        what = f"the suffix {out.suffix}" if out.suffix else "no suffix"
        raise UserError(f"{out}: {what}; videos are written as {', '.join(KINDS)}: name it {out.stem}.mp4")
    if out.exists() and not out.is_file():
        raise UserError(f"{out}: is no ordinary file; give another name")
    for written, source in product((out, temporary_name(out)), inputs):
        if written.exists() and source.exists() and written.samefile(source):
            how = "" if written == out else f" (by {written.name}, its name while it is written)"
            raise UserError(f"{out}: is the same file as {source}{how}, which would be lost; give another name")
