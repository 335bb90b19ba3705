"""Drift: means frame by frame over the clips that are left, and one slope for clips of their own levels."""

import numpy as np
import pandas as pd
import pytest

from syncdiff.registry.metrics import DRIFT
from syncdiff.report.drift import course, slope
from syncdiff.report.plots import drift

pytestmark = pytest.mark.quick


def test_means_are_of_the_clips_that_have_the_frame() -> None:
    found = course([np.array([1.0, 2.0, 7.0]), np.array([3.0, 6.0]), np.array([5.0])], resamples=200, seed=0)
    assert found.mean.tolist() == [3, 4, 7]
    assert found.n_clips.tolist() == [3, 2, 1]
    assert found.low[:2].tolist() == [1, 2]
    assert found.high[:2].tolist() == [5, 6]
    assert np.isnan([found.low[2], found.high[2]]).all()  # one clip says nothing about others


def test_the_slope_is_per_second() -> None:
    assert slope([np.array([0.0, 1.0])], 25, 10, 0).value == pytest.approx(25)
    found = slope([4 - 0.08 * np.arange(50), 9 - 0.08 * np.arange(70)], 25, 10, 0)
    assert tuple(found) == pytest.approx((-2, -2, -2))


def test_clips_that_end_early_bend_no_slope() -> None:
    """Flat clips, of which the good ones are the short ones: their mean rises, none of them does."""
    assert tuple(slope([np.full(20, 1.0), np.full(80, 5.0)], 25, 10, 0)) == pytest.approx((0, 0, 0))


def test_clips_weigh_by_what_they_say_about_a_slope() -> None:
    """By hand: sums of squared seconds 0.5 and 2 at 1 fps, slopes 1 and 0."""
    assert slope([np.array([0.0, 1.0]), np.zeros(3)], 1, 10, 0).value == pytest.approx(0.5 * 1 / (0.5 + 2))


def test_a_growing_error_is_told_from_noise() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=length) + rng.normal() for length in rng.integers(50, 90, 12)]
    flat = slope(noise, 25, 500, 0)
    growing = slope([values + 0.5 * np.arange(len(values)) / 25 for values in noise], 25, 500, 0)
    assert flat.low < 0 < flat.high
    assert 0 < growing.low < 0.5 < growing.high
    assert growing.value - flat.value == pytest.approx(0.5)


def test_the_interval_needs_two_clips() -> None:
    found = slope([np.arange(5.0)], 25, 10, 0)
    assert found.value == pytest.approx(25)
    assert np.isnan([found.low, found.high]).all()


def scores(method: str, series: list[np.ndarray | None]) -> pd.DataFrame:
    rows = [
        {"method": method, "protocol": "paired", "metric": metric, "series": None if s is None else s[first:]}
        for metric, first in DRIFT.items()
        for s in series
    ]
    return pd.DataFrame(rows)


def test_the_figure_names_slopes_and_clips_and_starts_where_the_series_does() -> None:
    rising = [0.02 * np.arange(50), 1 + 0.02 * np.arange(26), None]
    figure = drift(pd.concat([scores("real", [np.zeros(50)] * 2), scores("syncdiff", rising)]), ["real", "syncdiff"], 0)
    for panel, (metric, first) in zip(figure.axes, DRIFT.items(), strict=True):
        label = panel.get_legend().get_texts()[1].get_text()
        assert label.startswith("0.500 (" if metric == "flicker_mouth" else "0.5000 (")
        assert label.endswith("2 → 1")
        assert {float(line.get_xdata()[0]) for line in panel.get_lines()} == {first / 25}
        assert {float(line.get_xdata()[-1]) for line in panel.get_lines()} == {49 / 25}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["real video", "SyncDiff"]


def test_lines_are_faint_where_few_clips_are_left() -> None:
    figure = drift(scores("syncdiff", [np.zeros(50), np.zeros(40), np.zeros(20), np.zeros(20)]), ["syncdiff"], 0)
    faint, full = figure.axes[0].get_lines()
    assert (len(faint.get_xdata()), len(full.get_xdata())) == (50, 40)


def test_a_method_without_series_is_left_out() -> None:
    figure = drift(scores("syncdiff", [None, None]), ["syncdiff"], 0)
    assert [len(panel.get_lines()) for panel in figure.axes] == [0, 0, 0]
