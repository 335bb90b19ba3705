"""Sharpness of the mouth, and what is cut out of a frame for it."""

import cv2
import numpy as np
import pytest

from syncdiff.errors import ClipRejected
from syncdiff.evaluation.cuts import PORTRAIT_SIDE, Cuts, Places, cut_mouth, cut_portrait
from syncdiff.evaluation.metrics.sharpness import laplacian_variance, sharpness_ratio

pytestmark = pytest.mark.quick
RNG = np.random.default_rng(0)


def textures(n: int) -> list[np.ndarray]:
    return [cv2.GaussianBlur(RNG.integers(0, 256, (24, 40), dtype=np.uint8), (0, 0), 1) for _ in range(n)]


def face(x: float, y: float) -> np.ndarray:
    """Eyes 20 apart above lips that are 16 wide and 8 high, with their middle at (x, y)."""
    points = np.full((68, 2), (x, y), np.float32)
    points[36:42], points[42:48] = (x - 10, y - 20), (x + 10, y - 20)
    points[48], points[54], points[51], points[57] = (x - 8, y), (x + 8, y), (x, y - 4), (x, y + 4)
    return points


def test_the_laplacian_is_that_of_the_four_neighbours() -> None:
    luma = RNG.integers(0, 256, (9, 11)).astype(np.uint8)
    inside = luma.astype(float)
    padded = np.pad(inside, 1, mode="reflect")
    neighbours = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    assert laplacian_variance(luma) == pytest.approx(np.var(neighbours - 4 * inside))


def test_blur_is_below_one_and_noise_above_it() -> None:
    real = textures(4)
    blurred = [cv2.GaussianBlur(mouth, (0, 0), 1.5) for mouth in real]
    noisy = [np.clip(mouth + RNG.normal(0, 20, mouth.shape), 0, 255).astype(np.uint8) for mouth in real]
    assert sharpness_ratio(real, real) == 1
    assert sharpness_ratio(blurred, real) < 0.5
    assert sharpness_ratio(noisy, real) > 1.5


def test_a_video_that_ends_early_is_compared_with_the_frames_that_it_has() -> None:
    sharp, flat = textures(2), [np.full((24, 40), 7, np.uint8)] * 2
    assert sharpness_ratio(sharp, [*sharp, *flat]) == 1
    with pytest.raises(ClipRejected, match="no edges"):
        sharpness_ratio(sharp, flat)


def test_a_mouth_is_cut_around_the_lips_as_it_is() -> None:
    frame = RNG.integers(0, 256, (100, 120, 3), dtype=np.uint8)
    mouth = cut_mouth(frame, face(60, 50))  # lips from 52 to 68 and from 46 to 54, and 0.15 x 20 more on each side
    np.testing.assert_array_equal(mouth, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[43:57, 49:71])


@pytest.mark.parametrize("place", [(0, 0), (119, 99), (-50, 40), (60, 300)])
def test_at_the_edge_of_the_picture_what_is_inside_is_cut(place: tuple[int, int]) -> None:
    frame = np.zeros((100, 120, 3), np.uint8)
    mouth = cut_mouth(frame, face(*place))
    assert min(mouth.shape) >= 3 and mouth.shape[0] <= 14 and mouth.shape[1] <= 22
    assert cut_portrait(frame, face(*place)).shape == (PORTRAIT_SIDE, PORTRAIT_SIDE, 3)


def test_portraits_are_cut_where_they_are_wanted() -> None:
    frame = np.zeros((100, 120, 3), np.uint8)
    for wanted, n in ((True, 2), (False, 0)):
        cuts = Cuts(Places(np.tile(np.eye(2, 3), (2, 1, 1)), np.stack([face(60, 50)] * 2), 32, wanted))
        assert [cuts.add(frame).shape for _ in range(2)] == [(32, 32, 3)] * 2
        assert cuts.stacked_portraits().shape == (n, PORTRAIT_SIDE, PORTRAIT_SIDE, 3)
        assert len(cuts.mouths) == 2


def test_a_portrait_has_the_forehead_above_the_landmarks() -> None:
    frame = np.zeros((100, 120, 3), np.uint8)
    frame[:26] = 255  # landmarks of face(60, 50) are from 30 to 54: a forehead is from 30 - 0.31 x 24 on
    portrait = cut_portrait(frame, face(60, 50))
    assert (portrait[:20] == 255).all() and (portrait[-180:] == 0).all()
