"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

T = TypeVar("T")

LOG_EVERY_S = 10.0
TELL_EVERY_S = 0.2

Listener = Callable[[str, int, int | None], None]  # label, items done, of how many
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` of the progress of what this thread begins in the block, in the place of a bar.

    What it raises ends the work.
    """
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar on a terminal, and with a plain line every ten seconds in a log; see `listening`."""
    total = len(items) if total is None and isinstance(items, Sequence) else total
    if listener := _listener.get():
        return _told(items, label, total, listener)
    return _bar(items, label, total) if sys.stderr.isatty() else _log_lines(items, label, total)


def _told(items: Iterable[T], label: str, total: int | None, listener: Listener) -> Iterator[T]:
    told = -TELL_EVERY_S
    for done, item in enumerate(items):
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            listener(label, done, total)
        yield item


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
            log.info("%s: %d/%s after %.0f s", label, done, total or "?", last - start)
    log.info("%s: %d done in %.1f s", label, done, time.monotonic() - start)
