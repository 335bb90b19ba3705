"""Opening media files with libav, and the clock that frames and audio share."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.frame import Frame
from av.stream import Disposition
from av.video.stream import VideoStream

from syncdiff.config import FPS
from syncdiff.errors import ClipRejected
from syncdiff.pipeline.files import short_message

# Containers that hold their own frames and audio. Playlists (hls, dash, concat, image2) are not among them: they name
# other files, which libav would open.
DEMUXERS = (
    *("mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "m4v", "flv", "asf", "ogg", "nut", "mxf", "ivf", "dv"),
    *("h264", "hevc"),
    *("wav", "w64", "aiff", "caf", "mp3", "flac", "aac", "ac3", "amr"),
)
SAFE = {
    "protocol_whitelist": "file,pipe",
    "format_whitelist": ",".join(DEMUXERS),
}
MAX_PIXELS = 8192 * 4320  # of a frame: a broken header asks for more memory than there is
MAX_GAP_S = 60  # between the times of two frames, or pieces of audio: filling it would take memory or time without end
MAX_DURATION_S = 24 * 3600
SIDE_TRACKS = Disposition.dub | Disposition.comment | Disposition.karaoke | Disposition.descriptions
SIDE_TRACKS |= Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.clean_effects
UNNAMED = re.compile(r"\d+ channels|ambisonic")
READ_BYTES = 2**20  # at a time
ORDINARY_BYTES = 2**30  # who asks for more, and does not get it, has a broken header
STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image

Timed = TypeVar("Timed", bound=Frame)


@contextmanager
def open_media(source: Path | str | bytes) -> Iterator[InputContainer]:
    """Open a local file, or the bytes of one, and nothing else: no network address, no other file that it may name.

    Raises:
        ClipRejected: libav cannot read it, here or while the caller decodes; or it is no media container.
        OSError: it is not there, or the system cannot read it to its end.
        MemoryError: there is none left.
    """
    if not isinstance(source, bytes):
        _refuse_what_is_no_video(Path(source))
    # The prefix keeps libav from reading "a:b.mp4" as a protocol.
    file = io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}"
    opened = False
    try:
        with av.open(file, "r", options=SAFE, metadata_errors="replace") as container:
            opened = True
            yield container
    except UnicodeEncodeError:
        raise ClipRejected("cannot be decoded: the file name is not UTF-8") from None
    except (av.FFmpegError, ValueError, ArithmeticError, LookupError, MemoryError) as error:  # libav passes nonsense on
        _ask_the_system(source)
        raise ClipRejected(f"cannot be decoded: {_libav_says(error, opened)}") from None


def _refuse_what_is_no_video(path: Path) -> None:
    if path.is_file() and not path.stat().st_size:
        raise ClipRejected("cannot be decoded: empty file")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ClipRejected("cannot be decoded: a pipe or a device, whose end would be waited for")


def _libav_says(error: Exception, opened: bool) -> str:
    """Return what libav means by an error, before or after it has opened a file."""
    if not isinstance(error, av.FFmpegError):
        return short_message(error) or type(error).__name__
    if error.errno == errno.EINVAL and not opened:
        return "not a kind of file that is read; convert it to mp4"
    # EPERM is what a decoder returns that only says -1.
    return "damaged data" if opened and error.errno == errno.EPERM else error.strerror or "unknown error"


def _ask_the_system(source: Path | str | bytes) -> None:
    """Raise the system's own error, if it has one, where libav failed: libav calls a bad disk bad data, and vice versa.

    Raises:
        OSError: the file cannot be read from its beginning to its end.
        MemoryError: not even the memory for ordinary frames is left.
    """
    if not isinstance(source, bytes) and "\0" not in str(source) and not _is_special(Path(source)):
        try:
            with Path(source).open("rb", buffering=0) as file:
                while file.read(READ_BYTES):
                    pass
        except OSError as error:  # of reading, it does not say where
            raise OSError(error.errno, error.strerror, str(source)) from None
    np.empty(ORDINARY_BYTES, np.uint8)


def _is_special(path: Path) -> bool:
    return path.is_fifo() or path.is_socket() or path.is_char_device() or path.is_block_device()


def video_stream(container: InputContainer) -> VideoStream:
    """Return the video to see, the first that is flagged default, else the first; set to decode in one thread.

    Frames of more than `MAX_PIXELS` will not decode.
    """
    streams = video_tracks(container)
    if not streams:
        raise ClipRejected("no video stream")
    stream = next((stream for stream in streams if stream.disposition & Disposition.default), streams[0])
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that are no covers or thumbnails, and that there is a decoder for."""
    return [stream for stream in container.streams.video if stream.codec_context and not stream.disposition & STILLS]


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return the audio track to hear: the first that is flagged default, else the first, of those that decode.

    Comments, dubs and tracks for people who hear or see badly are heard only where there is no other.
    """
    tracks = audio_tracks(container)
    tracks = [track for track in tracks if not track.disposition & SIDE_TRACKS] or tracks
    flagged = (track for track in tracks if track.disposition & Disposition.default)
    return next(flagged, tracks[0] if tracks else None)


def audio_tracks(container: InputContainer) -> list[AudioStream]:
    """Return the audio tracks that there is a decoder for."""
    return [stream for stream in container.streams.audio if stream.codec_context]


def continuous(frames: Iterable[Timed]) -> Iterator[Timed]:
    """Pass frames on as long as no time that the file gives for them is far after the last one.

    Raises:
        ClipRejected: a gap, or a frame's own duration, is longer than `MAX_GAP_S`.
    """
    end: int | None = None  # ticks of the stream's time base, as all times here
    longest = 0.0
    for frame in frames:
        longest = longest or MAX_GAP_S / float(frame.time_base or 1)
        pts, duration = frame.pts, frame.duration or 0
        if duration > longest and isinstance(frame, AudioFrame):  # libav's nonsense at the end of joined Ogg files
            duration = round(frame.samples / frame.sample_rate / (frame.time_base or 1))
        start = (0 if end is None else end) if pts is None else pts
        if duration > longest or (end is not None and start - end > longest):
            raise ClipRejected(f"broken timestamps: a gap of more than {MAX_GAP_S} s")
        end = start + duration
        yield frame


def frame_time(frame: Frame) -> Fraction:
    """Return when a frame is due on the file's clock, in seconds; 0 where the file does not say."""
    return Fraction((frame.pts or 0) * (frame.time_base or 1))


def are_unnamed(n_channels: int, layout: str) -> bool:
    """Return whether nobody has said what channels stand for: libav has no rule to mix them, or only a guess."""
    return n_channels > 2 and UNNAMED.match(layout) is not None


def frame_rate(stream: VideoStream) -> Fraction:
    """Return the stream's average rate in frames a second."""
    return Fraction(stream.average_rate or stream.guessed_rate or FPS)
