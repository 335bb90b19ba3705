"""Opening media files with libav, and the clock that pictures and sound share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.frame import Frame
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from syncdiff.errors import ClipRejected

FPS = 25


@contextmanager
def open_media(source: Path | str | bytes) -> Iterator[InputContainer]:
    """Open a local file, or the bytes of one; never a network address, whatever a playlist names.

    Raises:
        ClipRejected: libav cannot read it, here or while the caller decodes.
    """
    if not isinstance(source, bytes) and Path(source).is_file() and not Path(source).stat().st_size:
        raise ClipRejected("cannot be decoded: empty file")
    # The prefix keeps libav from reading "a:b.mp4" as a protocol.
    file = io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}"
    try:
        with av.open(file, "r", options={"protocol_whitelist": "file,pipe"}, metadata_errors="replace") as container:
            yield container
    except UnicodeEncodeError:
        raise ClipRejected("cannot be decoded: the file name is not UTF-8") from None
    except av.FFmpegError as error:
        raise ClipRejected(f"cannot be decoded: {error.strerror}") from None


def video_stream(container: InputContainer) -> VideoStream:
    """Return the first video stream that is not a cover picture, set to decode in one thread."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.codec_context.thread_count = 1
            return stream
    raise ClipRejected("no video stream")


def first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame:
    """Decode up to the first picture: its time is the clip's time zero."""
    for frame in container.decode(stream):
        return frame
    raise ClipRejected("cannot be decoded: no picture in the video stream")


def frame_time(frame: Frame) -> Fraction:
    """Return when a frame is due on the file's clock, in seconds; 0 where the file does not say."""
    return Fraction((frame.pts or 0) * (frame.time_base or 1))


def frame_rate(stream: VideoStream) -> Fraction:
    """Return the stream's average rate in pictures a second."""
    return Fraction(stream.average_rate or stream.guessed_rate or FPS)


def upright(frame: VideoFrame) -> np.ndarray:
    """Convert to (H, W, 3) uint8 RGB, turned as the file's display matrix asks."""
    picture = frame.to_ndarray(format="rgb24", threads=1)
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90))) if frame.rotation else picture
