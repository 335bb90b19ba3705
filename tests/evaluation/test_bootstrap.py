"""The bootstrap interval, against what theory says of it."""

import numpy as np
import pytest

from syncdiff.evaluation.metrics.bootstrap import interval, mean_interval, resample

pytestmark = pytest.mark.quick


def test_interval_of_the_mean_has_the_width_of_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = mean_interval(values, 2000, seed=0)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_same_seed_same_interval() -> None:
    values = np.arange(12.0)
    assert mean_interval(values, 50, seed=3) == mean_interval(values, 50, seed=3)
    assert mean_interval(values, 50, seed=3) != mean_interval(values, 50, seed=4)


def test_resamples_draw_with_replacement() -> None:
    draws = resample(10, 100, seed=0)
    assert draws.shape == (100, 10)
    assert draws.min() == 0
    assert draws.max() == 9
    assert any(len(set(draw)) < 10 for draw in draws)


def test_infinite_figures_keep_infinite_bounds() -> None:
    assert mean_interval(np.full(5, np.inf), 50, seed=0) == (np.inf, np.inf)


def test_bounds_leave_out_two_and_a_half_percent_each() -> None:
    assert interval(np.arange(1000.0)) == (24.0, 974.0)


@pytest.mark.parametrize("n_clips", [0, 1])
def test_too_few_clips_have_no_interval(n_clips: int) -> None:
    assert np.isnan(mean_interval(np.ones(n_clips), 50, seed=0)).all()
