"""Frames: probe a file, stream it at 25 fps, keep aligned crops in memory, write mp4 files."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, repeat
from math import ceil
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, Any

import av
import ffmpeg
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.errors import ClipRejected
from syncdiff.media.audio import write_wav
from syncdiff.media.clock import n_shown, shown_for
from syncdiff.media.container import FPS, audio_stream, continuous, frame_rate, frame_time, open_media, video_stream
from syncdiff.media.decode import NO_PICTURE, decoded_video, seek_before
from syncdiff.media.extent import extent
from syncdiff.media.rgb import MATRICES, ColorSpace, ToRgb, color_space_for, color_space_of, deinterlaced, notes
from syncdiff.media.soundtrack import Soundtrack
from syncdiff.pipeline.files import atomic

PRESET = "veryfast"  # half the time of x264's own choice on 1080p
CROP_CRF = 5  # with that preset: 43 dB, about one grey level of error
HALF = Fraction(1, 2)
VIDEO_CRF = 17  # x264's "visually lossless"
X264 = "asm=AVX2"  # with AVX-512, the same frames gave other bytes from one time to the next (PyAV 18.1's x264)
SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")  # of videos that are written
MESSAGE = 4096  # bytes of ffmpeg's that are shown
BITEXACT = {"fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact"}  # no dates or versions in the file


@dataclass(frozen=True)
class Probe:
    """What a file's headers and its first frame say."""

    width: int  # square pixels, upright
    height: int
    fps: float
    n_frames: int  # in the file, at its own rate
    duration_s: float
    audio_rate: int | None  # Hz; None: no audio stream
    audio_start_s: float  # relative to the first frame; negative: the audio begins earlier
    codec: str
    notes: tuple[str, ...] = ()  # what is unusual about the file and what is made of it, a kind a line, the same words
    color_space: ColorSpace | None = None  # how to write these frames again; None: as any others


def probe(path: Path | str) -> Probe:
    """Read the headers and decode one frame.

    Raises:
        ClipRejected: the file cannot be read, or has no frame.
    """
    with open_media(path) as container:
        stream = video_stream(container)
        first, found = extent(container, stream)
        to_rgb = ToRgb(stream, first)
        audio = audio_stream(container)
        audio_start = (audio.start_time or 0) * audio.time_base if audio and audio.time_base else Fraction(0)
        return Probe(
            width=to_rgb.width,
            height=to_rgb.height,
            fps=float(found.fps),
            n_frames=found.n_frames,
            duration_s=float(found.duration),
            audio_rate=audio.sample_rate if audio else None,
            audio_start_s=float(audio_start - frame_time(first)) if audio else 0.0,
            codec=stream.codec_context.name,
            notes=notes(container, stream, first) + found.notes,
            color_space=color_space_of(first),
        )


def read_frames(source: Path | str | bytes, start: int = 0) -> Iterator[np.ndarray]:
    """Stream frames at 25 fps from time zero, one in memory at a time.

    Each instant shows the file's frame nearest in time; one held for longer than 40 ms gives way 20 ms before
    the next one's time, as in ffmpeg's fps filter. What is interlaced is deinterlaced, pixels are made square, HDR is
    tone-mapped. Frames of another size than the first are fitted into that, with a warning in the log.

    Args:
        source: a file, or the bytes of one.
        start: so many frames are left out at the beginning: sought where `seek_before` can, else decoded and not shown.

    Yields:
        (H, W, 3) uint8 RGB, upright; a repeated frame is the same array, so do not write into it.

    Raises:
        ClipRejected: no video stream, or it cannot be decoded.
    """
    slot = 0  # of the next frame, on the 25 fps timeline
    to_rgb: ToRgb | None = None
    with open_media(source) as container:
        stream = video_stream(container)
        first = seek_before(container, stream, Fraction(start, FPS))
        for frame, until in _timeline(container, stream, first):
            to_rgb = to_rgb or ToRgb(stream, first or frame)
            yield from _repeated(to_rgb, frame, until - max(slot, start))
            slot = until


def _timeline(
    container: InputContainer, stream: VideoStream, first: VideoFrame | None
) -> Iterator[tuple[VideoFrame, int]]:
    """Yield the file's frames that are shown at 25 fps, each with the slot from which the next is shown, or the end.

    Args:
        first: the file's first frame, where the container has been sought; None: decoding begins with it.
    """
    waiting: deque[tuple[VideoFrame, int]] = deque()  # the end may come before the slots that the nearest would have
    held: VideoFrame | None = None
    slot = n_decoded = 0
    zero = shown = end = since = Fraction(0)  # these and `begin` in slots
    for frame in deinterlaced(continuous(decoded_video(container, stream))):
        if held is None:
            zero = frame_time(first or frame) * FPS
            since = frame_time(frame) * FPS - zero
        begin = end if frame.pts is None else frame_time(frame) * FPS - zero
        if held is not None and (until := ceil(max((shown + begin) / 2, begin - HALF))) > slot:
            waiting.append((held, until))
            slot = until
        while waiting and waiting[0][1] <= begin + HALF:
            yield waiting.popleft()
        held, shown, end = frame, begin, begin + _duration(frame, stream) * FPS
        n_decoded += 1
    if held is None:
        raise ClipRejected(NO_PICTURE)
    own, span = Fraction((held.duration or 0) * (held.time_base or 0)), (shown - since) / FPS
    n_frames = n_shown(shown / FPS + shown_for(own, span, n_decoded, frame_rate(stream)))
    yield from ((frame, min(until, n_frames)) for frame, until in waiting)
    yield held, n_frames


