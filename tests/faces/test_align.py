"""Alignment: anchors reach their template, the mouth does not move the crop, and a crop goes back where it was."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from syncdiff.faces.align import ANCHORS, paste, scale_of, similarity, smooth_landmarks, template, warp

pytestmark = pytest.mark.quick


def moved(points: np.ndarray, scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ rotation.T + shift


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ transform[:, :2].T + transform[:, 2]


def picture_of_blobs(height: int = 300, width: int = 400) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 255, (height // 20, width // 20, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (0.2, 25.0), (3.0, -40.0)])
def test_anchors_reach_the_template(face: np.ndarray, scale: float, degrees: float) -> None:
    source = moved(face, scale, degrees, (31.0, -12.0))
    transform = similarity(source[ANCHORS], 96)
    np.testing.assert_allclose(apply(transform, source[ANCHORS]), template(96), atol=1e-3)
    assert scale_of(transform) == pytest.approx(0.27 * 96 / (60 * scale), rel=1e-4)


def test_eyes_lie_in_the_upper_third_and_an_open_mouth_fits() -> None:
    eyes = template(100)[:4].mean(axis=0)
    np.testing.assert_allclose(eyes, [49.5, 32.5])
    assert eyes[1] + 2.4 * 27 < 99


def test_only_stable_points_count(face: np.ndarray) -> None:
    talking = face.copy()
    talking[48:] += 15
    talking[:17] -= 9
    np.testing.assert_array_equal(similarity(talking[ANCHORS], 64), similarity(face[ANCHORS], 64))


def test_many_frames_at_once(face: np.ndarray) -> None:
    track = np.stack([moved(face, 1 + 0.1 * t, t, (t, 0)) for t in range(5)])
    transforms = similarity(track[:, ANCHORS], 64)
    assert transforms.shape == (5, 2, 3)
    np.testing.assert_allclose(transforms[3], similarity(track[3, ANCHORS], 64))


def test_smoothing_removes_jitter_without_lag(face: np.ndarray) -> None:
    drift = np.linspace(0, 50, 60)[:, None, None]
    track = face + drift
    np.testing.assert_allclose(
        smooth_landmarks(track, 5)[8:-8], track[8:-8], atol=1e-3
    )  # a steady motion is not delayed
    jitter = np.random.default_rng(0).normal(0, 1, track.shape)
    assert np.std(smooth_landmarks(track + jitter, 5) - smooth_landmarks(track, 5)) < 0.6
    np.testing.assert_array_equal(smooth_landmarks(track, 1), track)


@pytest.mark.parametrize("scale", [2.0, 0.7, 0.25, 0.1])
def test_warp_puts_pixels_where_the_transform_says(scale: float) -> None:
    rows, columns = np.mgrid[:400, :400]
    width = 5 / scale
    blob = 255 * np.exp(-(((columns - 149.5) / width) ** 2 + ((rows - 219.5) / width) ** 2))
    frame = np.repeat(blob[..., None], 3, axis=2).astype(np.uint8)
    transform = np.array([[scale, 0, 32 - scale * 150], [0, scale, 32 - scale * 220]])
    crop = warp(frame, transform, 64)
    assert crop.dtype == np.uint8
    weight = crop[..., 0].astype(float)
    rows, columns = np.mgrid[:64, :64]
    found = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()]
    np.testing.assert_allclose(found, apply(transform, np.array([149.5, 219.5])), atol=0.05)


def test_strong_reduction_does_not_alias() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = warp(stripes, np.array([[0.125, 0, 0], [0, 0.125, 0]]), 64)
    assert np.abs(crop[4:-4, 4:-4].astype(int) - 127).max() < 12


def test_paste_is_the_inverse_of_warp(face: np.ndarray) -> None:
    frame = picture_of_blobs()
    transform = similarity(moved(face, 0.8, 12, (30, 20))[ANCHORS], 128)
    mask = np.zeros((128, 128), np.float32)
    mask[20:108, 20:108] = 1
    back = paste(frame, warp(frame, transform, 128), transform, mask)
    assert np.abs(back.astype(int) - frame).mean() < 1.0
    outside = cv2.warpAffine(mask, transform, (400, 300), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP) == 0
    np.testing.assert_array_equal(back[outside], frame[outside])
    black = paste(frame, np.zeros((128, 128, 3), np.uint8), transform, mask)
    assert black[~outside].mean() < 0.1 * frame[~outside].mean()


def test_a_mouth_keeps_its_edges_in_a_crop_of_its_own_size_and_back() -> None:
    grain = np.random.default_rng(0).integers(0, 256, (160, 160, 3)).astype(np.uint8)
    frame = cv2.GaussianBlur(grain, (0, 0), 1.0)  # as sharp as a video's pictures are
    transform = np.array([[1.15, 0.05, -20.3], [-0.05, 1.15, -12.7]])  # GRID's scale
    back = paste(frame, warp(frame, transform, 128), transform, np.ones((128, 128)))
    inside = np.s_[40:110, 40:110]
    kept = cv2.Laplacian(back[inside], cv2.CV_64F).var() / cv2.Laplacian(frame[inside], cv2.CV_64F).var()
    assert 0.85 < kept < 1.05  # with bilinear weights 0.5


def test_paste_beside_the_picture_changes_nothing() -> None:
    frame = picture_of_blobs()
    far = np.array([[1.0, 0, 5000], [0, 1.0, 0]])
    np.testing.assert_array_equal(paste(frame, np.zeros((64, 64, 3), np.uint8), far, np.ones((64, 64))), frame)


def test_a_crop_is_pasted_wherever_its_mask_is_not_zero_and_nowhere_else() -> None:
    mask = np.zeros((40, 40), np.float32)
    mask[5:31, 12:39] = 1
    frame, crop = np.zeros((60, 70, 3), np.uint8), np.full((40, 40, 3), 200, np.uint8)
    shifted = np.array([[1.0, 0.0, -20.0], [0.0, 1.0, -10.0]])  # the crop's corner is at x 20, y 10 of the frame
    pasted = paste(frame, crop, shifted, mask)
    assert (pasted[15:41, 32:59] == 200).all()
    assert pasted.astype(int).sum() == 200 * 3 * mask.sum()
