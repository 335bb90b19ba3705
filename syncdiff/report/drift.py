"""Drift: whether a figure gets worse along a clip, as it would where frames inherit the errors of those before them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from syncdiff.evaluation.metrics.bootstrap import interval, mean_interval, resample


class Course(NamedTuple):
    """A figure against the frame index, over the clips that have a value there; L is the longest clip's length."""

    mean: np.ndarray  # (L,)
    low: np.ndarray  # (L,) lower bound of the mean's 95 % interval, NaN where one clip is left
    high: np.ndarray  # (L,) upper bound
    n_clips: np.ndarray  # (L,)


class Slope(NamedTuple):
    """A change per second with its 95 % interval, which is NaN for a single clip."""

    value: float
    low: float
    high: float


def course(series: Sequence[np.ndarray], resamples: int, seed: int) -> Course:
    """Average per-frame values (T_i,) of clips frame by frame, with a bootstrap over the clips that have the frame."""
    at_frame = [np.array([v for v in values if v is not None]) for values in zip_longest(*series)]
    bounds = np.array([mean_interval(values, resamples, seed) for values in at_frame])  # (L, 2)
    means = np.array([values.mean() for values in at_frame])
    return Course(means, bounds[:, 0], bounds[:, 1], np.array([len(values) for values in at_frame]))


def slope(series: Sequence[np.ndarray], fps: float, resamples: int, seed: int) -> Slope:
    """Fit by least squares one slope to all clips (T_i,), where each clip has a level of its own.

    Clips that end early then bend nothing, and long clips, which say more about a slope than short ones, weigh more.
    The interval is a bootstrap over clips. At least one clip must have two frames.
    """
    centred = [(np.arange(len(values)) - (len(values) - 1) / 2) / fps for values in series]  # seconds
    products = np.array([time @ values for time, values in zip(centred, series, strict=True)])
    squares = np.array([time @ time for time in centred])
    low, high = float("nan"), float("nan")
    if len(series) > 1:
        draws = resample(len(series), resamples, seed)
        low, high = interval(products[draws].sum(axis=1) / squares[draws].sum(axis=1))
    return Slope(float(products.sum() / squares.sum()), low, high)
