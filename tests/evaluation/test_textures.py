"""The stand-in for Inception ranks known degradations rightly: more of each is farther from the real pictures."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from syncdiff.evaluation.metrics.fidelity import Moments, fid_features, frechet_distance
from syncdiff.media.video import read_frames

Change = Callable[[np.ndarray, float], np.ndarray]
MOUTH = slice(36, 60), slice(16, 48)  # rows, columns of a 64-pixel face crop


def blur(crop: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(crop, (0, 0), sigma)


def noise(crop: np.ndarray, sigma: float) -> np.ndarray:
    normal = np.random.default_rng(int(crop.sum())).normal(0, sigma, crop.shape)
    return np.clip(crop + normal, 0, 255).astype(np.uint8)


def jpeg(crop: np.ndarray, quality: float) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1], cv2.IMREAD_COLOR)


def downscale(crop: np.ndarray, factor: float) -> np.ndarray:
    small = cv2.resize(crop, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def blurred_mouth(crop: np.ndarray, sigma: float) -> np.ndarray:
    changed = crop.copy()
    changed[MOUTH] = blur(crop, sigma)[MOUTH]
    return changed


def shifted_mouth(crop: np.ndarray, pixels: float) -> np.ndarray:
    changed = crop.copy()
    changed[MOUTH] = np.roll(crop, int(pixels), axis=1)[MOUTH]
    return changed


DEGRADATIONS: dict[str, tuple[Change, list[float]]] = {
    "blur": (blur, [0.5, 1, 2, 4]),
    "noise": (noise, [3, 8, 20, 50]),
    "jpeg": (jpeg, [80, 40, 15, 5]),
    "downscale": (downscale, [1.33, 2, 4, 8]),
    "blurred mouth": (blurred_mouth, [0.7, 1.5, 3, 6]),
    "shifted mouth": (shifted_mouth, [1, 3, 6, 12]),
}


def drawn_faces(n: int) -> np.ndarray:
    """Ovals with eyes, a mouth and grain, (n, 64, 64, 3): for machines without real clips."""
    rng = np.random.default_rng(0)
    crops = []
    for _ in range(n):
        crop = np.full((64, 64, 3), rng.integers(60, 200, 3), np.uint8)
        cv2.ellipse(crop, (32, 32), (24, 30), 0, 0, 360, rng.integers(100, 230, 3).tolist(), -1)
        for x in (22, 42):
            cv2.circle(crop, (int(x + rng.integers(-1, 2)), 25), 3, (30, 30, 30), -1)
        cv2.ellipse(crop, (32, 47), (int(rng.integers(7, 11)), int(rng.integers(1, 7))), 0, 0, 360, (60, 30, 90), -1)
        crops.append(np.clip(crop + rng.normal(0, 4, crop.shape), 0, 255).astype(np.uint8))
    return np.stack(crops)


def real_faces(shared: Path) -> np.ndarray:
    """Crops around the middle of GRID's faces, of five speakers, (n, 64, 64, 3)."""
    crops = []
    for speaker in sorted((shared / "clips/grid/mvlrs_v1/main").iterdir()):
        for video in sorted(speaker.glob("*.mp4"))[:4]:
            for frame in islice(read_frames(video), 0, None, 8):
                side = min(frame.shape[:2])
                top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
                square = frame[top : top + side, left : left + side]
                crops.append(cv2.resize(square, (64, 64), interpolation=cv2.INTER_AREA))
    return np.stack(crops)


def moments(crops: np.ndarray) -> Moments:
    result = Moments()
    result.add(fid_features(None)[0](crops))
    return result


def check_ranking(crops: np.ndarray) -> None:
    real = moments(crops)
    for name, (change, strengths) in DEGRADATIONS.items():
        changed = [moments(np.stack([change(crop, strength) for crop in crops])) for strength in strengths]
        distances = [frechet_distance(real.mean, real.covariance, side.mean, side.covariance) for side in changed]
        print(f"{name:14}", "  ".join(f"{s:g}: {d:.2f}" for s, d in zip(strengths, distances, strict=True)))
        assert distances[0] > 0
        assert distances == sorted(distances), name


def test_ranks_degradations_of_drawn_faces() -> None:
    check_ranking(drawn_faces(120))


def test_ranks_degradations_of_real_faces(shared: Path) -> None:
    check_ranking(real_faces(shared))


def test_halves_of_one_set_are_near(shared: Path) -> None:
    """Random halves of the real crops are nearer than a mild blur: the sampling error does not drown the signal."""
    crops = np.random.default_rng(0).permutation(real_faces(shared))
    first, second = moments(crops[::2]), moments(crops[1::2])
    soft = moments(np.stack([blur(crop, 1.0) for crop in crops[1::2]]))
    near = frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
    assert near < frechet_distance(first.mean, first.covariance, soft.mean, soft.covariance) / 2
