"""Boxes around points of a face."""

from __future__ import annotations

import numpy as np


def bounding_box(face: np.ndarray) -> np.ndarray:
    """Return the box around landmarks: (..., 68, 2) to (..., 4) as x0, y0, x1, y1."""
    return np.concatenate([face.min(axis=-2), face.max(axis=-2)], axis=-1)
