"""Members of samples as bytes: what `write_wav` and `write_crops` write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from syncdiff.media.audio import write_wav
from syncdiff.media.video import write_crops


def wav_bytes(audio: np.ndarray) -> bytes:
    """Return (n,) int16 mono at 16 kHz as the bytes of a WAV file."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "audio.wav")
        write_wav(path, [audio])
        return path.read_bytes()


def crop_bytes(frames: Iterable[np.ndarray]) -> bytes:
    """Return crops (S, S, 3) uint8 as the bytes of an mp4 file."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "crop.mp4")
        write_crops(path, frames)
        return path.read_bytes()
