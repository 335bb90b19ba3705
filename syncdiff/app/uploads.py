"""What may be uploaded: videos and sounds that can be read to their end, of a length that a page can wait for."""

from __future__ import annotations

from pathlib import Path

from syncdiff.errors import ClipRejected
from syncdiff.media.audio import SAMPLE_RATE, stream_audio
from syncdiff.media.encode import check_form
from syncdiff.media.pictures import Video
from syncdiff.media.video import probe

MAX_SECONDS = 600
MAX_RATE = 120  # frames a second, on average
TOO_LONG = f"longer than {MAX_SECONDS // 60} minutes; cut it, or use `syncdiff dub` in a shell"


def check_video(path: Path) -> str:
    """Say in a line what a video is.

    Raises:
        ClipRejected: it cannot be read, or is too long.
        OSError: it is not there.
    """
    found = probe(path)
    if found.duration_s > MAX_SECONDS:
        raise ClipRejected(TOO_LONG)
    if found.n_frames > max(found.duration_s, 1) * MAX_RATE:
        raise ClipRejected(f"more than {MAX_RATE} frames a second; give fewer")
    return f"{found.duration_s:.1f} s, {found.width} × {found.height}, {found.fps:.4g} frames a second"


def check_source(path: Path) -> str:
    """Say in a line what a video to dub is.

    Raises:
        ClipRejected, UserError: as `check_video`; or it cannot be written again.
        OSError: it is not there.
    """
    line = check_video(path)
    check_form(path.with_name("dubbed.mp4"), Video(path).form)
    return line


def check_sound(path: Path) -> str:
    """Say in a line how long a sound is: by its samples, not by what its header says.

    Raises:
        ClipRejected: it cannot be read, or is too long.
        OSError: it is not there.
    """
    n_samples = 0
    for piece in stream_audio(path):
        n_samples += len(piece)
        if n_samples > MAX_SECONDS * SAMPLE_RATE:
            raise ClipRejected(TOO_LONG)
    return f"{n_samples / SAMPLE_RATE:.1f} s of sound"
