"""Whose mouth is dubbed: which stretches are of one person, which of them are chosen, and a sheet to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from syncdiff.dubbing.looks import SAME, distance
from syncdiff.dubbing.stretches import Seen, Stretch
from syncdiff.errors import UserError
from syncdiff.pipeline.files import atomic

LARGEST, SPEAKING = "largest", "speaking"
TILE = 128  # pixels a side, of a face on the sheet
TILES = 6  # faces in a row of it
CAPTION = 24  # pixels


@dataclass(frozen=True)
class Person:
    """One person of a video.

    number: from 1, by the frames that show them.
    stretches: their indices in `Seen.stretches`.
    sync: LSE-C of all stretches, by their windows; None: not known.
    """

    number: int
    stretches: tuple[int, ...]
    sync: float | None


def people_of(stretches: Sequence[Stretch]) -> list[Person]:
    """Tell the people of a video apart, by their looks and by who is seen at the same time; the most seen first.

    The longest stretches come first: each goes to the person who looks most alike, if that is enough.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(stretches)), key=lambda i: -len(stretches[i].frames)):
        near = [(_apart([stretches[i] for i in group], stretches[index]), group) for group in groups]
        apart, group = min(near, key=lambda pair: pair[0], default=(np.inf, []))
        group.append(index) if apart < SAME else groups.append([index])
    groups.sort(key=lambda group: -sum(len(stretches[i].frames) for i in group))
    return [
        Person(number, tuple(sorted(group)), _sync([stretches[i] for i in group]))
        for number, group in enumerate(groups, start=1)
    ]


def _apart(own: Sequence[Stretch], other: Stretch) -> float:
    """Return how far a stretch is from the nearest of a person's; infinitely, if both are seen at the same time."""
    if any(stretch.frames.start < other.frames.stop and other.frames.start < stretch.frames.stop for stretch in own):
        return np.inf
    return min(distance(stretch.looks, other.looks) for stretch in own)


def _sync(stretches: Sequence[Stretch]) -> float | None:
    scored = [stretch.sync for stretch in stretches if stretch.sync]
    n_windows = sum(n for _, n in scored)
    return sum(value * n for value, n in scored) / n_windows if n_windows else None


def choose(video: Path, seen: Seen, people: Sequence[Person], face: str) -> list[tuple[int, np.ndarray]]:
    """Choose whose mouth is generated: stretches by their indices, and which (T,) of each one's frames.

    Args:
        face: `largest`, of each frame; `speaking`, the person whose lips fit the video's sound best; or a number, or
            several with commas, where one person has got two.

    Raises:
        UserError: there is no such person, or nobody is seen long enough to tell.
    """
    if face == LARGEST:
        return _largest(seen)
    wanted = [_speaking(video, people)] if face == SPEAKING else [_numbered(video, people, n) for n in face.split(",")]
    return [
        (index, np.ones(len(seen.stretches[index].frames), bool)) for person in wanted for index in person.stretches
    ]


def _speaking(video: Path, people: Sequence[Person]) -> Person:
    heard = [person for person in people if person.sync is not None]
    if not heard:
        raise UserError(f"{video}: no face is seen with sound for long enough to say who speaks; name a number")
    return max(heard, key=lambda person: person.sync or 0)


def _numbered(video: Path, people: Sequence[Person], number: str) -> Person:
    known = {str(person.number): person for person in people}
    if number.strip() not in known:
        raise UserError(f"{video}: no face {number}, it has {len(people)}; `--list-faces SHEET.png` shows them")
    return known[number.strip()]


def _largest(seen: Seen) -> list[tuple[int, np.ndarray]]:
    taken = np.zeros(len(seen.ticks), bool)
    chosen = []
    for index in sorted(range(len(seen.stretches)), key=lambda i: -seen.stretches[i].area):
        frames = seen.stretches[index].frames
        free = ~taken[frames.start : frames.stop]
        taken[frames.start : frames.stop] = True
        if free.any():
            chosen.append((index, free))
    return sorted(chosen, key=lambda pair: pair[0])


@dataclass(frozen=True)
class FoundFace:
    """What to choose a person by.

    number: that `face` takes.
    line: when they are seen first, for how long, and how well the lips fit the sound.
    pictures: (k, TILE, TILE, 3) uint8 RGB of their longest stretches, at most `TILES`, in the order of time.
    """

    number: int
    line: str
    pictures: np.ndarray


def found_faces(seen: Seen, people: Sequence[Person], seconds_a_tick: float) -> list[FoundFace]:
    """Return what to choose each person by, in the order of their numbers."""
    return [
        FoundFace(person.number, _describe(seen, person, seconds_a_tick), _pictures(seen, person)) for person in people
    ]


def write_sheet(path: Path, found: Sequence[FoundFace]) -> None:
    """Write a picture of all people, a row each: their line and their pictures.

    Raises:
        UserError: this kind of picture is not written.
    """
    rows = [_row(face) for face in found]
    with atomic(path) as temporary:
        done = cv2.imwrite(str(temporary), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    if not done:
        raise UserError(f"{path}: this kind of picture is not written; name it {path.stem}.png")


def _row(face: FoundFace) -> np.ndarray:
    row = np.full((CAPTION + TILE, TILES * TILE, 3), 255, np.uint8)
    for place, picture in enumerate(face.pictures):
        row[CAPTION:, place * TILE : (place + 1) * TILE] = picture
    cv2.putText(row, face.line, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0))
    return row


def _pictures(seen: Seen, person: Person) -> np.ndarray:
    longest = sorted((seen.stretches[i] for i in person.stretches), key=lambda stretch: -len(stretch.frames))[:TILES]
    shown = [stretch.identity for stretch in sorted(longest, key=lambda stretch: stretch.start)]
    return np.stack([cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_CUBIC) for picture in shown])


def _describe(seen: Seen, person: Person, seconds_a_tick: float) -> str:
    stretches = [seen.stretches[i] for i in person.stretches]
    first = float(seen.ticks[stretches[0].start]) * seconds_a_tick
    n_frames = sum(len(stretch.frames) for stretch in stretches)
    sync = "" if person.sync is None else f", LSE-C {person.sync:.2f}"
    return (
        f"face {person.number}: from {first:.2f} s, {n_frames} frames in {len(stretches)}"
        f" {'stretch' if len(stretches) == 1 else 'stretches'}{sync}"
    )
