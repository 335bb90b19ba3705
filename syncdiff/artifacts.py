"""What all stages share: atomic outputs, the ledger of clips, parallel work over clips, progress."""

from __future__ import annotations

import errno
import faulthandler
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Generic, TypeVar

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from syncdiff.errors import ClipRejected, UserError
from syncdiff.retries import after, read_note, retry_note

T = TypeVar("T")
R = TypeVar("R")

LEDGER_COLUMNS = ["clip", "stage", "status", "reason"]
LOG_EVERY_S = 10.0
MAX_NAME_BYTES = 255  # of one file's name, on nearly every file system
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
CLIP_LIMIT_S = 2 * 3600.0  # for one clip in one stage: an hour of 1080p takes the slowest stage less on a slow core
NATIVE_GRACE_S = 60.0  # beyond the limit, after which a worker that does not even come back to Python is ended


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
            if fault := no_room(error):
                fix = "make room and run the same command again"
                raise UserError(f"{path}: cannot be written ({fault}); {fix}") from None
            raise


def temporary_name(path: Path) -> Path:
    """Return the name under which `atomic` writes a file: always the same, and of a long name a digest."""
    name = f".{path.stem}.tmp{path.suffix}"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.tmp{path.suffix}"
    return path.with_name(name)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, for the parts of what is being written there; it is deleted afterwards.

    Its name is always the same, so that what a killed process has left in it is deleted by the next.
    """
    folder = path.with_name(f".{path.stem}.parts")
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


def no_room(error: BaseException) -> str | None:
    """Return the system's words where an error comes of a full or read-only disk; libraries may have wrapped them."""
    faults = {number: os.strerror(number) for number in NO_ROOM}
    if isinstance(error, OSError) and error.errno in faults:
        return faults[error.errno]
    return next((fault for fault in faults.values() if fault in str(error)), None)


def inside(folder: Path, name: str) -> Path:
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
        raise UserError(f"{path}: not a readable parquet file ({one_line(error)}); delete it and run again") from None
    if lacking := [column for column in columns if column not in table]:
        raise UserError(f"{path}: has no column {lacking[0]}; delete it and run again")
    return table


def sha256(path: Path | str) -> str:
    """Return the hex digest of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def one_line(error: BaseException | str) -> str:
    """Return an error's message for a sentence of one line: whitespace joined, and not more than 160 characters."""
    return " ".join(str(error).split())[:160]


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


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of one clip: a `value`, or a `status` other than `ok` with its `reason`."""

    status: str
    reason: str = ""
    value: R | None = None
    file: str = ""  # that could not be read


def attempt(work: Callable[[T], R], clip: T, limit_s: float = CLIP_LIMIT_S) -> Outcome[R]:
    """Call `work(clip)`; a `ClipRejected`, any other exception or too long a time becomes an outcome, not a crash.

    What the work says of the clip (`ClipRejected`) is `rejected`. All else is `failed`: a file that is not there or
    cannot be read, time, memory, a device.
    """
    try:
        with time_limit(limit_s):
            return Outcome("ok", value=work(clip))
    except ClipRejected as error:
        return Outcome("rejected", reason=str(error))
    except UserError:
        raise
    except Exception as error:  # one bad clip never stops a corpus
        return _failure(error)


def _failure(error: Exception) -> Outcome[Any]:
    """Say what failed in words that are the same for all clips that failed by it: a file's name stands apart."""
    if fault := no_room(error):
        return Outcome("failed", f"cannot write: {fault}")
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str):
        return Outcome("failed", error.strerror, file=error.filename)
    return Outcome("failed", one_line(f"{type(error).__name__}: {error}".splitlines()[0]))


def attempt_together(work: Callable[[Sequence[T]], Sequence[R]], clips: Sequence[T]) -> Iterator[tuple[T, Outcome[R]]]:
    """Call `work` on a batch of clips; where that fails, on each alone, so that only the clip at fault is lost."""
    together = attempt(work, clips, CLIP_LIMIT_S * len(clips))
    if together.value is not None:
        yield from ((clip, Outcome("ok", value=made)) for clip, made in zip(clips, together.value, strict=True))
    elif len(clips) > 1:
        for clip in clips:
            yield from attempt_together(work, [clip])
    else:
        yield clips[0], Outcome(together.status, together.reason, file=together.file)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` inside the block when it takes longer; of nested limits, the one that ends first counts.

    It is an alarm signal, which Python has in the main thread only: elsewhere the block is not limited.
    """
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if 0 < left <= seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"took longer than {seconds:g} s")

    start, outer = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, outer)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - start), 1e-3))


def each_clip(
    work: Callable[[T], R],
    clips: Sequence[T],
    workers: int = 1,
    label: str = "clips",
    limit_s: float = CLIP_LIMIT_S,
) -> Iterator[tuple[T, Outcome[R]]]:
    """Run `work` over clips in `workers` processes and yield (clip, outcome) in the clips' own order.

    `work` must be picklable (a module's function or a `functools.partial` of one). Progress goes to stderr. A clip that
    takes longer than `limit_s` has failed. With several workers that holds even for one that hangs in native code.
    """
    if workers <= 1 or len(clips) <= 1:
        yield from ((clip, attempt(work, clip, limit_s)) for clip in progress(clips, label))
        return
    with _pool(work, min(workers, len(clips))) as pool:
        futures = [pool.submit(_in_worker, work, clip, limit_s, limit_s + NATIVE_GRACE_S) for clip in clips]
        for clip, future in zip(clips, progress(futures, label), strict=True):
            try:
                yield clip, future.result()
            except BrokenProcessPool:  # a clip killed its worker, and the pool with it: which one, only trying tells
                yield clip, _attempt_alone(work, clip, limit_s)


def prepare_workers(module: str) -> ForkServerContext:
    """Start the clean process that workers are forked from; it imports the work's module while this one goes on."""
    context = get_context("forkserver")
    context.set_forkserver_preload([module])
    forkserver.ensure_running()
    return context


def _pool(work: Callable[..., Any], workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=prepare_workers(getattr(work, "func", work).__module__))


def _in_worker(work: Callable[[T], R], clip: T, limit_s: float, end_s: float) -> Outcome[R]:
    """Attempt a clip, and end this process after `end_s` where native code keeps even the alarm from being heard."""
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(end_s, exit=True, file=nowhere)
        try:
            return attempt(work, clip, limit_s)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _attempt_alone(work: Callable[[T], R], clip: T, limit_s: float) -> Outcome[R]:
    with _pool(work, 1) as pool:
        try:
            return pool.submit(_in_worker, work, clip, limit_s, limit_s + NATIVE_GRACE_S).result()
        except BrokenProcessPool:
            return Outcome("failed", "the process that worked on it died (out of memory, crash or hang in a decoder)")


def progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar on a terminal, and with a plain line every ten seconds in a log."""
    total = len(items) if total is None and isinstance(items, Sequence) else total
    return _bar(items, label, total) if sys.stderr.isatty() else _log_lines(items, label, total)


def _bar(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(items, total=total, description=label)


def _log_lines(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        if time.monotonic() - last > LOG_EVERY_S:
            last = time.monotonic()
            print(f"{label}: {done}/{total or '?'} after {last - start:.0f} s", file=sys.stderr, flush=True)
    print(f"{label}: {done} done in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
