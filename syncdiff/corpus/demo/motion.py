"""Head motion, blinks, brows and gaze of one clip: smooth, and drawn from a random generator."""

from __future__ import annotations

import numpy as np

from syncdiff.corpus.demo.head import Pose
from syncdiff.media.container import FPS

BLINK_EVERY_S = 2.8  # on average
BLINK_S = 0.30


def random_motion(rng: np.random.Generator, n_frames: int) -> list[Pose]:
    """Draw one pose per frame."""
    times = (np.arange(n_frames) + 0.5) / FPS
    yaw = rng.normal(0, 0.10) + 0.11 * _drift(rng, times, 2.5)
    pitch = rng.normal(0.0, 0.05) + 0.06 * _drift(rng, times, 1.5)
    roll = rng.normal(0, 0.04) + 0.05 * _drift(rng, times, 2.5)
    shift = 0.06 * np.stack([_drift(rng, times, 3.0), _drift(rng, times, 3.0)], axis=1)
    blink, brow = _blinks(rng, times), 0.5 * _drift(rng, times, 1.2)
    # Eyes mostly stay on the camera while the head turns.
    gaze = np.stack([0.4 * (yaw.mean() - yaw), 0.4 * (pitch.mean() - pitch)], axis=1) + rng.normal(0, 0.03, 2)
    return [
        Pose(yaw[t], pitch[t], roll[t], (shift[t, 0], shift[t, 1]), blink[t], brow[t], (gaze[t, 0], gaze[t, 1]))
        for t in range(n_frames)
    ]


def _drift(rng: np.random.Generator, times: np.ndarray, period_s: float) -> np.ndarray:
    """Smooth noise of about unit size: four sinusoids around a period, at random phases."""
    periods = period_s * rng.uniform(0.6, 2.2, 4)
    phases = rng.uniform(0, 2 * np.pi, 4)
    drift: np.ndarray = np.sin(2 * np.pi * times[:, None] / periods + phases).sum(axis=1) / np.sqrt(2)
    return drift.clip(-2, 2)


def _blinks(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Lids, 0 open to 1 shut, (T,)."""
    lids = np.zeros(len(times))
    start = float(rng.uniform(0, BLINK_EVERY_S))
    while start < times[-1]:
        phase = ((times - start) / BLINK_S).clip(0, 1)
        lids = np.maximum(lids, np.sin(np.pi * phase**0.7) ** 2)
        start += BLINK_S + float(rng.exponential(BLINK_EVERY_S))
    return lids
