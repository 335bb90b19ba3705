"""A film of rendered people, with cuts, so that the truth is known: who is seen when, where, and how far mouths open.

It is made by `dub_film.py`. Pictures are drawn at any times: sentences, heads and lids move as long as these say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly

from syncdiff.corpus.demo import film
from syncdiff.corpus.demo.clip import mouth_aperture
from syncdiff.corpus.demo.hand import draw_hand
from syncdiff.corpus.demo.head import Pose
from syncdiff.corpus.demo.motion import random_motion
from syncdiff.corpus.demo.person import random_person
from syncdiff.corpus.demo.render import SUPERSAMPLING, reduce
from syncdiff.corpus.demo.sentences import unique_sentences
from syncdiff.corpus.demo.take import Take, play
from syncdiff.corpus.demo.texture import paint_wall
from syncdiff.faces.facemesh import IBUG_FROM_MEDIAPIPE
from syncdiff.media.audio import SAMPLE_RATE
from syncdiff.media.container import FPS

SIDE = 640  # pixels of the square that is rendered; the film shows some of its rows
HEIGHT, EYES = 360, 0.42  # of the film, and where in its height the eyes are
RATE = 48_000  # Hz, of the film's sound
CLOSE, BESIDE, FAR = 0.6, 0.46, 0.36  # sizes of a person, 1 fills the square
PLACES = {"A": 0.28, "B": 0.72}  # of the eyes, shares of the width, where both are seen
WALKS_S, OFF_S = 0.4, 3.0  # how long it takes to walk out of the picture, and how long nobody is there
FADE_S, RISE_S = 0.6, 0.16


class Shot(NamedTuple):
    """Who is seen, for how long, and what happens: A fades in, has a hand before the mouth, is far, or leaves."""

    who: str
    seconds: float
    event: str = ""


SHOTS = (
    Shot("A", 2.5),
    Shot("B", 2.0),
    Shot("AB", 2.5),
    Shot("A", 2.5, "fade"),
    Shot("AB", 6.0, "leaves"),
    Shot("A", 2.5, "hand"),
    Shot("B", 2.0),
    Shot("A", 2.5, "far"),
)
SECONDS = sum(shot.seconds for shot in SHOTS)


class Player:
    """One person, who speaks for `seconds`; the same seed is the same person and the same words."""

    def __init__(self, seed: int, seconds: float) -> None:
        rng = np.random.default_rng([seed, *b"film"])
        self.person = random_person(rng)
        self.actor = film.cast(self.person, SIDE)
        self.take = _long_take(self, rng, seconds)

    def silent(self) -> Player:
        """Return the same person, moving as before, with their mouth shut."""
        player = copy(self)
        player.take = self.take._replace(mouth=np.zeros_like(self.take.mouth))
        return player

    @cached_property
    def wall(self) -> np.ndarray:
        """The wall behind them: (2 SIDE, 2 SIDE, 3)."""
        return paint_wall(self.person, SIDE * SUPERSAMPLING)

    def draw(self, time: float, background: np.ndarray, scale: float, x: float) -> film.Frame:
        """Draw them at a time of their take."""
        [mouth], [pose] = at([time], self.take.mouth), _poses_at([time], self.take.poses)
        return replace(self.actor, scale=scale, x=x).draw(mouth, pose, background)

    def openings(self, times: Sequence[float]) -> np.ndarray:
        """Return how far this person's mouth is open at each time, (N,): from the front, without perspective."""
        points = [self.actor.head.posed(mouth, Pose())[IBUG_FROM_MEDIAPIPE, :2] for mouth in at(times, self.take.mouth)]
        return mouth_aperture(np.stack(points))


def _long_take(player: Player, rng: np.random.Generator, seconds: float) -> Take:
    texts = unique_sentences(rng, 3.0)
    takes: list[Take] = []
    while sum(len(take.mouth) for take in takes) < seconds * FPS:
        takes.append(play(player.person, next(texts), rng))
    mouth, audio = (np.concatenate([getattr(take, name) for take in takes]) for name in ("mouth", "audio"))
    return Take(mouth, random_motion(rng, len(mouth)), audio)


