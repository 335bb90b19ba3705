"""Sound: 16 kHz mono on the clip's timeline, exactly 640 samples a frame of video."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.filter import Graph

from syncdiff.artifacts import one_line
from syncdiff.errors import ClipRejected
from syncdiff.media.container import (
    FPS,
    MAX_GAP_S,
    audio_stream,
    continuous,
    first_frame,
    frame_time,
    open_media,
    video_stream,
)

SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 640
WAV_BLOCK = 1_000_000  # samples that soundfile is given at a time: it copies them


def read_audio(path: Path | str, start_s: float = 0.0) -> np.ndarray:
    """Read a file's sound from `start_s` seconds after its first picture (of a file without one: its first sample).

    Sound that begins earlier is trimmed, sound that begins later is padded with silence, gaps are filled.

    Returns:
        (n,) int16 mono at 16 kHz.

    Raises:
        ClipRejected: no audio stream, or it cannot be decoded.
    """
    zero = _first_picture_time(path)
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise ClipRejected("no audio stream")
        frames = continuous(container.decode(stream))
        first = next(frames, None)
        if first is None:
            raise ClipRejected("no sound in the audio stream")
        audio = _resample(first, frames)  # (n,) from the first sample
        begins = frame_time(first)
        zero = begins if zero is None else zero
    if begins - zero > MAX_GAP_S:
        raise ClipRejected(f"broken timestamps: the sound begins {float(begins - zero):.4g} s after the picture")
    start = zero + Fraction(start_s)
    late = round((begins - start) * SAMPLE_RATE)  # samples of silence before the sound; negative: sound to trim
    return np.pad(audio, (late, 0)) if late > 0 else audio[-late:]  # a view: an hour is 115 MB


def fit_audio(audio: np.ndarray, n_frames: int) -> np.ndarray:
    """Cut `audio` (n,), or pad it with zeros, to the (640 * n_frames,) samples of `n_frames` pictures."""
    audio = audio[: n_frames * SAMPLES_PER_FRAME]
    missing = n_frames * SAMPLES_PER_FRAME - len(audio)
    return np.pad(audio, (0, missing)) if missing else audio


def wav_bytes(audio: np.ndarray) -> bytes:
    """Return (n,) int16 mono at 16 kHz as the bytes of a WAV file."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", SAMPLE_RATE, 1, format="WAV", subtype="PCM_16") as file:
        for start in range(0, len(audio), WAV_BLOCK):
            file.write(audio[start : start + WAV_BLOCK])
    return buffer.getvalue()


def read_wav(data: bytes | Path) -> np.ndarray:
    """Read what `wav_bytes` made: (n,) int16.

    Raises:
        ClipRejected: damaged, or not mono.
    """
    try:
        audio, _ = soundfile.read(io.BytesIO(data) if isinstance(data, bytes) else data, dtype="int16")
    except (soundfile.SoundFileError, MemoryError) as error:
        raise ClipRejected(f"damaged sound: {one_line(error)}") from None
    if audio.ndim != 1:
        raise ClipRejected(f"damaged sound: {audio.shape[1]} channels")
    return audio


def _first_picture_time(path: Path | str) -> Fraction | None:
    with open_media(path) as container:
        try:
            stream = video_stream(container)
        except ClipRejected:
            return None
        return frame_time(first_frame(container, stream))


def _resample(first: AudioFrame, rest: Iterable[AudioFrame]) -> np.ndarray:
    """Convert decoded frames to (n,) int16 mono at 16 kHz; `async` fills gaps between their timestamps with silence."""
    graph = Graph()
    graph.link_nodes(
        graph.add_abuffer(
            sample_rate=first.sample_rate, format=first.format, layout=first.layout.name, time_base=first.time_base
        ),
        graph.add("aresample", f"{SAMPLE_RATE}:async=1"),
        graph.add("aformat", f"sample_fmts=s16:channel_layouts=mono:sample_rates={SAMPLE_RATE}"),
        graph.add("abuffersink"),
    ).configure()
    samples = bytearray()  # grows in place; an array joined from its pieces would be there twice
    for frame in chain([first], rest, [None]):
        for piece in _filter(graph, frame):
            samples += piece.tobytes()
    return np.frombuffer(samples, np.int16)


def _filter(graph: Graph, frame: AudioFrame | None) -> Iterator[np.ndarray]:
    """Push one frame (None: the end) and yield what comes out, (n,) int16 each."""
    graph.push(frame)
    while True:
        try:
            yield graph.pull().to_ndarray()[0]
        except (av.BlockingIOError, av.EOFError):
            return
