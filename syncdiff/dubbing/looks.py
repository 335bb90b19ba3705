"""Whether two stretches show the same person, without the weights of a face-recognition network.

What is compared is the aligned face above the mouth: brows, eyes, nose, and the hair and skin around them. It tells
the people of one film apart as long as their light is alike; it is no biometric.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from syncdiff.priors import HIDDEN_TOP

SIDE = 16  # pixels of the whole crop, reduced
COLUMNS = slice(2, 14)  # of these pixels: the face and its hair, not the wall
COLOUR_WEIGHT = 0.08  # of a unit of chroma of CIELAB, beside lightness in its own standard deviations
MAX_CROPS = 8  # of one stretch: two stretches are as near as their two poses that are most alike
SAME = 0.4  # a distance below this is the same person


def looks_of(crops: Sequence[np.ndarray]) -> np.ndarray:
    """Return what crops (S, S, 3) uint8 of one face look like: (K, D), the same in other brightness and contrast."""
    return np.stack([_look(crop) for crop in crops[:: -(-len(crops) // MAX_CROPS)]])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far two looks are apart: 0 the same picture, about 2 unrelated ones."""
    return float(np.square(one[:, None] - other[None]).mean(axis=-1).min() * 3)  # three values a pixel


def _look(crop: np.ndarray) -> np.ndarray:
    small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[: int(HIDDEN_TOP * SIDE), COLUMNS]
    light, colour = lab[..., 0], lab[..., 1:]
    normal = (light - light.mean()) / max(float(light.std()), 1.0)
    return np.concatenate([normal[..., None], COLOUR_WEIGHT * colour], axis=-1).ravel()
