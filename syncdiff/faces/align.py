"""Similarity alignment: a face upright at a fixed place and size in a square crop, and the crop back in its frame."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from syncdiff.config import Faces
from syncdiff.faces.ibug import EYE_CORNERS, NOSE_BASE, NOSE_RIDGE
from syncdiff.faces.track import Segment
from syncdiff.media.video import read_frames

ANCHORS = np.array([*EYE_CORNERS, *NOSE_RIDGE, NOSE_BASE])  # the points that speech does not move
# Where they lie in a frontal face, x right and y down from the middle of the eyes, in distances between the eyes: the
# median over GRID's speakers, made symmetric.
ANCHOR_SHAPE = np.array(
    [
        *((-0.725, 0.0), (-0.275, 0.0), (0.275, 0.0), (0.725, 0.0)),
        *((0.0, -0.07), (0.0, 0.155), (0.0, 0.375), (0.0, 0.525), (0.0, 0.75)),
    ]
)
# In crop sides. A chin hangs 1.8 to 2.1 eye distances below the eyes and 2.4 with the mouth wide open, at 0.98.
EYE_LINE = 0.33
EYE_DISTANCE = 0.27
# Bilinear weights would blur on both ways: docs/decisions.md, "How is a face resampled?".
TO_CROP, TO_FRAME = cv2.INTER_CUBIC, cv2.INTER_LANCZOS4
BLOCK = 4096  # frames aligned at once: bounds the memory that a long clip needs


def align(video: Path | str, segment: Segment, faces: Faces) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Align the speaker's face: transforms (T, 2, 3) from the source to crops, and the crops (S, S, 3) uint8."""
    transforms = alignment(segment.landmarks, faces)
    frames = islice(read_frames(video, segment.start), len(transforms))
    return transforms, (warp(*pair, faces.size) for pair in zip(frames, transforms, strict=True))


def alignment(landmarks: np.ndarray, faces: Faces) -> np.ndarray:
    """Return the transforms (T, 2, 3) float64, source to crop, of a face's landmarks (T, 68, 2), smoothed over time."""
    anchors = smooth_landmarks(landmarks[:, ANCHORS], faces.smoothing_frames)
    blocks = (anchors[start : start + BLOCK] for start in range(0, len(anchors), BLOCK))
    return np.concatenate([similarity(block, faces.size) for block in blocks])


@cache
def template(size: int) -> np.ndarray:
    """Return where the anchors belong in a crop of `size` pixels: (9, 2) float64, in the order of `ANCHORS`."""
    points = size * (np.array([0.5, EYE_LINE]) + EYE_DISTANCE * ANCHOR_SHAPE) - 0.5  # pixel centres are whole numbers
    points.flags.writeable = False
    return points


def similarity(anchors: np.ndarray, size: int) -> np.ndarray:
    """Return the rotation, scale and shift that bring the anchors nearest to their template (least squares).

    Args:
        anchors: (..., 9, 2), the landmarks `ANCHORS`, in pixels of the source.
        size: side of the crop in pixels.

    Returns:
        (..., 2, 3) float64, source to crop.
    """
    source, target = _complex(anchors), _complex(template(size))  # x + iy
    source_mean, target_mean = source.mean(axis=-1), target.mean()
    centred = source - source_mean[..., None]
    # target = a * source + b; a = scale * e^(i * angle)
    a = (centred.conj() * (target - target_mean)).sum(axis=-1) / (np.abs(centred) ** 2).sum(axis=-1)
    b = target_mean - a * source_mean
    rows = np.stack([a.real, -a.imag, b.real, a.imag, a.real, b.imag], axis=-1)
    return rows.reshape(*rows.shape[:-1], 2, 3)


def smooth_landmarks(points: np.ndarray, width: int) -> np.ndarray:
    """Smooth the points (T, n, 2) of one track over time without lag, for its transforms; `width` 1 changes nothing."""
    return points if width == 1 else gaussian_filter1d(points, sigma=width / 4, axis=0, mode="nearest")


def warp(frame: np.ndarray, transform: np.ndarray, size: int) -> np.ndarray:
    """Cut an aligned crop out of a frame; beyond the frame's edge its last pixels are repeated.

    Args:
        frame: (H, W, 3) uint8.
        transform: (2, 3), source to crop.
        size: side of the crop in pixels.

    Returns:
        (size, size, 3) uint8.
    """
    shrink = max(round(1 / scale_of(transform)), 1)  # a strong reduction averages over areas, else it would alias
    fine = _rescaled(transform, shrink)
    side = size * shrink
    crop = cv2.warpAffine(frame, fine, (side, side), flags=TO_CROP, borderMode=cv2.BORDER_REPLICATE)
    return crop if shrink == 1 else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)


def paste(frame: np.ndarray, crop: np.ndarray, transform: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Put a crop back into its frame where the mask says: the inverse of `warp`.

    Args:
        frame: (H, W, 3) uint8.
        crop: (S, S, 3) uint8.
        transform: (2, 3), source to crop.
        mask: (S, S) float, 1 = from the crop, 0 = from the frame.

    Returns:
        (H, W, 3) uint8, a copy.
    """
    pasted = frame.copy()
    x0, y0, x1, y1 = _footprint(transform, mask, frame)
    if x0 >= x1 or y0 >= y1:
        return pasted
    region = pasted[y0:y1, x0:x1]  # (h, w, 3)
    local = transform + np.outer(transform[:, :2] @ [x0, y0], [0, 0, 1])  # region to crop
    face, weight = unwarp(crop, mask, local, (x1 - x0, y1 - y0))
    weight = weight[..., None]
    face -= region  # in place: large arrays are what this costs
    face *= weight
    face += region
    region[:] = np.rint(face, out=face)
    return pasted


def unwarp(
    crop: np.ndarray, mask: np.ndarray, transform: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `size`, width and height, of a source's pixels show of a crop and of its mask.

    Args:
        crop: (S, S, 3) uint8; beyond its edge its last pixels are repeated.
        mask: (S, S) float; beyond its edge it is 0.
        transform: (2, 3), from those pixels to the crop.
        size: width w and height h.

    Returns:
        (h, w, 3) float32 in [0, 255], and (h, w) float32.
    """
    back = cv2.WARP_INVERSE_MAP
    face = cv2.warpAffine(crop, transform, size, flags=TO_FRAME | back, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(mask.astype(np.float32), transform, size, flags=cv2.INTER_LINEAR | back)
    return face.astype(np.float32), weight


def scale_of(transform: np.ndarray) -> float:
    """Return the size of a source pixel in crop pixels."""
    return float(np.hypot(transform[0, 0], transform[1, 0]))


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0].astype(np.float64) + 1j * points[..., 1]


def _footprint(transform: np.ndarray, mask: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Where the part of a crop above 0 in its mask lies in its frame: x0, y0, x1, y1 in whole pixels, inside it."""
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    right, bottom = left + width, top + height
    corners = np.array([[[left - 1, top - 1], [right, top - 1], [right, bottom], [left - 1, bottom]]], np.float64)
    points = cv2.transform(corners, cv2.invertAffineTransform(transform))[0]  # (4, 2)
    bounds = np.concatenate([np.floor(points.min(axis=0)), np.ceil(points.max(axis=0)) + 1])
    return bounds.clip(0, np.tile(frame.shape[1::-1], 2)).astype(int)


def _rescaled(transform: np.ndarray, factor: int) -> np.ndarray:
    """The transform into a crop `factor` times as fine; pixel centres are whole numbers in both."""
    fine = factor * transform
    fine[:, 2] += (factor - 1) / 2
    return fine
