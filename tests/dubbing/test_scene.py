"""A fade dims the mouth with its face; a hand before it is noticed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from syncdiff.dubbing.scene import relit, scene_of

pytestmark = pytest.mark.quick
SKIN = (150, 110, 90)


def _face(opening: int = 0) -> np.ndarray:
    face = np.full((64, 64, 3), SKIN, np.uint8)
    cv2.circle(face, (22, 21), 3, (40, 30, 20), -1)
    cv2.circle(face, (42, 21), 3, (40, 30, 20), -1)
    return cv2.ellipse(face, (32, 43), (9, 2 + opening), 0, 0, 360, (120, 40, 40), -1)


SCENE = scene_of([_face(opening) for opening in (0, 1, 2, 3, 4, 5)])


def test_what_is_usual_changes_nothing() -> None:
    assert SCENE.gain(_face(3)) == 1
    assert not any(SCENE.hides_mouth(_face(opening), 1) for opening in range(7))


def test_in_a_fade_the_light_is_given_and_taken_back() -> None:
    dim = (_face(2) * 0.2).astype(np.uint8)
    gain = SCENE.gain(dim)
    assert 0.2 <= gain < 0.25
    assert not SCENE.hides_mouth(dim, gain)
    assert abs(relit(relit(dim, 1 / gain), gain).astype(int) - dim).max() <= 2


def test_a_hand_of_another_colour_hides_the_mouth() -> None:
    hidden = cv2.ellipse(_face(), (32, 44), (18, 12), 10, 0, 360, (225, 190, 170), -1)
    assert SCENE.hides_mouth(hidden, 1)
    seen_now_and_then = scene_of([*(_face(opening) for opening in (0, 1, 2, 3, 4, 5)), hidden])
    assert seen_now_and_then.hides_mouth(hidden, 1)


def test_a_hand_of_the_faces_own_colour_hides_the_mouth_in_any_light() -> None:
    """It is there in half of the pictures, and lips that open are none."""
    hidden = cv2.ellipse(_face(), (32, 44), (18, 14), 10, 0, 360, SKIN, -1)
    scene = scene_of([picture for opening in range(6) for picture in (_face(opening), hidden)])
    for light in (1.0, 0.2):
        dim = (hidden * light).astype(np.uint8)
        assert scene.hides_mouth(dim, scene.gain(dim))
    assert not any(scene.hides_mouth(_face(opening), 1) for opening in range(7))


def test_lips_as_pale_as_the_skin_tell_nothing() -> None:
    pale = np.full((64, 64, 3), SKIN, np.uint8)
    assert not scene_of([pale] * 4).hides_mouth(pale, 1)
