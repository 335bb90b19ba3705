"""Videos that play in step, side by side, as HTML; and a copy of one that a browser does not play."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from syncdiff.errors import ClipRejected
from syncdiff.media.audio import read_audio
from syncdiff.media.container import open_media, video_stream
from syncdiff.media.video import read_frames, write_video
from syncdiff.report.jinja import template

PACKAGE = "syncdiff.app"  # whose templates these are
PLAYED = {("mov", "h264"): ".mp4", ("mov", "av1"): ".mp4"}  # by every browser of today, with 8 bits and 4:2:0
PLAYED |= {("matroska", codec): ".webm" for codec in ("vp8", "vp9", "av1")}
PLAYED_PIXELS = ("yuv420p", "yuvj420p")


class Player(NamedTuple):
    """One of several videos: what stands below it, where it comes from, and whether it is the one that is heard."""

    label: str
    source: str
    is_heard: bool = False


def in_step(players: Sequence[Player]) -> str:
    """Return HTML of videos that start, stop and jump together."""
    return template("players.html.j2", PACKAGE).render(players=players)


def served(path: Path) -> str:
    """Return where the page's server has a file of its own."""
    return f"gradio_api/file={quote(str(path))}"


def playable(video: Path, folder: Path) -> Path:
    """Return a file in `folder` that shows a video in a browser: the same one, or a copy at 25 frames a second.

    Raises:
        ClipRejected: it cannot be read.
    """
    if suffix := _played_as(video):
        same = folder / f"source{suffix}"
        os.link(video, same)
        return same
    copy = folder / "source.mp4"
    sounds: list[Any] = []
    with suppress(ClipRejected):  # a video without sound
        sounds.append(read_audio(video))
    write_video(copy, read_frames(video), sounds)
    return copy


def _played_as(video: Path) -> str | None:
    with open_media(video) as container:
        stream = video_stream(container)
        if stream.pix_fmt not in PLAYED_PIXELS:
            return None
        return PLAYED.get((container.format.name.split(",")[0], stream.codec_context.name))
