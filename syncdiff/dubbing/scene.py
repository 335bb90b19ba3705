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
FINE = 32  # pixels of the whole crop, reduced to look at the lips' colour
LIPS_AREA = slice(16, 26), slice(11, 21)  # lips, however far open
SKIN_AREAS = (  # under the nose, the chin, both cheeks
    (slice(12, 15), slice(8, 24)),
    (slice(27, 29), slice(12, 20)),
    (slice(15, 22), slice(6, 9)),
    (slice(15, 22), slice(23, 26)),
)
LIP_ROWS = 3  # the reddest, of the lips' area
CLEARLY_RED = 2.5  # units of a*: lips that are no redder than the skin tell nothing
GONE = 0.3  # of their usual redness: lips are behind a hand, of whatever colour


@dataclass(frozen=True)
class Scene:
    """What a face looks like in one stretch.

    light: around the eyes.
    mouths: (K, h, w, 3), those whose lips are seen, in this light.
    redness: of the lips beyond the skin, as usual.
    """

    light: float
    mouths: np.ndarray
    redness: float

    def gain(self, crop: np.ndarray) -> float:
        """Return how bright a crop is beside the usual: 1 unless it differs by more than a turned head does."""
        change = np.log(_light(crop) / self.light)
        return float(np.exp(np.sign(change) * max(abs(change) - USUAL_LIGHT, 0)))

    def hides_mouth(self, crop: np.ndarray, gain: float) -> bool:
        """Say whether something is before the mouth: it has no lips, or looks like that in few pictures or none."""
        if _lack_lips(_redness(crop), self.redness):
            return True
        differences = np.abs(_small(crop)[MOUTH_AREA] / gain - self.mouths).max(axis=-1).mean(axis=(1, 2))
        return float(np.quantile(differences, ALIKE)) > HIDDEN_LEVELS


def scene_of(crops: Sequence[np.ndarray]) -> Scene:
    """Return the scene of crops (S, S, 3) uint8 of one face in one stretch."""
    some = crops[:: -(-len(crops) // MAX_CROPS)]
    light = float(np.median([_light(crop) for crop in some]))
    reds = [_redness(crop) for crop in some]
    usual = float(np.quantile(reds, 0.75))
    with_lips = [crop for crop, red in zip(some, reds, strict=True) if not _lack_lips(red, usual)]
    return Scene(light, np.stack([_small(crop)[MOUTH_AREA] * (light / _light(crop)) for crop in with_lips]), usual)


def _lack_lips(redness: float, usual: float) -> bool:
    return usual > CLEARLY_RED and redness < GONE * usual


def relit(crop: np.ndarray, gain: float) -> np.ndarray:
    """Return a crop that is so much brighter."""
    return crop if gain == 1 else cv2.convertScaleAbs(crop, alpha=gain)


def _light(crop: np.ndarray) -> float:
    return max(float(_small(crop)[EYES_AREA].mean()), 1.0)


def _redness(crop: np.ndarray) -> float:
    """Return by how much the lips are redder than the skin around them, in units of CIELAB's a*, in any light."""
    fine = cv2.resize(crop, (FINE, FINE), interpolation=cv2.INTER_AREA).astype(np.float32)
    fine *= 0.5 / max(float(fine[FINE // 4 :].mean()), 1.0)
    red = cv2.cvtColor(fine.clip(0, 1), cv2.COLOR_RGB2LAB)[..., 1]
    lips = np.sort(red[LIPS_AREA].mean(axis=1))[-LIP_ROWS:].mean()
    return float(lips - np.median(np.concatenate([red[area].ravel() for area in SKIN_AREAS])))


def _small(crop: np.ndarray) -> np.ndarray:
    return cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
