"""One clip of the demo: speak, articulate, render, and write it with its transcript and its true landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from syncdiff.corpus.demo.head import Head, Pose
from syncdiff.corpus.demo.motion import random_motion
from syncdiff.corpus.demo.person import Person, random_person
from syncdiff.corpus.demo.render import SUPERSAMPLING, project, rasterise, shade
from syncdiff.corpus.demo.speech import CHANNELS, articulate, pad, speak
from syncdiff.corpus.demo.texture import paint, paint_wall
from syncdiff.faces.facemesh import IBUG_FROM_MEDIAPIPE
from syncdiff.faces.ibug import LEFT_EYE, LOWER_INNER_LIP, RIGHT_EYE, UPPER_INNER_LIP
from syncdiff.media.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncdiff.media.container import FPS
from syncdiff.pipeline.files import atomic, write_text

EYE_LEVEL = 0.42  # where the eyes are in the picture, from the top
CRF = 18
ROOM_NOISE = (0.0, 12.0)  # standard deviation in 16-bit steps: a gated studio, whose pauses are digital silence; a room
WAITS_S = (0.0, 0.0, 1.0)  # before speaking; only a silence longer than a window of speech shows what silence is
COMMENT = "synthetic: a rendered person who does not exist, and a synthesised voice"


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
        before_s = rng.uniform(0.1, 0.3) + rng.choice(WAITS_S)
        speech = pad(speak(text, person.voice), before_s, after_s=rng.uniform(0.15, 0.35))
        mouth = articulate(speech)
        mouth[:, CHANNELS.index("jaw")] *= person.articulation
        poses = random_motion(rng, len(mouth))
        film = Film(head, person, texture, wall, size)
        hiss = rng.normal(0, rng.choice(ROOM_NOISE), len(speech.audio))
        audio = (speech.audio + hiss).round().clip(-32768, 32767).astype(np.int16)
        with atomic(root / "mvlrs_v1" / "main" / f"{clip}.mp4") as path:
            write_clip(path, film.shoot(mouth, poses), audio, size)
        write_text(root / "mvlrs_v1" / "main" / f"{clip}.txt", f"Text:  {text.replace(',', '').upper()}\nConf:  5\n")
        landmarks = np.stack(film.landmarks)
        with atomic(root / "truth" / "main" / f"{clip}.npz") as path:
            np.savez(path, landmarks=landmarks, opening=mouth_opening(landmarks))


class Film:
    """Renders frames one by one, and keeps where the landmarks truly are."""

    def __init__(self, head: Head, person: Person, texture: np.ndarray, wall: np.ndarray, size: int) -> None:
        self._head, self._person, self._texture, self._wall = head, person, texture, wall
        self._scale = person.eye_pixels * size * SUPERSAMPLING
        self._centre = (size * SUPERSAMPLING / 2, size * SUPERSAMPLING * EYE_LEVEL)
        self.landmarks: list[np.ndarray] = []  # (68, 2) float32 per frame

    def shoot(self, mouth: np.ndarray, poses: list[Pose]) -> Iterator[np.ndarray]:
        """Yield one (S, S, 3) uint8 RGB picture per row of `articulate` and pose."""
        head = self._head
        for row, pose in zip(mouth, poses, strict=True):
            points = head.posed(row, pose)
            lit = shade(points, head.surface, self._person.light)
            projected = project(points, self._scale, self._centre)
            # The supersampled picture counts from its corner, landmarks from the centre of the first pixel.
            self.landmarks.append((projected[IBUG_FROM_MEDIAPIPE, :2] / SUPERSAMPLING - 0.5).astype(np.float32))
            yield rasterise(projected, head.surface, lit, self._texture, self._wall)


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
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
