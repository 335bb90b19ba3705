"""What the page works with, and how it calls it: one job at a time, its progress, its errors in a line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from markupsafe import escape

from syncdiff.app.visits import Visits
from syncdiff.dubbing.lip_sync import LipSync
from syncdiff.errors import ClipRejected, UserError
from syncdiff.errors import escape as in_print
from syncdiff.pipeline.files import in_a_line
from syncdiff.pipeline.progress import listening

log = logging.getLogger(__name__)
T = TypeVar("T")

ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1}  # of all visits
DOING = {"look": "Looking for faces", "dub": "Generating lips", "score": "Scoring"}


@dataclass(frozen=True)
class Studio:
    """What the page works with.

    model: dubs.
    syncnet: weights that score; None: nothing is scored.
    visits: the files.
    """

    model: LipSync
    syncnet: Path | None
    visits: Visits

    def run(self, visit: str, shown: gr.Progress, work: Callable[[], T]) -> T:
        """Work, show the progress, and end when the visit does or asks for it.

        Raises:
            UserError: it was stopped.
        """

        def tell(label: str, done: int, total: int | None) -> None:
            if self.visits.is_stopped(visit):
                raise UserError("stopped")
            shown((min(done, total), total) if total else None, desc=DOING.get(label, label))

        with listening(tell):
            tell("", 0, None)
            return work()


def attempt(work: Callable[[], T], folder: Path | None = None) -> tuple[T | None, str]:
    """Work; return what came out, or None and in a line why nothing did.

    Args:
        folder: is left out of the names of files.
    """
    try:
        return work(), ""
    except (UserError, ClipRejected) as error:
        line = in_a_line(error)
    except Exception as error:  # nobody at the page is shown a traceback; who started it is
        log.exception("a job of the page failed")
        line = f"this failed: {in_a_line(error)}"
    return None, in_print(line.replace(f"{folder}/", "") if folder else line)


def said(line: str, *more: str) -> str:
    """Return a line, and more below it, as HTML."""
    below = "".join(f"<li>{escape(each)}</li>" for each in more)
    return f'<p role="status">{escape(line)}</p>{f"<ul>{below}</ul>" if more else ""}'


def wrong(line: str) -> str:
    """Return a line that says what is wrong, as HTML."""
    return f'<p role="alert" class="wrong">{escape(line[:1].upper() + line[1:])}</p>'
