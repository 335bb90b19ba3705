"""Scene changes: cuts, fades and dissolves, on thumbnails of the frames."""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

THUMBNAIL = 32  # pixels a side
# Over the cuts of a stage recording the measure is 0.8 to 1, at its fastest pans 0.5, in studio clips under 0.03.
CUT_CHANGE = 0.65
CONTRAST_FLOOR = 4.0  # grey levels: below it, differences are noise
FLASH = 3  # frames after which a flash is over
STEADY = 0.7  # of a cut's measure, what the steps before and after it may have: in a fast pan all steps are alike
LENGTHS = (9, 13, 19, 26, 33)  # frames in which a transition is looked for
PLATEAU = FLASH + 1  # frames of either scene that it must have beside it
SCENE_CHANGE = 0.22  # between two people in one room it is 0.22 to 0.9, within a shot of one of them under 0.06
MIXED_REST = 0.03  # of the change, what the frames on the way may have that is of neither scene; pans have 0.05
OVER = 0.85  # share of the change from which on it is over


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Shrink a frame (H, W, 3) to (32, 32) grey values, for `is_cut`."""
    stride = max(min(frame.shape[:2]) // (2 * THUMBNAIL), 1)
    grey = cv2.cvtColor(np.ascontiguousarray(frame[::stride, ::stride]), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Say whether two neighbouring thumbnails show different scenes. Changes of brightness alone do not count."""
    return _step(_centred(before), _centred(after)) > CUT_CHANGE


def scene_starts(thumbnails: Iterable[np.ndarray]) -> Iterator[bool]:
    """Yield of each frame whether a scene begins with it; it looks `LENGTHS[-1]` frames ahead.

    What turns gradually into another scene begins with the first frame that is neither, and again where it is over.
    Flashes, pans and zooms are no scenes of their own.
    """
    recent: deque[np.ndarray] = deque(maxlen=LENGTHS[-1])  # of the present scene
    starts: deque[bool] = deque()
    for picture, starts_here in _with_cuts(map(_centred, thumbnails)):
        if starts_here:
            recent.clear()
        recent.append(picture)
        starts.append(starts_here)
        if found := _transition(recent):
            starts[-found[0]] = starts[-found[1]] = True
            recent = deque(list(recent)[-found[1] :], recent.maxlen)
        if len(starts) > LENGTHS[-1]:
            yield starts.popleft()
    yield from starts


def _with_cuts(pictures: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield each picture, and whether a scene begins with it at once.

    It and those after it differ from the last one that had contrast, by more than that one and the next from theirs.
    """
    before = np.zeros(THUMBNAIL**2, np.float32)
    moved, at_start = 0.0, True  # the step to `before`; whether there is none
    for now, later in _with_later(pictures):
        if np.square(now).mean() < CONTRAST_FLOOR**2 and not at_start:
            yield now, False
            continue
        step = 0.0 if at_start else _step(before, now)
        differ = step > CUT_CHANGE and all(_step(before, picture) > CUT_CHANGE for picture in later)
        after = _step(now, later[0]) if differ and later else 0.0
        yield now, differ and max(moved, after) < STEADY * step
        if differ or step <= CUT_CHANGE:  # else it is lit by a flash
            before, moved, at_start = now, step, False


def _with_later(pictures: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield each picture with the `FLASH` ones after it, as far as there are so many."""
    waiting: deque[np.ndarray] = deque()
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) > FLASH:
            yield waiting.popleft(), list(waiting)
    while waiting:
        yield waiting.popleft(), list(waiting)


def _transition(recent: deque[np.ndarray]) -> tuple[int, int] | None:
    """Find where the last of the pictures has come from another scene, over mixtures of both.

    Returns:
        How many pictures from the end the first is that is not the old scene alone, and the first that is the new one.
    """
    lengths = LENGTHS[: bisect(LENGTHS, len(recent))]
    if not lengths:
        return None
    differences = _differences(np.stack([recent[-length] for length in lengths]), recent[-1])
    for length in np.array(lengths)[differences > SCENE_CHANGE]:
        part = np.stack(list(recent)[-length:])  # (T, 1024)
        change, moved = part[-1] - part[0], part - part[0]
        energy = np.square(change).sum()
        shares = moved @ change / energy
        rest = np.square(moved - shares[:, None] * change).sum(axis=1).mean() / energy
        begins, over = np.argmax(shares > 1 - OVER), length - np.argmax(shares[::-1] < OVER)
        if rest < MIXED_REST and begins >= PLATEAU and over <= length - PLATEAU:
            return int(length - begins), int(length - over)
    return None


def _step(before: np.ndarray, after: np.ndarray) -> float:
    """Return 1 - the correlation of two pictures, kept low where neither has contrast."""
    energy = np.square(before).mean() + np.square(after).mean()  # grey levels squared
    return float(np.square(after - before).mean() / (energy + CONTRAST_FLOOR**2))


def _differences(pictures: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return 1 - the correlation of each picture (n, 1024) with another, however bright.

    It is 1 where one alone has contrast, and 0 where none has.
    """
    energies, energy = np.einsum("ij,ij->i", pictures, pictures), other @ other
    floor = CONTRAST_FLOOR**2 * len(other)
    alike = pictures @ other / np.maximum(np.sqrt(energies * energy), floor)
    return np.where(np.maximum(energies, energy) < floor, 0, 1 - alike)


def _centred(thumbnail: np.ndarray) -> np.ndarray:
    """Return (1024,) float32: a thumbnail without its mean."""
    return (thumbnail - thumbnail.mean(dtype=np.float32)).ravel()
