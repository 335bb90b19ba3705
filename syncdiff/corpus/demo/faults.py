"""What is wrong with some clips, as it is with clips that people collect: known faults, each with its truth."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from syncdiff.corpus.demo.film import Actor, Frame, cast, shoot
from syncdiff.corpus.demo.hand import draw_hand
from syncdiff.corpus.demo.person import random_person
from syncdiff.corpus.demo.render import SUPERSAMPLING
from syncdiff.corpus.demo.take import QUIET_S, Take, listen, play
from syncdiff.corpus.demo.texture import paint_wall
from syncdiff.media.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncdiff.pipeline.files import write_text

# Of truth/faults.csv: a row for each clip with a fault, and what does not concern its fault is empty.
COLUMNS = (
    "clip",  # as the plan names it
    "fault",  # a key of FAULTS
    "offset",  # frames by which the sound comes before the lips; negative: after them; as `syncdiff score` says it
    "sound_of",  # the clip whose sound it has
    "first_frame",  # of the hand, of the silence, of the other person after a cut
    "last_frame",
    "sigma",  # of the blur, in pixels
    "scale",  # of the speaker, 1 fills the picture
    "side",  # where the speaker of two is: left or right
    "left",  # the speaker's landmarks of all frames lie in this box, in pixels
    "top",
    "right",
    "bottom",
)
OFFSETS = [offset for offset in range(-12, 13) if abs(offset) >= 2]
RISE = 4  # frames in which a hand comes up, and goes down again


class Line(NamedTuple):
    """What is said in one clip."""

    clip: str  # `<programme id>/<number>`
    identity: int
    number: int  # of the clip among its identity's
    text: str


@dataclass(frozen=True)
class Fault:
    """What is to be wrong with a clip."""

    kind: str  # a key of FAULTS
    other: Line  # of another person, whose sound a swapped clip has


def assign(lines: Sequence[Line], share: float, seed: int) -> dict[str, Fault]:
    """Choose a share of the clips, and give these the kinds of fault in turn.

    Args:
        lines: what is said in each clip, by at least two people.
        share: in [0, 1]; what a smaller share chooses, a larger one chooses too.
        seed: of the corpus.

    Returns:
        The fault of each chosen clip.
    """
    rng = np.random.default_rng([seed, *b"faults"])
    order = rng.permutation(len(lines)).tolist()[: round(share * len(lines))]
    faults = {}
    for line, kind in zip((lines[i] for i in order), cycle(FAULTS), strict=False):
        others = [other for other in lines if other.identity != line.identity]
        faults[line.clip] = Fault(kind, others[rng.integers(len(others))])
    return faults


def write_faults(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the truth about faults as CSV: a row each of what of COLUMNS concerns it, by clip."""
    text = StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(sorted(rows, key=lambda row: str(row["clip"])))
    write_text(path, text.getvalue())


class Shot(NamedTuple):
    """A clip as it would be without its fault."""

    actor: Actor
    take: Take
    wall: np.ndarray  # (2 S, 2 S, 3) uint8
    other: Line  # of another person
    seed: int  # of the corpus, from which its people are drawn

    def frames(self) -> Iterator[Frame]:
        """Yield the pictures."""
        return shoot(self.actor, self.take, self.wall)


@dataclass(frozen=True)
class Scene:
    """What a clip plays and shows."""

    audio: np.ndarray  # (640 T,) int16
    frames: Iterator[Frame]  # T, with the landmarks of whom they show; of two, of the speaker
    truth: dict[str, Any] = field(default_factory=dict)  # about its fault: what of COLUMNS concerns it


# ---- sound ------------------------------------------------------------------------------------------------------


def shifted(shot: Shot, rng: np.random.Generator) -> Scene:
    """The sound comes 2 to 12 frames before the lips, or after them."""
    offset = int(rng.choice(OFFSETS))
    return Scene(move(shot.take.audio, offset), shot.frames(), {"offset": offset})


def swapped(shot: Shot, rng: np.random.Generator) -> Scene:
    """The sound is that of another person's clip."""
    clip, *where, text = shot.other
    person = random_person(np.random.default_rng([shot.seed, where[0]]))
    foreign = play(person, text, np.random.default_rng([shot.seed, *where])).audio
    return Scene(fit(foreign, len(shot.take.audio)), shot.frames(), {"sound_of": f"main/{clip}"})


