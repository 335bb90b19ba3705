"""Scene cuts: whether two neighbouring frames show different scenes."""

from __future__ import annotations

import cv2
import numpy as np

THUMBNAIL = 32  # pixels a side
# Over the cuts of a stage recording the measure is 0.8 to 1, at its fastest pans 0.5, in studio clips under 0.03.
CUT_CHANGE = 0.65
CONTRAST_FLOOR = 4.0  # grey levels: below it, differences are noise


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Shrink a frame (H, W, 3) to (32, 32) grey values, for `is_cut`."""
    stride = max(min(frame.shape[:2]) // (2 * THUMBNAIL), 1)
    grey = cv2.cvtColor(np.ascontiguousarray(frame[::stride, ::stride]), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Say whether a scene begins between two neighbouring thumbnails. Changes of brightness alone do not count.

    The measure is 1 - their correlation, kept low where neither has contrast.
    """
    before, after = (frame - frame.mean(dtype=np.float32) for frame in (before, after))
    energy = np.square(before).mean() + np.square(after).mean()  # grey levels squared
    return bool(np.square(after - before).mean() / (energy + CONTRAST_FLOOR**2) > CUT_CHANGE)
