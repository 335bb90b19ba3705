"""A film with cuts, of rendered people, so that the truth is known; and the same pictures in other forms."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import cv2
import numpy as np
import soundfile
from av.video.frame import VideoFrame
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.corpus.demo.clip import mouth_aperture
from syncdiff.corpus.demo.film import cast
from syncdiff.corpus.demo.motion import random_motion
from syncdiff.corpus.demo.person import random_person
from syncdiff.corpus.demo.render import SUPERSAMPLING, reduce
from syncdiff.corpus.demo.speech import CHANNELS, articulate, pad, speak
from syncdiff.corpus.demo.texture import paint_wall

SIDE = 160  # pixels of a rendered picture; a film is twice as wide
TEXT = "bright red seals bark aloud at the harbour while we wait for the boat to come back to us again"
TICK = Fraction(1, 90_000)  # seconds
SAND = (196, 150, 120)  # a hand

Kind = Literal["plain", "fade", "hand", "nobody", "both"]


class Shot(NamedTuple):
    """Some frames: who is seen, and what is done to the picture. `both`: A and B side by side."""

    who: str
    n_frames: int
    kind: Kind = "plain"


class Actor:
    """One rendered person, the same for the same name."""

    def __init__(self, name: str) -> None:
        seed = ord(name)
        self.person = random_person(np.random.default_rng([0, seed]))
        self._cast = cast(self.person, SIDE)
        self._wall = paint_wall(self.person, SIDE * SUPERSAMPLING)
        self._seed = seed

    def act(self, mouth: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Return a picture (SIDE, SIDE, 3) for each row of `articulate`, and how far the mouth is truly open."""
        poses = random_motion(np.random.default_rng([1, self._seed]), len(mouth))
        frames = [self._cast.draw(row, pose, self._wall) for row, pose in zip(mouth, poses, strict=True)]
        return [reduce(frame.picture) for frame in frames], mouth_aperture(
            np.stack([frame.landmarks for frame in frames])
        )

    def room(self) -> np.ndarray:
        """Return the wall alone."""
        return cv2.resize(self._wall, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def spoken(actor: Actor, fps: float, text: str = TEXT) -> tuple[np.ndarray, np.ndarray]:
    """Return a sentence (n,) int16 at 16 kHz, and the rows of `articulate` at so many frames a second."""
    speech = pad(speak(text, actor.person.voice), 0.1, 0.2)
    rows = articulate(speech)
    rows[:, CHANNELS.index("jaw")] *= actor.person.articulation
    times = np.arange(int(len(rows) / 25 * fps)) / fps * 25
    return speech.audio, np.stack([np.interp(times, np.arange(len(rows)), row) for row in rows.T], axis=1)


def shoot(shots: Sequence[Shot], fps: float) -> list[np.ndarray]:
    """Return the pictures of a film, (SIDE, 2 SIDE, 3) uint8 each; the actors say `TEXT`, shot by shot anew."""
    actors = {name: Actor(name) for name in "AB"}
    mouths = {name: spoken(actor, fps)[1] for name, actor in actors.items()}
    pictures: list[np.ndarray] = []
    for number, shot in enumerate(shots):
        names = "AB" if shot.kind == "both" else shot.who
        halves = [actors[name].act(mouths[name][: shot.n_frames])[0] for name in names]
        for index in range(shot.n_frames):
            row = [half[index] for half in halves]
            if shot.kind == "nobody":
                row = [actors[shot.who].room()]
            if len(row) == 1:  # one person stands left or right, before the other half of the room
                room = np.full_like(row[0], (60 + 40 * (number % 3), 90, 120))
                row = [row[0], room] if number % 2 else [room, row[0]]
            pictures.append(_done(np.concatenate(row, axis=1), shot, index, left=number % 2 == 1))
    return pictures


def _done(picture: np.ndarray, shot: Shot, index: int, left: bool) -> np.ndarray:
    if shot.kind == "fade":
        return (picture * min(index / 15, 1)).astype(np.uint8)
    if shot.kind == "hand" and 10 <= index < 20:
        middle = (SIDE // 2 if left else 3 * SIDE // 2, round(0.64 * SIDE))
        return cv2.ellipse(picture, middle, (34, 24), 20, 0, 360, SAND, -1)
    return picture


def write_film(  # noqa: PLR0913, PLR0917 - a kind of file each
    path: Path,
    pictures: Sequence[np.ndarray],
    times: Sequence[float],
    pixel_format: str = "yuv420p",
    matrix: int = 5,
    transfer: int = 6,
    primaries: int = 5,
    aspect: tuple[int, int] = (1, 1),
    turned: int = 0,
    audio: np.ndarray | None = None,
    rate: Fraction = Fraction(30),
) -> None:
    """Write pictures at any times, losslessly enough, as a container and a codec that keep all tags.

    Args:
        times: seconds.
        turned: degrees, of the display matrix.
        audio: (n, C) at 48 kHz.
        rate: what the header says.
    """
    silent = path.with_name(f"silent{path.suffix}")
    with av.open(str(silent), "w") as container:
        stream: Any = container.add_stream(
            "libx264", rate=rate, options={"crf": "4", "preset": "veryfast", "threads": "1"}
        )
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], pixel_format
        context = stream.codec_context
        context.time_base = TICK
        context.colorspace, context.color_trc, context.color_primaries = matrix, transfer, primaries
        context.color_range = 1
        context.sample_aspect_ratio = Fraction(*aspect)
        if turned:
            stream.set_display_rotation(turned)
        for picture, time in zip(pictures, times, strict=True):
            name = {1: "ITU709", 9: "BT2020"}.get(matrix, "ITU601")
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_colorspace=name, dst_color_range=1)
            frame.pts, frame.time_base = round(time * 90_000), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if audio is None:
        silent.replace(path)
        return
    wav = path.with_suffix(".wav")
    soundfile.write(wav, audio, 48_000)
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-y", "-i", str(silent), "-i", str(wav), "-c:v", "copy"]
    subprocess.run([*command, "-c:a", "aac", str(path)], check=True)


def even_times(n_frames: int, fps: float) -> list[float]:
    """Return the times of frames at a constant rate."""
    return [index / fps for index in range(n_frames)]


def facts(path: Path) -> dict[str, Any]:
    """Return what the headers of a file say, as a prober shows it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        first = next(container.decode(stream))
        context = stream.codec_context
        sound = container.streams.audio[0] if container.streams.audio else None
        return {
            "size": (context.width, context.height),
            "aspect": stream.sample_aspect_ratio,
            "turned": first.rotation,
            "pixels": first.format.name,
            "colours": (context.colorspace, context.color_primaries, context.color_trc, context.color_range),
            "rate": stream.average_rate,
            "sound": sound and (sound.codec_context.name, sound.rate, sound.channels),
        }


def shown_times(path: Path) -> Iterator[float]:
    """Yield when each frame is due, after the first, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        zero = None
        for frame in container.decode(stream):
            zero = frame.time if zero is None else zero
            yield frame.time - zero