def muted(shot: Shot, rng: np.random.Generator) -> Scene:
    """Half of the sound is missing, while the mouth goes on."""
    n_frames = len(shot.take.poses)
    first, end = ((0, n_frames // 2), (n_frames // 2, n_frames))[rng.integers(2)]
    audio = shot.take.audio.copy()
    audio[first * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME] = 0
    return Scene(audio, shot.frames(), {"first_frame": first, "last_frame": end - 1})


def move(audio: np.ndarray, offset: int) -> np.ndarray:
    """Let a sound (n,) come `offset` frames earlier; what then lacks at an end is filled with the room's quiet."""
    quiet = _room(audio, abs(offset) * SAMPLES_PER_FRAME)
    joined = [audio[len(quiet) :], quiet] if offset > 0 else [quiet, audio[: len(audio) - len(quiet)]]
    return np.concatenate(joined)


def fit(audio: np.ndarray, n: int) -> np.ndarray:
    """Make a sound (n,) long: cut off, or followed by the room's quiet."""
    return np.concatenate([audio, _room(audio, max(0, n - len(audio)))])[:n]


def _room(audio: np.ndarray, n: int) -> np.ndarray:
    """Return (n,) samples of the room in which nobody speaks: the beginning of a sound, again and again."""
    return np.resize(audio[: round(QUIET_S * SAMPLE_RATE)], n)


# ---- picture ----------------------------------------------------------------------------------------------------


def blurred(shot: Shot, rng: np.random.Generator) -> Scene:
    """The picture is out of focus."""
    sigma = rng.uniform(1 / 96, 1 / 48) * shot.actor.size
    soft = (
        frame._replace(picture=cv2.GaussianBlur(frame.picture, (0, 0), sigma * SUPERSAMPLING))
        for frame in shot.frames()
    )
    return Scene(shot.take.audio, soft, {"sigma": round(sigma, 2)})


def tiny(shot: Shot, rng: np.random.Generator) -> Scene:
    """The person is far away."""
    scale = rng.uniform(0.28, 0.36)
    small = shot._replace(actor=replace(shot.actor, scale=scale, x=rng.uniform(0.3, 0.7)))
    return Scene(shot.take.audio, small.frames(), {"scale": round(scale, 3)})


def listener(shot: Shot, rng: np.random.Generator) -> Scene:
    """Somebody else sits nearer to the camera and listens."""
    scale, side = rng.uniform(0.50, 0.56), ("left", "right")[rng.integers(2)]
    places = (0.25, 0.68) if side == "left" else (0.75, 0.32)
    speaker = shot._replace(actor=replace(shot.actor, scale=scale, x=places[0]))
    stranger = replace(random_person(rng), light=shot.actor.person.light)
    near = replace(cast(stranger, shot.actor.size), scale=rng.uniform(0.74, 0.80), x=places[1])
    silent = listen(shot.take, rng)
    both = (
        frame._replace(picture=near.draw(mouth, pose, frame.picture).picture)
        for frame, mouth, pose in zip(speaker.frames(), silent.mouth, silent.poses, strict=True)
    )
    return Scene(shot.take.audio, both, {"scale": round(scale, 3), "side": side})


def cut(shot: Shot, rng: np.random.Generator) -> Scene:
    """The picture changes to somebody else, elsewhere, who listens."""
    n_frames, size = len(shot.take.poses), shot.actor.size
    first = round(n_frames * rng.uniform(0.4, 0.6))
    stranger = random_person(rng)
    after = shoot(cast(stranger, size), listen(shot.take, rng), paint_wall(stranger, size * SUPERSAMPLING))
    frames = chain(islice(shot.frames(), first), islice(after, n_frames - first))
    return Scene(shot.take.audio, frames, {"first_frame": first, "last_frame": n_frames - 1})


def hand(shot: Shot, rng: np.random.Generator) -> Scene:
    """A hand comes up before the mouth, stays, and goes down again."""
    n_frames = len(shot.take.poses)
    n_shown = round(n_frames * rng.uniform(0.3, 0.5))
    first = int(rng.integers(1, n_frames - n_shown))
    turn, person = rng.uniform(0.25, 0.8) * rng.choice([-1, 1]), shot.actor.person
    height = np.minimum(np.arange(n_frames) - first + 1, first + n_shown - np.arange(n_frames)) / RISE
    covered = (
        frame._replace(picture=draw_hand(frame.picture, frame.landmarks, person, turn, up)) if up > 0 else frame
        for frame, up in zip(shot.frames(), height.clip(0, 1), strict=True)
    )
    return Scene(shot.take.audio, covered, {"first_frame": first, "last_frame": first + n_shown - 1})


FAULTS: dict[str, Callable[[Shot, np.random.Generator], Scene]] = {
    "shifted": shifted,
    "swapped": swapped,
    "listener": listener,
    "blurred": blurred,
    "tiny": tiny,
    "cut": cut,
    "hand": hand,
    "muted": muted,
}
