"""A hand before the mouth: palm, fingers and forearm, drawn flat over a picture."""

from __future__ import annotations

import cv2
import numpy as np

from syncdiff.corpus.demo.person import Person
from syncdiff.corpus.demo.render import SUPERSAMPLING
from syncdiff.faces.ibug import LEFT_EYE, LIPS, RIGHT_EYE

# In eye distances from the mouth's middle, y along the forearm: from knuckle to tip, and width.
FINGERS = (
    ((-0.47, 0.40), (-0.50, -0.38), 0.32),
    ((-0.16, 0.35), (-0.17, -0.62), 0.34),
    ((0.16, 0.35), (0.18, -0.58), 0.34),
    ((0.47, 0.45), (0.52, -0.26), 0.31),
)
THUMB = ((0.55, 1.25), (0.98, 0.55), 0.31)
PALM = ((-0.63, 0.35), (0.62, 0.40), (0.66, 0.95), (0.42, 1.60), (-0.42, 1.60), (-0.64, 1.0))
FOREARM = ((0.0, 1.3), (0.0, 8.0), 0.86)  # to beyond the picture's edge
DOWN = 5.0  # eye distances below the mouth from which it comes up


def draw_hand(picture: np.ndarray, landmarks: np.ndarray, person: Person, turn: float, up: float) -> np.ndarray:
    """Draw a person's hand over a supersampled picture of them: a new (2 S, 2 S, 3) uint8 RGB.

    Args:
        picture: (2 S, 2 S, 3) uint8 RGB.
        landmarks: (68, 2) in pixels of the reduced picture.
        person: whose skin and light it has.
        turn: of the forearm against the vertical, in radians.
        up: from 0, below the picture, to 1, before the mouth.
    """
    points = (landmarks + 0.5) * SUPERSAMPLING
    unit = float(np.linalg.norm(points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)))
    along = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = points[LIPS].mean(axis=0) + unit * (1 - up) * DOWN * along[:, 1]

    def place(local: object) -> np.ndarray:
        return np.asarray(local) * unit @ along.T + middle

    light = person.light.ambient + 0.75 * person.light.key
    lit, dark = person.skin * light, person.skin * light * 0.66
    layer = np.empty(picture.shape, np.float32)
    layer[:] = dark
    mask = np.zeros(picture.shape[:2], np.float32)
    for start, end, width in (FOREARM, THUMB, *FINGERS):
        line = place((start, end))
        _capsule(mask, line, width * unit, 1.0)
        _capsule(layer, line, 0.84 * width * unit, lit)
        _capsule(layer, line, 0.34 * width * unit, lit * 1.07)
    cv2.fillPoly(mask, [_fixed(place(PALM))], 1.0, cv2.LINE_AA, 4)
    cv2.fillPoly(layer, [_fixed(place(PALM))], lit.tolist(), cv2.LINE_AA, 4)
    hand = cv2.GaussianBlur(layer, (0, 0), 0.035 * unit)
    shadow = cv2.GaussianBlur(mask, (0, 0), 0.12 * unit)[..., None]
    edge = cv2.GaussianBlur(mask, (0, 0), 0.8)[..., None]
    shaded = picture * (1 - 0.35 * shadow)
    covered: np.ndarray = (shaded + (hand - shaded) * edge).clip(0, 255).astype(np.uint8)
    return covered


def _capsule(picture: np.ndarray, line: np.ndarray, width: float, colour: float | np.ndarray) -> None:
    """Draw a thick line with round ends."""
    start, end = _fixed(line)
    value = np.asarray(colour, np.float64).reshape(-1).tolist()
    cv2.line(picture, start.tolist(), end.tolist(), value, max(round(width), 1), cv2.LINE_AA, 4)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV's fixed point numbers with four bits of fraction."""
    return np.round(points * 16).astype(np.int32)
