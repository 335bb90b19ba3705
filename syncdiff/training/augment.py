"""Crops as of other people: mirrored, and in other colours, which few speakers in training do not all wear."""

from __future__ import annotations

import numpy as np

GAINS = (0.75, 1.25)  # of red, green and blue


def mirrored(frames: np.ndarray) -> np.ndarray:
    """Exchange left and right of frames (N, H, W, 3)."""
    return np.ascontiguousarray(frames[:, :, ::-1])


def tinted(frames: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Multiply the colours of frames (N, H, W, 3) uint8 by gains (N or 1, 3)."""
    return np.clip(frames * gains[:, None, None].astype(np.float32), 0, 255).astype(np.uint8)


def random_gains(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw gains (n, 3) for `tinted`."""
    return rng.uniform(*GAINS, (n, 3))
