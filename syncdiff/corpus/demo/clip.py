"""One clip of the demo: speak, articulate, render, and write it with its transcript and its true landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from syncdiff.corpus.demo.faults import FAULTS, Fault, Scene, Shot
from syncdiff.corpus.demo.film import Frame, cast, shoot
from syncdiff.corpus.demo.person import random_person
from syncdiff.corpus.demo.render import SUPERSAMPLING, reduce
from syncdiff.corpus.demo.take import play
from syncdiff.corpus.demo.texture import paint_wall
from syncdiff.faces.ibug import LEFT_EYE, LOWER_INNER_LIP, RIGHT_EYE, UPPER_INNER_LIP
from syncdiff.media.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncdiff.media.container import FPS
from syncdiff.pipeline.files import atomic, write_text

CRF = 18
COMMENT = "synthetic: a rendered person who does not exist, and a synthesised voice"


@dataclass(frozen=True)
class Script:
    """What one identity says, and what goes wrong."""

    identity: int  # index; also what the person is drawn from
    texts: dict[str, str]  # clip (`<programme id>/<number>`): text
    faults: dict[str, Fault] = field(default_factory=dict)  # clip: its fault; may name others' clips too


def render_identity(script: Script, root: Path, size: int, seed: int) -> list[dict[str, Any]]:
    """Render all clips of one person below `root`; the same arguments give the same bytes.

    Args:
        script: who says what.
        root: the corpus; videos and transcripts go to mvlrs_v1/main, true landmarks to truth/main.
        size: side of the picture in pixels.
        seed: of the corpus.

    Returns:
        A row for each clip with a fault: what `faults.COLUMNS` names, as far as it concerns it.
    """
    person = random_person(np.random.default_rng([seed, script.identity]))
    actor, wall = cast(person, size), paint_wall(person, size * SUPERSAMPLING)
    rows = []
    for number, (clip, text) in enumerate(script.texts.items()):
        take = play(person, text, np.random.default_rng([seed, script.identity, number]))
        scene = Scene(take.audio, shoot(actor, take, wall))
        if fault := script.faults.get(clip):
            rng = np.random.default_rng([seed, script.identity, number, *b"fault"])
            scene = FAULTS[fault.kind](Shot(actor, take, wall, fault.other, seed), rng)
        landmarks = write_scene(root, clip, scene, size)
        write_text(root / "mvlrs_v1" / "main" / f"{clip}.txt", f"Text:  {text.replace(',', '').upper()}\nConf:  5\n")
        if fault:
            rows.append({"clip": f"main/{clip}", "fault": fault.kind, **scene.truth, **box(landmarks)})
    return rows


def write_scene(root: Path, clip: str, scene: Scene, size: int) -> np.ndarray:
    """Write a clip's video and its true landmarks below `root`; return these, (T, 68, 2) float32."""
    seen: list[np.ndarray] = []
    with atomic(root / "mvlrs_v1" / "main" / f"{clip}.mp4") as path:
        write_clip(path, _developed(scene.frames, seen), scene.audio, size)
    landmarks = np.stack(seen)
    with atomic(root / "truth" / "main" / f"{clip}.npz") as path:
        np.savez(path, landmarks=landmarks, opening=mouth_aperture(landmarks))
    return landmarks


def _developed(frames: Iterator[Frame], landmarks: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the frames' pictures, (S, S, 3) uint8 RGB, and keep their landmarks."""
    for frame in frames:
        landmarks.append(frame.landmarks)
        yield reduce(frame.picture)


def box(landmarks: np.ndarray) -> dict[str, int]:
    """Return the box that all landmarks (T, 68, 2) lie in, in whole pixels."""
    (left, top), (right, bottom) = np.floor(landmarks.min(axis=(0, 1))), np.ceil(landmarks.max(axis=(0, 1)))
    return {"left": int(left), "top": int(top), "right": int(right), "bottom": int(bottom)}


def mouth_aperture(landmarks: np.ndarray) -> np.ndarray:
    """Distance of the inner lips over that of the eyes' centres: (T, 68, 2) to (T,) float32."""
    eyes = landmarks[:, RIGHT_EYE].mean(axis=1) - landmarks[:, LEFT_EYE].mean(axis=1)
    lips = landmarks[:, UPPER_INNER_LIP] - landmarks[:, LOWER_INNER_LIP]
    opening: np.ndarray = np.linalg.norm(lips, axis=1) / np.linalg.norm(eyes, axis=1)
    return opening


def write_clip(path: Path, frames: Iterator[np.ndarray], audio: np.ndarray, size: int) -> None:
    """Write an mp4 as LRS2's (H.264, AAC, 25 fps, 16 kHz), in this process and in one thread: same input, same bytes.

    Args:
        path: the file.
        frames: (size, size, 3) uint8 RGB each.
        audio: (n,) int16 mono at 16 kHz.
        size: side of the picture in pixels.
    """
    bitexact = {"fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=bitexact) as container:
        container.metadata["comment"] = COMMENT
        options = {"crf": str(CRF), "preset": "veryfast", "threads": "1", "flags": "+bitexact"}
        video = container.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = size, size, "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options={"flags": "+bitexact"})
        for index, frame in enumerate(frames):
            container.mux(video.encode(VideoFrame.from_ndarray(frame, format="rgb24")))
            start = index * SAMPLES_PER_FRAME
            chunk = AudioFrame.from_ndarray(audio[None, start : start + SAMPLES_PER_FRAME], format="s16", layout="mono")
            chunk.sample_rate, chunk.pts = SAMPLE_RATE, start
            container.mux(sound.encode(chunk))
        for stream in (video, sound):
            container.mux(stream.encode(None))
