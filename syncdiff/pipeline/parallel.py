"""Parallel work over clips: what became of each, time limits, workers that may die."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Generic, TypeVar

from syncdiff.errors import ClipRejected, UserError
from syncdiff.pipeline.files import disk_error, short_message
from syncdiff.pipeline.logs import goes_to_stderr, log_to_stderr
from syncdiff.pipeline.progress import progress

T = TypeVar("T")
R = TypeVar("R")

CLIP_LIMIT_S = 2 * 3600.0  # for one clip in one stage: an hour of 1080p takes the slowest stage less on a slow core
NATIVE_GRACE_S = 60.0  # beyond the limit, after which a worker that does not even come back to Python is ended


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
    if fault := disk_error(error):
        return Outcome("failed", f"cannot write: {fault}")
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str):
        return Outcome("failed", error.strerror, file=error.filename)
    return Outcome("failed", short_message(f"{type(error).__name__}: {error}".splitlines()[0]))


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
    context = prepare_workers(getattr(work, "func", work).__module__)
    return ProcessPoolExecutor(workers, context, log_to_stderr if goes_to_stderr() else None)


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
