"""Before the camera: a person in their place in the picture, drawn frame by frame with their true landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from syncdiff.corpus.demo.head import Head, Pose
from syncdiff.corpus.demo.person import Person
from syncdiff.corpus.demo.render import SUPERSAMPLING, project, rasterise, shade
from syncdiff.corpus.demo.take import Take
from syncdiff.corpus.demo.texture import paint
from syncdiff.faces.facemesh import IBUG_FROM_MEDIAPIPE

EYE_LEVEL = 0.42  # where the eyes are in the picture, from the top
BODY = 4.6  # eye distances from the eyes down to where the figure ends, which is never in the picture


class Frame(NamedTuple):
    """A picture, and where the landmarks truly are."""

    picture: np.ndarray  # (2 S, 2 S, 3) uint8 RGB, supersampled
    landmarks: np.ndarray  # (68, 2) float32 iBUG points in pixels of the reduced picture


@dataclass(frozen=True)
class Actor:
    """A person, and the place that they take in the picture."""

    person: Person
    head: Head
    texture: np.ndarray
    size: int  # side of the picture in pixels
    scale: float = 1.0  # of the person, 1 fills the picture
    x: float = 0.5  # of the eyes, share of the picture's width

    def draw(self, mouth: np.ndarray, pose: Pose, background: np.ndarray) -> Frame:
        """Draw the person before a background, (2 S, 2 S, 3) uint8, for one row of `articulate` and one pose."""
        side = self.size * SUPERSAMPLING
        eyes = self.person.eye_pixels * self.scale
        points = self.head.posed(mouth, pose)
        lit = shade(points, self.head.surface, self.person.light)
        centre = (side * self.x, side * max(EYE_LEVEL, 1 - BODY * eyes))
        projected = project(points, self.person.eye_pixels * side * self.scale, centre)
        # The supersampled picture counts from its corner, landmarks from the centre of the first pixel.
        landmarks = (projected[IBUG_FROM_MEDIAPIPE, :2] / SUPERSAMPLING - 0.5).astype(np.float32)
        return Frame(rasterise(projected, self.head.surface, lit, self.texture, background), landmarks)


def cast(person: Person, size: int) -> Actor:
    """Give a person shape and paint, in the middle of a picture of `size` pixels."""
    return Actor(person, Head(person), paint(person), size)


def shoot(actor: Actor, take: Take, wall: np.ndarray) -> Iterator[Frame]:
    """Yield one frame for each of a take, before a wall (2 S, 2 S, 3) uint8."""
    for mouth, pose in zip(take.mouth, take.poses, strict=True):
        yield actor.draw(mouth, pose, wall)