def _repeated(to_rgb: ToRgb, frame: VideoFrame, times: int) -> Iterator[np.ndarray]:
    """Yield one frame so many times; when that is none, it is not even converted."""
    if times > 0:
        yield from repeat(to_rgb(frame), times)


def write_crops(path: Path, frames: Iterable[np.ndarray]) -> None:
    """Write square crops as an H.264 yuv444p mp4, visually lossless, atomically; the same crops give the same bytes.

    Args:
        frames: (S, S, 3) uint8 RGB each, at 25 fps; at least one, all of one size.

    Raises:
        ValueError: a crop of another size.
    """
    shape, frames = _of_one_size(frames)
    with (
        atomic(path) as temporary,
        av.open(f"file:{temporary}", "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        options = {"crf": str(CROP_CRF), "preset": PRESET, "threads": "1", "x264-params": X264}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = *shape[:2], "yuv444p"
        for frame in frames:
            container.mux(stream.encode(VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def decode_crops(data: bytes) -> np.ndarray:
    """Decode what `write_crops` wrote: (T, S, S, 3) uint8 RGB."""
    return np.stack(list(read_frames(data)))


def write_video(
    path: Path | str,
    frames: Iterable[np.ndarray],
    audio: Iterable[np.ndarray] | Soundtrack | None = None,
    comment: str | None = None,
    color_space: ColorSpace | None = None,
) -> None:
    """Write H.264 yuv420p at 25 fps and AAC through ffmpeg, atomically; odd sides get one more row or column.

    Matrix, range, primaries and transfer are tagged: by default BT.709 for HD and the matrix of BT.601 below, which is
    what players assume that do not read tags.

    Args:
        path: its suffix, one of `SUFFIXES`, names the container.
        frames: (H, W, 3) uint8 RGB each, all of one size; at least one.
        audio: (n,) int16 mono at 16 kHz, piece by piece; or a track of a file, at its own rate and channels.
        comment: metadata tag, for example that the video is synthetic.
        color_space: that of the source, as `Probe` has it, where the video should play like that.

    Raises:
        ValueError: a frame of another size.
        RuntimeError: ffmpeg failed; its own message.
    """
    shape, frames = _of_one_size(frames)
    with atomic(path) as temporary, tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        if audio is not None and not isinstance(audio, Soundtrack):
            wav = Path(folder, "audio.wav")
            write_wav(wav, audio)
            audio = Soundtrack(wav)
        height, width = shape[:2]
        command = _ffmpeg_command(
            temporary, height, width, audio, comment, color_space or color_space_for(width, height)
        )
        arguments = command.compile(cmd=get_ffmpeg_exe(), overwrite_output=True)
        _feed(Popen(arguments, stdin=PIPE, stderr=errors), frames, errors)


def _of_one_size(frames: Iterable[np.ndarray]) -> tuple[tuple[int, ...], Iterator[np.ndarray]]:
    """Return the shape of the first frame, and all frames; an encoder would take others for garbage of that shape."""
    frames = iter(frames)
    first = next(frames)

    def checked() -> Iterator[np.ndarray]:
        for index, frame in enumerate(chain([first], frames)):
            if frame.shape != first.shape:
                raise ValueError(f"frame {index} has the shape {frame.shape}, the first one {first.shape}")
            yield frame

    return first.shape, checked()


def _duration(frame: VideoFrame, stream: VideoStream) -> Fraction:
    return Fraction(frame.duration * frame.time_base) if frame.duration and frame.time_base else 1 / frame_rate(stream)


def _ffmpeg_command(
    path: Path, height: int, width: int, audio: Soundtrack | None, comment: str | None, color: ColorSpace
) -> Any:
    frames = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", r=FPS)
    frames = frames.filter("pad", "ceil(iw/2)*2", "ceil(ih/2)*2")
    span = "full" if color.full_range else "limited"
    frames = frames.filter("scale", out_color_matrix=MATRICES[color.matrix], out_range=span)
    tags = {"colorspace": color.matrix, "color_primaries": color.primaries, "color_trc": color.transfer}
    streams = [frames.filter("format", "yuv420p").filter("setparams", range=span, **tags)]
    options = {"vcodec": "libx264", "crf": VIDEO_CRF, "preset": PRESET, "threads": 1, "x264-params": X264}
    if path.suffix.lower() != ".mkv":
        options["movflags"] = "+faststart"
    if audio is not None:
        streams.append(audio.stream())
        options |= {"acodec": "aac"} | audio.encoding()
    if comment is not None:
        options["metadata"] = f"comment={comment}"
    return ffmpeg.output(*streams, f"file:{path}", loglevel="error", **options, **BITEXACT)


def _feed(process: Popen[bytes], frames: Iterable[np.ndarray], errors: IO[bytes]) -> None:
    """Stream frames into ffmpeg and wait for it; kill it when the frames themselves fail."""
    assert process.stdin is not None
    try:
        for frame in frames:
            process.stdin.write(np.ascontiguousarray(frame).data)
    except BrokenPipeError:
        pass  # ffmpeg gave up; its message follows
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.communicate()
    if process.returncode == -signal.SIGXFSZ:  # what a limit on the size of files does, without a word
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    if process.returncode:
        errors.seek(0)
        message = errors.read(MESSAGE).decode(errors="replace")  # the first lines name the cause
        raise RuntimeError(f"ffmpeg failed: {message.strip()}")
