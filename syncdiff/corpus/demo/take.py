"""What a person does and says in one clip, before it is drawn: mouth, head and sound on one clock."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from syncdiff.corpus.demo.head import Pose
from syncdiff.corpus.demo.motion import random_motion
from syncdiff.corpus.demo.person import Person
from syncdiff.corpus.demo.speech import CHANNELS, articulate, pad, speak

ROOM_NOISE = (0.0, 12.0)  # standard deviation in 16-bit steps: a gated studio, whose pauses are digital silence; a room
WAITS_S = (0.0, 0.0, 1.0)  # before speaking; only a silence longer than a window of speech shows what silence is
QUIET_S = 0.1  # before anybody speaks, at least


class Take(NamedTuple):
    """One clip's motion and sound."""

    mouth: np.ndarray  # (T, len(CHANNELS)) of `articulate`
    poses: list[Pose]  # T
    audio: np.ndarray  # (640 T,) int16 mono at 16 kHz


def play(person: Person, text: str, rng: np.random.Generator) -> Take:
    """Let a person say a text."""
    before_s = rng.uniform(QUIET_S, 0.3) + rng.choice(WAITS_S)
    speech = pad(speak(text, person.voice), before_s, after_s=rng.uniform(0.15, 0.35))
    mouth = articulate(speech)
    mouth[:, CHANNELS.index("jaw")] *= person.articulation
    poses = random_motion(rng, len(mouth))
    hiss = rng.normal(0, rng.choice(ROOM_NOISE), len(speech.audio))
    return Take(mouth, poses, (speech.audio + hiss).round().clip(-32768, 32767).astype(np.int16))


def listen(take: Take, rng: np.random.Generator) -> Take:
    """Let somebody keep their mouth shut for as long as a take, of which they hear the sound."""
    return Take(np.zeros_like(take.mouth), random_motion(rng, len(take.mouth)), take.audio)
