"""Files as all stages write and read them: atomically, with the same bytes for the same content."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pandas as pd

from syncdiff.errors import ClipRejected, UserError

MAX_NAME_BYTES = 255  # of one file's name, on nearly every file system
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` on success, delete it on any exception.

    The temporary name keeps the suffix, because encoders choose their container by it, and is always the same: what a
    killed process has left behind is written over by the next. A lock, which ends with its process, keeps two apart.

    Raises:
        UserError: the disk is full, a quota is used up, the folder cannot be written to, or another process is at it.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = temporary.open("ab")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
    with held:
        _lock(held, path)
        try:
            yield temporary
            _give_usual_mode(temporary, held)
            temporary.replace(path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if fault := disk_error(error):
                fix = "make room and run the same command again"
                raise UserError(f"{path}: cannot be written ({fault}); {fix}") from None
            raise


def temporary_name(path: Path) -> Path:
    """Return the name under which `atomic` writes a file: always the same, and of a long name a digest."""
    return _hidden(path, path.stem, f".tmp{path.suffix}")


def _hidden(path: Path, stem: str, end: str) -> Path:
    name = f".{stem}{end}"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}{end}"
    return path.with_name(name)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, for the parts of what is being written there; it is deleted afterwards.

    Its name is always the same, so that what a killed process has left in it is deleted by the next.
    """
    folder = _hidden(path, path.name, ".parts")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # workers of a run that fails may still be writing


def _give_usual_mode(temporary: Path, held: BinaryIO) -> None:
    """Give a file that a library has put in the place of ours, for its owner's eyes alone, the mode of the umask."""
    if temporary.stat().st_ino != os.fstat(held.fileno()).st_ino:
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)


def _lock(held: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{path}: another process is writing it; wait for that, or stop one of the two") from None
    except OSError:
        pass  # some network file systems have no locks; Snakemake's own still keeps two runs apart


def disk_error(error: BaseException) -> str | None:
    """Return the system's words where an error comes of a full or read-only disk; libraries may have wrapped them."""
    faults = {number: os.strerror(number) for number in NO_ROOM}
    if isinstance(error, OSError) and error.errno in faults:
        return faults[error.errno]
    return next((fault for fault in faults.values() if fault in str(error)), None)


def safe_join(folder: Path, name: str) -> Path:
    """Return `folder`/`name`, where `name` comes from data.

    Raises:
        ClipRejected: `name` is absolute, has a part `..`, or holds a null byte: it would lead out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ClipRejected(f"its name {name!r} leads out of {folder}")
    return folder / path


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_parquet(path: Path | str, frame: pd.DataFrame) -> None:
    """Write a data frame as parquet, atomically; the same frame gives the same bytes."""
    with atomic(path) as temporary:
        frame.to_parquet(temporary, index=False, engine="pyarrow", compression="zstd")


def read_parquet(path: Path | str, *columns: str) -> pd.DataFrame:
    """Read a parquet file; a missing or damaged one, or one without these `columns`, is a `UserError` that names it."""
    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that writes it first") from None
    except Exception as error:
        raise UserError(
            f"{path}: not a readable parquet file ({short_message(error)}); delete it and run again"
        ) from None
    if lacking := [column for column in columns if column not in table]:
        raise UserError(f"{path}: has no column {lacking[0]}; delete it and run again")
    return table


def sha256(path: Path | str) -> str:
    """Return the hex digest of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_message(error: BaseException | str) -> str:
    """Return an error's message for a sentence of one line: whitespace joined, and not more than 160 characters."""
    return " ".join(str(error).split())[:160]


def in_a_line(error: Exception) -> str:
    """Say in one line what an error means, where it may end one piece of work and no more."""
    if isinstance(error, (UserError, ClipRejected)):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else short_message(error)
    return short_message(f"{type(error).__name__}: {error}")
