"""The frames of a video for several passes: kept in memory where they fit, else decoded again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from syncdiff.media.video import read_frames

BYTES_KEPT = 128_000_000  # a minute of LRS2's frames, 7 s of 360p, 20 frames of 1080p; each worker keeps so much


class Replay:
    """Iterates over the frames of a video, as `read_frames` yields them, as often as it is asked to."""

    def __init__(self, video: Path | str, bytes_kept: int = BYTES_KEPT) -> None:
        self._video = video
        self._bytes_kept = bytes_kept
        self._kept: list[np.ndarray] | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        """Decode, or after a first pass that went to the end give what was kept of it.

        Raises:
            ClipRejected: as `read_frames`.
        """
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[np.ndarray] = []
        n_bytes = 0
        for frame in read_frames(self._video):
            n_bytes += frame.nbytes
            if n_bytes <= self._bytes_kept:
                kept.append(frame)
            elif kept:
                kept = []
            yield frame
        if n_bytes <= self._bytes_kept:
            self._kept = kept
