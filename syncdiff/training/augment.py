"""Crops as of other people, for the autoencoder: mirrored, and in other colours, which few speakers all wear."""

from __future__ import annotations

import numpy as np

GAINS = (0.75, 1.25)  # of red, green and blue


def augment(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change the colours of each of frames (N, H, W, 3) uint8, and mirror all of them or none."""
    coloured = color_jitter(frames, rng)
    return mirror(coloured) if rng.random() < 0.5 else coloured


def color_jitter(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Multiply red, green and blue of each of frames (N, H, W, 3) uint8 by gains drawn from `GAINS`."""
    gains = rng.uniform(*GAINS, (len(frames), 3)).astype(np.float32)
    return np.clip(frames * gains[:, None, None], 0, 255).astype(np.uint8)


def mirror(frames: np.ndarray) -> np.ndarray:
    """Exchange left and right of frames (N, H, W, 3)."""
    return np.ascontiguousarray(frames[:, :, ::-1])
