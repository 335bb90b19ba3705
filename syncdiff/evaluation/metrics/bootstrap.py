"""Percentile bootstrap over clips (Efron 1979): frames of one clip depend on each other, clips do not."""

from __future__ import annotations

import numpy as np

BOUNDS = (0.025, 0.975)  # of the 95 % interval


def resample(n_clips: int, count: int, seed: int) -> np.ndarray:
    """Draw `count` resamples with replacement: indices (count, n_clips)."""
    return np.random.default_rng(seed).integers(n_clips, size=(count, n_clips))


def interval(statistics: np.ndarray) -> tuple[float, float]:
    """Return the central 95 % of the statistics (count,) of the resamples, each bound one of them."""
    low, high = np.quantile(statistics, BOUNDS, method="inverted_cdf")  # no interpolation: inf stays inf
    return float(low), float(high)


def mean_interval(values: np.ndarray, count: int, seed: int) -> tuple[float, float]:
    """Return the interval of the mean of per-clip values (n,); NaN where fewer than two clips say nothing about it."""
    if len(values) < 2:
        return float("nan"), float("nan")
    return interval(values[resample(len(values), count, seed)].mean(axis=1))
