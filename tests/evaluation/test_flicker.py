"""Flicker: values by hand on small videos."""

import numpy as np
import pytest

from syncdiff.evaluation.metrics.flicker import flicker

pytestmark = pytest.mark.quick

LEFT = np.arange(8) < 3
MASK = np.tile(LEFT, (8, 1))


@pytest.fixture
def real() -> np.ndarray:
    """Frames that all differ, (6, 8, 8, 3) uint8 from 60 to 189."""
    return np.random.default_rng(0).integers(60, 190, (6, 8, 8, 3)).astype(np.uint8)


def measured(real: np.ndarray, generated: np.ndarray) -> list[list[float]]:
    under, outside = flicker(zip(real, generated.astype(np.uint8), strict=True), MASK)
    return [under.tolist(), outside.tolist()]


def test_the_video_itself_and_a_constant_shift_do_not_flicker(real: np.ndarray) -> None:
    assert measured(real, real) == [[0] * 5] * 2
    assert measured(real, real - 60) == [[0] * 5] * 2
    assert measured(real, real + np.arange(8, dtype=np.uint8)[:, None]) == [[0] * 5] * 2


def test_alternating_noise_of_one_level_has_two(real: np.ndarray) -> None:
    sign = np.where(np.arange(6) % 2, 1, -1)[:, None, None, None]
    assert measured(real, real + sign) == [[2] * 5] * 2
    assert measured(real, real + sign * MASK[..., None]) == [[2] * 5, [0] * 5]


def test_a_single_jump_is_seen_where_and_when_it_is(real: np.ndarray) -> None:
    jump = real.astype(int)
    jump[4:, :, 4] -= 50  # one of the five columns outside the mask
    assert measured(real, jump) == [[0] * 5, [0, 0, 0, 10, 0]]


def test_black_against_white_and_back_is_the_most() -> None:
    real = np.zeros((3, 8, 8, 3), np.uint8)
    real[1] = 255
    assert measured(real, 255 - real) == [[510, 510]] * 2


def test_a_still_picture_has_the_motion_that_it_lacks(real: np.ndarray) -> None:
    still = np.stack([real[0]] * 6)
    motion = np.abs(np.diff(real.astype(int), axis=0))[:, :, LEFT].mean(axis=(1, 2, 3))
    assert measured(real, still)[0] == pytest.approx(motion)
