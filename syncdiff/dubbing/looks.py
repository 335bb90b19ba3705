"""Whether two stretches show the same person, without the weights of a face-recognition network.

What is compared is the aligned face above the mouth: brows, eyes, nose, and the hair and skin around them. It tells
the people of one film apart as long as their light is alike; it is no biometric.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from syncdiff.priors import HIDDEN_TOP

SIDE = 24  # pixels of the whole crop, reduced
COLOUR_WEIGHT = 0.05  # of a unit of chroma of CIELAB, beside lightness in its own standard deviations
SAME = 0.5  # a distance below this is the same person


def looks_of(crops: Sequence[np.ndarray]) -> np.ndarray:
    """Return a vector for crops (S, S, 3) uint8 of one face: it does not change with brightness or contrast."""
    small = np.mean([cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in crops], axis=0)
    lab = cv2.cvtColor((small / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[: int(HIDDEN_TOP * SIDE)]
    light, colour = lab[..., 0], lab[..., 1:]
    normal = (light - light.mean()) / max(float(light.std()), 1.0)
    return np.concatenate([normal[..., None], COLOUR_WEIGHT * colour], axis=-1).astype(np.float32).ravel()


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far two looks are apart: 0 the same picture, about 2 unrelated ones."""
    return float(np.square(one - other).mean() * 3)  # three values a pixel
