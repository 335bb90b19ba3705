"""The closed mouth of a person, and how it is laid over a generated one while the sound is silent."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from syncdiff.faces.align import BLOCK
from syncdiff.faces.ibug import ALL_BUT_MOUTH, LIPS

STILL = np.r_[0:4, 13:17, 17:48]  # points that speech does not move: sides of the jaw, brows, nose, eyes
REACH = np.array([0.2, 0.15])  # half width and height of what is laid over, in crop sides: it hides an open mouth
FEATHER = 0.4  # of its half axes
PAST_CLOSED = 0.03  # openings above the smallest that are as good: among them, the pose decides


@dataclass(frozen=True)
class ClosedMouth:
    """A crop (S, S, 3) uint8 with a closed mouth, and its landmarks (68, 2) in pixels of the crop."""

    crop: np.ndarray
    points: np.ndarray

    def moves(self, landmarks: np.ndarray, transforms: np.ndarray) -> np.ndarray:
        """Return the affine maps (T, 2, 3) from this crop to others, which bring its still points nearest to theirs.

        Args:
            landmarks: (T, 68, 2) of the source.
            transforms: (T, 2, 3) from there to the crops.
        """
        inverse = np.linalg.pinv(np.column_stack([self.points[STILL], np.ones(len(STILL))]))  # (3, K)
        maps = np.empty((len(landmarks), 2, 3))
        for start in range(0, len(landmarks), BLOCK):
            block = slice(start, start + BLOCK)
            turns, shifts = transforms[block, :, :2], transforms[block, None, :, 2]
            theirs = np.einsum("tij,tkj->tki", turns, landmarks[block, STILL]) + shifts
            maps[block] = np.einsum("ik,tkj->tji", inverse, theirs)
        return maps

    def laid_over(self, crop: np.ndarray, move: np.ndarray, share: float) -> np.ndarray:
        """Return a crop whose lips are, by a share of 0 to 1, these."""
        size = len(crop)
        lips = cv2.warpAffine(self.crop, move, (size, size), borderMode=cv2.BORDER_REPLICATE)
        weight = share * cv2.warpAffine(self._region(size), move, (size, size))[..., None]
        return np.rint(crop + (lips - crop.astype(np.float32)) * weight).astype(np.uint8)

    def _region(self, size: int) -> np.ndarray:
        """Return an ellipse around the lips that fades out: (S, S) float32."""
        middle = self.points[LIPS].mean(axis=0)
        y, x = np.mgrid[:size, :size]
        radius = np.hypot(*((np.stack([x, y], axis=-1) - middle) / (size * REACH)).transpose(2, 0, 1))
        return ((1 - radius) / FEATHER).clip(0, 1).astype(np.float32)


def usual_pose(points: np.ndarray) -> np.ndarray:
    """Return how far each face's pose is from the median of all: landmarks in crops (N, 68, 2) to (N,)."""
    face = points[:, ALL_BUT_MOUTH]
    distances: np.ndarray = np.square(face - np.median(face, axis=0)).sum(axis=(1, 2))
    return distances
