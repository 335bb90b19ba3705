"""What the pictures of a clip are like: sharpness, blocks, the head's pose, the noise of its landmarks."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from syncdiff.faces.align import ANCHOR_SHAPE, ANCHORS
from syncdiff.faces.boxes import bounding_box
from syncdiff.faces.ibug import EYES
from syncdiff.models.syncnet import mouth_view

BLOCK = 8  # pixels a side, of JPEG and MPEG
LOOK_EVERY = 5  # frames: neighbours are alike
# How far the points of `ANCHORS` stand out of the face, in distances between the eyes: by eye of an average face, in
# which the tip of the nose is 23 mm before its root, for 63 mm between the eyes.
ANCHOR_DEPTH = np.array([-0.30, -0.14, -0.14, -0.30, 0.0, 0.10, 0.22, 0.36, 0.12])
SECOND_DIFFERENCE = 6.0  # its variance, for white noise of variance 1


@dataclass
class Looks:
    """What is gathered over the frames of a clip, one in `LOOK_EVERY`."""

    sharpnesses: list[float] = field(default_factory=list)
    steps: list[np.ndarray] = field(default_factory=list)  # (2, 8) each

    def add(self, frame: np.ndarray, landmarks: np.ndarray, crop: np.ndarray) -> None:
        """Look at a frame (H, W, 3) uint8, with its face's landmarks (68, 2) and its aligned crop (S, S, 3)."""
        self.sharpnesses.append(sharpness(mouth_view(crop, len(crop) // 2)))
        self.steps.append(block_steps(_face_region(frame, landmarks)))

    def measures(self) -> dict[str, float]:
        """Return `sharpness` and `blockiness`."""
        return {"sharpness": float(np.median(self.sharpnesses)), "blockiness": blockiness(np.stack(self.steps))}


def sharpness(picture: np.ndarray) -> float:
    """Return the variance of the Laplacian of a picture (H, W, 3) uint8 (Pech-Pacheco et al. 2000)."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def block_steps(picture: np.ndarray) -> np.ndarray:
    """Return the mean step between neighbouring pixels, across and down, by the place of the border modulo 8: (2, 8).

    A picture (H, W, 3) uint8 with fewer than two blocks a side has NaN.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found = np.full((2, BLOCK), np.nan)
    for axis, turned in enumerate((grey, grey.T)):
        profile = np.abs(np.diff(turned, axis=1)).mean(axis=0)  # (W - 1,)
        whole = len(profile) // BLOCK
        if whole >= 2:
            found[axis] = profile[: whole * BLOCK].reshape(whole, BLOCK).mean(axis=0)
    return found


def blockiness(steps: np.ndarray) -> float:
    """Return the step at the borders of blocks over the mean of the others, (T, 2, 8) to 1 (no blocks) and more.

    After Wang, Sheikh and Bovik 2002. Where the grid lies is not known, for the source may have been cut from a larger
    picture: it is where the steps are largest, over all frames together.
    """
    whole = steps[~np.isnan(steps).any(axis=(1, 2))]
    mean = whole.mean(axis=0) if len(whole) else np.zeros((2, BLOCK))
    if not mean.any(axis=1).all():
        return float("nan")
    border = mean.max(axis=1)
    return float((border / ((mean.sum(axis=1) - border) / (BLOCK - 1))).mean())


def head_pose(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return yaw and pitch of each frame, (T,) each in degrees: landmarks (T, 68, 2) to where the face looks.

    The nine points that speech does not move are fitted, frame by frame, by an average face turned and seen from afar
    (scaled orthography; least squares, then the nearest rotation). People's faces differ: a few degrees of pitch are
    the person's. Yaw is positive towards the right of the picture, pitch upwards.
    """
    shape = np.column_stack([ANCHOR_SHAPE, -ANCHOR_DEPTH])  # x right, y down, z away from the camera
    shape = shape - shape.mean(axis=0)
    points = landmarks[:, ANCHORS].astype(np.float64)
    points = points - points.mean(axis=1, keepdims=True)
    affine = np.linalg.pinv(shape) @ points  # (T, 3, 2)
    left, _, right = np.linalg.svd(affine.mT, full_matrices=False)  # (T, 2, 2), (T, 2), (T, 2, 3)
    rows = left @ right  # (T, 2, 3), orthonormal
    ahead = -np.concatenate([rows, np.cross(rows[:, :1], rows[:, 1:])], axis=1)[:, :, 2]  # (T, 3)
    yaw = np.degrees(np.arctan2(ahead[:, 0], -ahead[:, 2]))
    return yaw, np.degrees(np.arcsin(np.clip(-ahead[:, 1], -1, 1)))


def pose_measures(landmarks: np.ndarray) -> dict[str, float]:
    """Return `yaw`, `pitch` and `turning` of landmarks (T, 68, 2)."""
    poses = head_pose(landmarks)
    yaw, pitch = (float(np.median(angles)) for angles in poses)
    turning = max(float(np.ptp(np.percentile(angles, [5, 95]))) for angles in poses)
    return {"yaw": yaw, "pitch": pitch, "turning": turning}


def jitter(landmarks: np.ndarray) -> float:
    """Return the noise of the still landmarks of (T, 68, 2), in hundredths of the distance between the eyes.

    A head moves smoothly, noise does not: by second differences over time. NaN for fewer than three frames.
    """
    if len(landmarks) < 3:
        return float("nan")
    points = landmarks[:, ANCHORS].astype(np.float64)
    noise = np.sqrt(np.square(np.diff(points, n=2, axis=0)).mean() / SECOND_DIFFERENCE)
    return float(100 * noise / eye_distance(landmarks))


def eye_distance(landmarks: np.ndarray) -> float:
    """Return the distance between the middles of the eyes, the median over (T, 68, 2), in pixels."""
    eyes = landmarks[:, EYES].astype(np.float64)
    return float(np.median(np.linalg.norm(eyes[:, :6].mean(axis=1) - eyes[:, 6:].mean(axis=1), axis=1)))


def _face_region(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Cut a face's box out of a frame, at whole blocks, so that the places of borders are the same in each frame."""
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = bounding_box(landmarks)
    left, top = (max(int(value) // BLOCK * BLOCK, 0) for value in (x0, y0))
    return frame[top : max(int(min(y1, height)), top + 1), left : max(int(min(x1, width)), left + 1)]
