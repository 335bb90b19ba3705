"""What is cut out of the frames of a video: crops, mouths and portraits, at the places of the real clip's face."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from syncdiff.evaluation.crops import FOREHEAD
from syncdiff.faces.align import warp
from syncdiff.faces.boxes import bounding_box
from syncdiff.faces.ibug import LEFT_EYE, LIPS, RIGHT_EYE

LIP_MARGIN = 0.15  # around the landmarks of the lips, in distances between the eyes: their edges and the teeth
PORTRAIT_SIDE = 224  # pixels
SHORTEST_SIDE = 3  # pixels, of a box that has an inside


@dataclass(frozen=True)
class Places:
    """Where the face of the real clip is, frame by frame.

    transforms: (T, 2, 3) from the source to the aligned crop.
    landmarks: (T, 68, 2) in pixels of the source.
    size: of the aligned crops.
    portraits: whether these are wanted; they take 150 kB a frame.
    """

    transforms: np.ndarray
    landmarks: np.ndarray
    size: int
    portraits: bool


@dataclass
class Cuts:
    """What has been cut out of the frames so far; `add` takes them in their order."""

    places: Places
    crops: list[np.ndarray] = field(default_factory=list)  # (S, S, 3) uint8 RGB
    mouths: list[np.ndarray] = field(default_factory=list)  # (h, w) uint8 luma
    portraits: list[np.ndarray] = field(default_factory=list)  # (224, 224, 3) uint8 RGB

    def add(self, frame: np.ndarray) -> np.ndarray:
        """Cut the next frame (H, W, 3) uint8, and return its aligned crop."""
        transform, face = (part[len(self.crops)] for part in (self.places.transforms, self.places.landmarks))
        self.crops.append(warp(frame, transform, self.places.size))
        self.mouths.append(cut_mouth(frame, face))
        if self.places.portraits:
            self.portraits.append(cut_portrait(frame, face))
        return self.crops[-1]

    def stacked_portraits(self) -> np.ndarray:
        """Return (T, 224, 224, 3), with T = 0 where none were wanted."""
        return np.array(self.portraits, np.uint8).reshape(-1, PORTRAIT_SIDE, PORTRAIT_SIDE, 3)


def cut_mouth(frame: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Return the luma around the lips of a face, (68, 2), in a frame (H, W, 3) uint8, as it is: (h, w) uint8."""
    eyes = face[LEFT_EYE].mean(axis=0) - face[RIGHT_EYE].mean(axis=0)
    x0, y0, x1, y1 = bounding_box(face[LIPS])
    margin = LIP_MARGIN * float(np.linalg.norm(eyes))
    return cv2.cvtColor(_cut(frame, x0 - margin, y0 - margin, x1 + margin, y1 + margin), cv2.COLOR_RGB2GRAY)


def cut_portrait(frame: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Return the box of a face, (68, 2), with its forehead, resized as detectors' boxes are: (224, 224, 3) uint8."""
    x0, y0, x1, y1 = bounding_box(face)
    box = _cut(frame, x0, y0 - FOREHEAD * (y1 - y0), x1, y1)
    return cv2.resize(box, (PORTRAIT_SIDE, PORTRAIT_SIDE), interpolation=cv2.INTER_AREA)


def _cut(frame: np.ndarray, x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Return a box of a frame in whole pixels, as far as it is inside, and never less than SHORTEST_SIDE a side."""
    (left, right), (top, bottom) = (
        _inside(low, high, length) for low, high, length in ((x0, x1, frame.shape[1]), (y0, y1, frame.shape[0]))
    )
    return np.ascontiguousarray(frame[top:bottom, left:right])


def _inside(low: float, high: float, length: int) -> tuple[int, int]:
    first = int(np.clip(np.floor(low), 0, length - SHORTEST_SIDE))
    return first, int(np.clip(np.ceil(high), first + SHORTEST_SIDE, length))
