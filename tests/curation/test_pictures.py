"""What pictures are like, where it is known: blur, blocks, turned heads, noise on landmarks."""

import cv2
import numpy as np
import pytest

from syncdiff.curation.pictures import (
    ANCHOR_DEPTH,
    Looks,
    block_steps,
    blockiness,
    head_pose,
    jitter,
    pose_measures,
    sharpness,
)
from syncdiff.faces.align import ANCHOR_SHAPE, ANCHORS

pytestmark = pytest.mark.quick


def texture(size: int = 128, seed: int = 0) -> np.ndarray:
    """A smooth random picture (size, size, 3) without any grid."""
    noise = np.random.default_rng(seed).normal(size=(size, size, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return (128 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def face(yaw: float = 0.0, pitch: float = 0.0, size: float = 40.0) -> np.ndarray:
    """Landmarks (68, 2) of an average head, turned by degrees to the picture's right and upwards, seen from afar."""
    y, p = np.radians([yaw, pitch])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    points = np.column_stack([ANCHOR_SHAPE, -ANCHOR_DEPTH]) @ (turn @ nod).T
    landmarks = np.zeros((68, 2), np.float32)
    landmarks[36:42], landmarks[42:48] = (-0.5 * size + 96, 80), (0.5 * size + 96, 80)
    landmarks[ANCHORS] = size * points[:, :2] + (96, 80)
    landmarks[48:68] = landmarks[33] + (0, 0.3 * size)
    return landmarks


def test_a_blurred_picture_is_less_sharp() -> None:
    values = [sharpness(cv2.GaussianBlur(texture(), (0, 0), sigma)) for sigma in (0.01, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert values[2] < values[0] / 3


def test_blocks_are_found_wherever_their_grid_lies() -> None:
    ok, data = cv2.imencode(".jpg", texture(200), [cv2.IMWRITE_JPEG_QUALITY, 8])
    blocky = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert ok
    whole, cut = (blockiness(block_steps(picture)[None]) for picture in (blocky, blocky[3:, 5:]))
    assert blockiness(block_steps(texture(200))[None]) < 1.15
    assert min(whole, cut) > 1.5


def test_a_picture_of_one_colour_or_too_small_has_no_blockiness() -> None:
    assert np.isnan(blockiness(block_steps(np.full((64, 64, 3), 9, np.uint8))[None]))
    assert np.isnan(blockiness(block_steps(texture(16))[None]))


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (30, 0), (-30, 0), (0, 20), (0, -20), (25, -15)])
def test_a_turned_head_is_seen_as_turned(yaw: float, pitch: float) -> None:
    found = head_pose(face(yaw, pitch)[None])
    assert np.concatenate(found) == pytest.approx([yaw, pitch], abs=0.01)


def test_the_pose_neither_depends_on_size_nor_on_the_place_or_a_tilt() -> None:
    tilt = np.array([[0.9, -0.1], [0.1, 0.9]])
    assert np.concatenate(head_pose((3 * face(20, 0) @ np.eye(2) + 50)[None])) == pytest.approx([20, 0], abs=0.01)
    tilted = head_pose((face(0, 0) @ tilt.T)[None])
    assert np.concatenate(tilted) == pytest.approx([0, 0], abs=0.01)


def test_turning_is_the_range_of_the_wider_angle() -> None:
    heads = np.stack([face(yaw, yaw / 4) for yaw in np.linspace(-20, 20, 41)])
    measured = pose_measures(heads)
    assert measured["yaw"] == pytest.approx(0, abs=0.1)
    assert measured["turning"] == pytest.approx(36, abs=0.5)


def test_jitter_is_the_noise_of_landmarks_and_not_their_motion() -> None:
    rng = np.random.default_rng(0)
    moving = np.stack(
        [face() + np.array([3 * np.sin(t / 8), t / 2]) for t in range(200)]
    )  # a head that sways and drifts
    noisy = moving + rng.normal(0, 0.4, moving.shape)  # of 40 pixels between the eyes: 1 %
    assert jitter(moving) < 0.1
    assert jitter(noisy) == pytest.approx(1.0, abs=0.1)
    assert np.isnan(jitter(moving[:2]))


def test_looks_are_of_the_mouth_and_of_the_face() -> None:
    looks, blurred = Looks(), Looks()
    frame, crop = texture(192), texture(64)
    mouth = crop.copy()
    mouth[32:, 16:48] = cv2.GaussianBlur(mouth, (0, 0), 3)[32:, 16:48]
    for _ in range(3):
        looks.add(frame, face(), crop)
        blurred.add(frame, face(), mouth)
    assert blurred.measures()["sharpness"] < looks.measures()["sharpness"] / 3
    assert blurred.measures()["blockiness"] == looks.measures()["blockiness"] < 1.3
