"""Audio: 16 kHz mono on the clip's timeline, exactly 640 samples a frame of video."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.filter import Graph

from syncdiff.errors import ClipRejected
from syncdiff.media.clock import Clock, reject_late_audio
from syncdiff.media.container import FPS, are_unnamed, audio_stream, continuous, frame_time, open_media
from syncdiff.media.decode import decoded, video_shifts, video_start
from syncdiff.pipeline.files import atomic, short_message

SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 640
MAX_CHANNELS = 64  # that libav mixes
PHASE_EVERY = 50  # frames: about once a second
CANCELLED = 1e-4  # of the power of the channels is left in their mean: 40 dB below


def read_audio(path: Path | str, start_s: float = 0.0) -> np.ndarray:
    """Read what `stream_audio` streams: (n,) int16 mono at 16 kHz."""
    return concatenate(stream_audio(path, start_s))


def stream_audio(path: Path | str, start_s: float = 0.0) -> Iterator[np.ndarray]:
    """Stream a file's audio from `start_s` seconds after its first frame (of a file without one: its first sample).

    Audio that begins earlier is trimmed, audio that begins later is padded with silence, gaps are filled. Channels are
    mixed as by `ffmpeg -ac 1`, those that no one has named to their mean.

    Yields:
        (n,) int16 mono at 16 kHz, piece by piece.

    Raises:
        ClipRejected: no audio stream, it cannot be decoded, or (at its end) its channels cancel each other out.
    """
    zero = video_start(path)
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise ClipRejected("no audio stream")
        clock = Clock(None if zero is None else partial(video_shifts, path))
        frames = _in_phase(continuous(decoded(clock.continued(container.demux(stream)))))
        streamed = None  # samples so far
        for _, alike in groupby(frames, lambda frame: (len(clock.shifts), *_kind(frame))):
            first = next(alike)
            begins = frame_time(first)
            zero = begins if zero is None else zero
            if streamed is None:
                reject_late_audio(begins - zero)
            streamed = streamed or 0
            late = round((begins - zero - Fraction(start_s)) * SAMPLE_RATE) - streamed  # of silence; negative: to trim
            yield np.zeros(max(late, 0), np.int16)
            streamed += max(late, 0)
            for piece in _from(-late, _resample(first, alike)):
                streamed += len(piece)
                yield piece
        if streamed is None:
            raise ClipRejected("no sound in the audio stream")


def pad_or_trim(pieces: Iterable[np.ndarray], n_frames: int) -> Iterator[np.ndarray]:
    """Cut audio (n,), or pad it with zeros, to the 640 samples of each of `n_frames` frames."""
    missing = n_frames * SAMPLES_PER_FRAME
    for piece in pieces:
        yield piece[:missing]
        missing -= min(len(piece), missing)
        if not missing:
            return
    yield np.zeros(missing, np.int16)


def concatenate(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """Return audio in pieces as one array: (n,) int16."""
    samples = bytearray()  # grows in place; joined from a list of its pieces, it would be there twice
    for piece in pieces:
        samples += piece.tobytes()
    return np.frombuffer(samples, np.int16)


def write_wav(path: Path, pieces: Iterable[np.ndarray]) -> int:
    """Write audio, (n,) int16 mono at 16 kHz piece by piece, as a WAV file, atomically; return its samples."""
    with atomic(path) as temporary, temporary.open("wb") as raw, wave.open(raw) as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for piece in pieces:
            file.writeframesraw(piece.tobytes())
        return file.getnframes()


def read_wav(data: bytes | Path, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Read what `write_wav` wrote, or its samples from `start` up to `stop`, as far as there are some: (n,) int16.

    Raises:
        ClipRejected: damaged, or not mono.
    """
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        audio, _ = soundfile.read(source, dtype="int16", start=start, stop=stop)
    except (soundfile.SoundFileError, MemoryError) as error:
        raise ClipRejected(f"damaged sound: {short_message(error)}") from None
    if audio.ndim != 1:
        raise ClipRejected(f"damaged sound: {audio.shape[1]} channels")
    return audio


def _from(n_trimmed: int, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Leave the first samples out, if the number is above zero."""
    for piece in pieces:
        yield piece[max(n_trimmed, 0) :]
        n_trimmed -= len(piece)


def _kind(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name


def _in_phase(frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
    """Pass decoded frames on, and look at one in `PHASE_EVERY`: do their channels cancel each other out in the mean?

    Raises:
        ClipRejected: after the last frame.
    """
    mixed = heard = 0.0
    for index, frame in enumerate(frames):
        if index % PHASE_EVERY == 0 and frame.layout.nb_channels == 2:
            channels = frame.to_ndarray().astype(float)
            channels = channels if frame.format.is_planar else channels.reshape(-1, frame.layout.nb_channels).T
            mixed += np.square(channels.mean(axis=0)).sum()
            heard += np.square(channels).mean(axis=0).sum()
        yield frame
    if mixed < CANCELLED * heard:
        raise ClipRejected("the channels cancel each other out (opposite phase): give one of them, in mono")


def _resample(first: AudioFrame, rest: Iterable[AudioFrame]) -> Iterator[np.ndarray]:
    """Convert decoded frames of one kind to int16 mono at 16 kHz; `async` fills gaps between their times."""
    if first.layout.nb_channels > MAX_CHANNELS:
        raise ClipRejected(f"{first.layout.nb_channels} channels of sound: more than {MAX_CHANNELS}; give fewer")
    graph, layout = Graph(), first.layout.name
    nodes = [
        graph.add_abuffer(sample_rate=first.sample_rate, format=first.format, layout=layout, time_base=first.time_base),
        graph.add("aresample", f"{SAMPLE_RATE}:async=1"),
        graph.add("aformat", f"sample_fmts=s16:channel_layouts=mono:sample_rates={SAMPLE_RATE}"),
        graph.add("abuffersink"),
    ]
    if are_unnamed(first.layout.nb_channels, layout):
        n = first.layout.nb_channels
        mean = "mono|c0=" + "+".join(f"{1 / n}*c{channel}" for channel in range(n))
        nodes[1:1] = [graph.add("aformat", "sample_fmts=dblp"), graph.add("pan", mean)]  # integers it rounds n times
    graph.link_nodes(*nodes).configure()
    for frame in chain([first], rest, [None]):
        yield from _filter(graph, frame)


def _filter(graph: Graph, frame: AudioFrame | None) -> Iterator[np.ndarray]:
    """Push one frame (None: the end) and yield what comes out, (n,) int16 each."""
    graph.push(frame)
    while True:
        try:
            yield graph.pull().to_ndarray()[0]
        except (av.BlockingIOError, av.EOFError):
            return
