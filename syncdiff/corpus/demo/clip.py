"""One clip of the demo: speak, articulate, render, and write it with its transcript and its true landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from syncdiff.artifacts import atomic, write_text
from syncdiff.corpus.demo.head import Head, Pose
from syncdiff.corpus.demo.motion import random_motion
from syncdiff.corpus.demo.person import Person, random_person
from syncdiff.corpus.demo.render import SUPERSAMPLING, project, rasterise, shade
from syncdiff.corpus.demo.speech import CHANNELS, articulate, pad, speak
from syncdiff.corpus.demo.texture import paint, paint_wall
from syncdiff.faces.facemesh import IBUG_FROM_MEDIAPIPE
from syncdiff.media.audio import SAMPLE_RATE
from syncdiff.media.container import FPS

EYE_LEVEL = 0.42  # where the eyes are in the picture, from the top
CRF = 18


@dataclass(frozen=True)
class Script:
    """What one identity says."""

    identity: int  # index; also what the person is drawn from
    texts: dict[str, str]  # clip (`<programme id>/<number>`): text


def render_identity(script: Script, root: Path, size: int, seed: int) -> None:
    """Render all clips of one person below `root`; the same arguments give the same bytes.

    Args:
        script: who says what.
        root: the corpus; videos and transcripts go to mvlrs_v1/main, true landmarks to truth/main.
        size: side of the picture in pixels.
        seed: of the corpus.
    """
    person = random_person(np.random.default_rng([seed, script.identity]))
    head, texture, wall = Head(person), paint(person), paint_wall(person, size * SUPERSAMPLING)
    for number, (clip, text) in enumerate(script.texts.items()):
        rng = np.random.default_rng([seed, script.identity, number])
        speech = pad(speak(text, person.voice), rng.uniform(0.1, 0.3), rng.uniform(0.15, 0.35))
        mouth = articulate(speech)
        mouth[:, CHANNELS.index("jaw")] *= person.articulation
        poses = random_motion(rng, len(mouth))
        points = [head.posed(row, pose) for row, pose in zip(mouth, poses, strict=True)]
        frames = (_picture(head, person, frame, texture, wall) for frame in points)
        hiss = rng.normal(0, 12, len(speech.audio))  # a room is never digitally silent
        audio = (speech.audio + hiss).round().clip(-32768, 32767).astype(np.int16)
        with atomic(root / "mvlrs_v1" / "main" / f"{clip}.mp4") as path:
            write_clip(path, frames, audio, size)
        landmarks = np.stack([_project(person, frame[IBUG_FROM_MEDIAPIPE], size) for frame in points])[..., :2]
        with atomic(root / "truth" / "main" / f"{clip}.npz") as path:
            _write_truth(path, landmarks.astype(np.float32))
        write_text(root / "mvlrs_v1" / "main" / f"{clip}.txt", f"Text:  {_transcript(text)}\nConf:  5\n")