def at(times: Sequence[float], rows: np.ndarray) -> np.ndarray:
    """Return rows (T, D) of 25 a second at other times, in seconds: (N, D), linearly in between."""
    where = np.asarray(times) * FPS
    return np.stack([np.interp(where, np.arange(len(rows)), column) for column in rows.T], axis=1)


def _poses_at(times: Sequence[float], poses: Sequence[Pose]) -> Iterator[Pose]:
    flat = np.array([[p.yaw, p.pitch, p.roll, *p.shift, p.blink, p.brow, *p.gaze] for p in poses])
    for yaw, pitch, roll, x, y, blink, brow, gaze_x, gaze_y in at(times, flat):
        yield Pose(yaw, pitch, roll, (x, y), blink, brow, (gaze_x, gaze_y))


class Still(NamedTuple):
    """A picture (HEIGHT, SIDE, 3) uint8 of a shot, and A's landmarks (68, 2) in it; None: A is not seen."""

    shot: int
    picture: np.ndarray
    landmarks: np.ndarray | None


def shoot(players: dict[str, Player], times: Sequence[float], shots: Sequence[Shot] = SHOTS) -> Iterator[Still]:
    """Yield the pictures of a film at these times."""
    begins = np.cumsum([0.0, *(shot.seconds for shot in shots)])
    for time in times:
        number = int(np.searchsorted(begins, time, side="right")) - 1
        yield _still(players, shots[number], number, time, time - begins[number])


def _still(players: dict[str, Player], shot: Shot, number: int, time: float, since: float) -> Still:
    """Draw one picture: the shot's wall, B, and A before B."""
    picture = players[shot.who[0]].wall[:, :: -1 if number % 2 else 1]  # another corner of the room
    landmarks = None
    scale = FAR if shot.event == "far" else CLOSE if len(shot.who) == 1 else BESIDE
    for who in sorted(shot.who, reverse=True):
        x = _place(shot, who, since)
        if x is not None:
            picture, found = players[who].draw(time, picture, scale, x)
            landmarks = found if who == "A" else landmarks
    up = _ramp(since - 0.8, 1.0, RISE_S) if shot.event == "hand" else 0.0
    if landmarks is not None and up:
        picture = draw_hand(picture, landmarks, players["A"].person, 0.4, up)
    top = _top(players[shot.who[0]], scale)
    small = reduce(picture)[top : top + HEIGHT]
    if shot.event == "fade":
        small = (small * min(since / FADE_S, 1.0)).astype(np.uint8)
    return Still(number, small, None if landmarks is None else landmarks - np.float32([0, top]))


def _top(player: Player, scale: float) -> int:
    """Return the first row that the film shows of a square in which somebody is so large."""
    eyes = max(film.EYE_LEVEL, 1 - film.BODY * player.person.eye_pixels * scale)
    return int(np.clip(round(eyes * SIDE - EYES * HEIGHT), 0, SIDE - HEIGHT))


def _place(shot: Shot, who: str, since: float) -> float | None:
    """Return where a person's eyes are, in shares of the width; None: they are not there."""
    if len(shot.who) == 1:
        return 0.5
    if (shot.event, who) != ("leaves", "A"):
        return PLACES[who]
    away = _ramp(since - 1.0, 2 * WALKS_S + OFF_S, WALKS_S)
    return None if away == 1 else PLACES["A"] - 0.6 * away


def _ramp(since: float, seconds: float, rise: float) -> float:
    """Return a number that rises to 1 at `since` 0, and falls to 0 so many seconds after."""
    return float(np.clip(min(since, seconds - since) / rise, 0, 1))


def stereo(audio: np.ndarray, seconds: float) -> np.ndarray:
    """Return a take's sound as (n, 2) float at 48 kHz, so many seconds of it; the right channel is half as loud."""
    loud = resample_poly(audio[: round(seconds * SAMPLE_RATE)] / 2**15, RATE, SAMPLE_RATE)
    return np.stack([loud, loud / 2], axis=1)
