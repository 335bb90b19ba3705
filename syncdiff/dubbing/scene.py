"""What may come between a face and its generated mouth: a fade, which dims it, and a hand before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 16  # pixels of the whole crop, reduced
EYES_AREA = slice(3, 8), slice(4, 12)  # rows and columns of these pixels: what no mouth moves
MOUTH_AREA = slice(9, 14), slice(5, 11)
USUAL_LIGHT = 0.12  # of the logarithm: heads that turn change by less
HIDDEN_LEVELS = 32  # grey levels, on average: lips that open change by less
ALIKE = 0.3  # of the pictures of a face show its mouth as it is now, or it is hidden
MAX_CROPS = 16


@dataclass(frozen=True)
class Scene:
    """What a face looks like in one stretch: its light around the eyes, and its mouths (K, h, w, 3), in this light."""

    light: float
    mouths: np.ndarray

    def gain(self, crop: np.ndarray) -> float:
        """Return how bright a crop is beside the usual: 1 unless it differs by more than a turned head does."""
        change = np.log(_light(crop) / self.light)
        return float(np.exp(np.sign(change) * max(abs(change) - USUAL_LIGHT, 0)))

    def hides_mouth(self, crop: np.ndarray, gain: float) -> bool:
        """Say whether something is before the mouth: it looks like that in few pictures of the face, or in none."""
        differences = np.abs(_small(crop)[MOUTH_AREA] / gain - self.mouths).max(axis=-1).mean(axis=(1, 2))
        return float(np.quantile(differences, ALIKE)) > HIDDEN_LEVELS


def scene_of(crops: Sequence[np.ndarray]) -> Scene:
    """Return the scene of crops (S, S, 3) uint8 of one face in one stretch."""
    some = crops[:: -(-len(crops) // MAX_CROPS)]
    light = float(np.median([_light(crop) for crop in some]))
    return Scene(light, np.stack([_small(crop)[MOUTH_AREA] * (light / _light(crop)) for crop in some]))


def relit(crop: np.ndarray, gain: float) -> np.ndarray:
    """Return a crop that is so much brighter."""
    return crop if gain == 1 else cv2.convertScaleAbs(crop, alpha=gain)


def _light(crop: np.ndarray) -> float:
    return max(float(_small(crop)[EYES_AREA].mean()), 1.0)


def _small(crop: np.ndarray) -> np.ndarray:
    return cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
