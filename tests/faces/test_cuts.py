"""Scene changes: cuts, also between people in one room, fades and dissolves; and what is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from syncdiff.faces.cuts import LENGTHS, scene_starts, thumbnail
from syncdiff.media.video import read_frames

pytestmark = pytest.mark.quick

SIDE = 96


def room(seed: int) -> np.ndarray:
    """A person (large blobs that depend on the seed) before a wall that is the same for all."""
    wall, person = (
        np.random.default_rng(s).integers(60, 200, (6, 6, 1)).astype(np.uint8).repeat(3, 2) for s in (0, 100 + seed)
    )
    wall[2:, 1:5] = person[2:, 1:5]
    return cv2.resize(wall, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def shot(seed: int, n: int = 40) -> list[np.ndarray]:
    """Frames of one room, with grain."""
    grain = np.random.default_rng(seed).integers(-4, 5, (n, SIDE, SIDE, 3))
    return [(room(seed) + noise).clip(0, 255).astype(np.uint8) for noise in grain]


def mixed(a: np.ndarray, b: np.ndarray, n: int) -> list[np.ndarray]:
    """Return `n` frames on the way from one to the other."""
    return [cv2.addWeighted(a, 1 - share, b, share, 0) for share in np.linspace(0, 1, n + 2)[1:-1]]


def starts(frames: Iterable[np.ndarray]) -> list[int]:
    return [index for index, begins in enumerate(scene_starts(map(thumbnail, frames))) if begins]


def test_one_answer_a_frame() -> None:
    for n in (0, 1, 2, 40):
        assert len(list(scene_starts(map(thumbnail, shot(1, n))))) == n


def test_it_looks_no_farther_ahead_than_it_says() -> None:
    seen = 0

    def counted() -> Iterable[np.ndarray]:
        nonlocal seen
        for frame in shot(1, 120):
            seen += 1
            yield thumbnail(frame)

    for index, _ in enumerate(islice(scene_starts(counted()), 60)):
        assert seen <= index + LENGTHS[-1] + 5


def test_a_cut_to_another_person_in_the_same_room() -> None:
    assert starts([*shot(1), *shot(2), *shot(3)]) == [40, 80]


@pytest.mark.parametrize("n", [6, 12, 20])
def test_a_dissolve_is_a_scene_of_its_own(n: int) -> None:
    found = starts([*shot(1), *mixed(room(1), room(2), n), *shot(2)])
    assert len(found) == 2
    np.testing.assert_allclose(found, [40, 40 + n], atol=0.2 * n + 1)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("still", [0, 1, 6])
def test_a_fade_to_another_person_ends_the_scene(level: int, still: int) -> None:
    flat = np.full((SIDE, SIDE, 3), level, np.uint8)
    fade = [*mixed(room(1), flat, 8), *[flat] * still, *mixed(flat, room(2), 8)]
    found = starts([*shot(1), *fade, *shot(2)])
    assert found
    assert all(38 <= index <= 42 + len(fade) for index in found)


def pan(speed: int) -> list[np.ndarray]:
    wide = cv2.resize(np.random.default_rng(7).integers(40, 200, (6, 24, 3)).astype(np.uint8), (4 * SIDE, SIDE))
    lefts = np.clip(speed * (np.arange(60) - 20), 0, 3 * SIDE)
    return [np.ascontiguousarray(wide[:, left : left + SIDE]) for left in lefts]


def flash(n: int) -> list[np.ndarray]:
    frames = shot(1)
    frames[20 : 20 + n] = [cv2.convertScaleAbs(frame, alpha=2.5, beta=60) for frame in frames[20 : 20 + n]]
    return frames


def dimmed() -> list[np.ndarray]:
    gains = np.interp(range(40), [10, 14, 25, 29], [1, 0.3, 0.3, 1])
    return [cv2.convertScaleAbs(frame, alpha=gain) for frame, gain in zip(shot(1), gains, strict=True)]


@pytest.mark.parametrize(
    "frames",
    [
        shot(1),
        pan(2),
        pan(8),
        pan(16),
        pan(32),
        flash(1),
        flash(3),
        dimmed(),
        [np.zeros((SIDE, SIDE, 3), np.uint8)] * 40,
    ],
    ids=["one shot", "slow pan", "pan", "fast pan", "whip pan", "flash", "long flash", "dimmed", "black"],
)
def test_what_is_no_change_of_scene(frames: Sequence[np.ndarray]) -> None:
    assert starts(frames) == []


def test_cuts_of_a_real_clip(shared: Path) -> None:
    frames = read_frames(shared / "clips" / "raw" / "cuts_multi_noface_stage.mp4")
    assert starts(frames) == [17, 68, 176]  # by eye
