"""The audio of a file as it is put into a video: its own rate and channels, on the timeline that `stream_audio` has."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from syncdiff.errors import ClipRejected
from syncdiff.media.container import SAFE, are_unnamed, audio_stream, frame_time, open_media
from syncdiff.media.decode import video_start

MAX_RATE = 96_000  # of AAC
MAX_CHANNELS = 8
TOGETHER_S = Fraction(1, 200)  # between the beginnings of sound and picture: nobody hears it
BITS_PER_CHANNEL = 128_000  # a second; ffmpeg takes less where the rate does not allow that


@dataclass(frozen=True)
class Soundtrack:
    """One audio track of a file, or a part of it, for `write_video`.

    zero: time on the file's clock, in seconds, at which the video begins; audio before it is cut, after it padded.
    seconds: of the video; the audio is cut or padded to it. None: all of the audio, from its beginning.
    mean: mix the channels to their mean.
    codec: that the file has it in.
    is_whole: nothing is to be cut or padded at its beginning, nor mixed.
    """

    path: Path
    index: int = 0  # of the stream in the file
    rate: int = 16_000
    channels: int = 1
    zero: Fraction = Fraction(0)
    seconds: float | None = None
    mean: bool = False
    codec: str = "pcm_s16le"
    is_whole: bool = True

    def source(self) -> Any:
        """Return what ffmpeg copies: no other file than this one."""
        return ffmpeg.input(f"file:{self.path}", **SAFE)[str(self.index)]

    def stream(self) -> Any:
        """Return what ffmpeg encodes: no other file than this one, its clock as it is (`-copyts`)."""
        audio = ffmpeg.input(f"file:{self.path}", copyts=None, **SAFE)[str(self.index)]
        if self.seconds is None:
            return audio
        if self.mean:
            mix = "+".join(f"{1 / self.channels}*c{channel}" for channel in range(self.channels))
            audio = audio.filter("pan", args=f"mono|c0={mix}")
        audio = audio.filter("aresample", **{"async": 1, "first_pts": round(self.zero * self.rate)})
        audio = audio.filter("asetpts", "PTS-STARTPTS")
        return audio.filter("apad").filter("atrim", end=self.seconds)

    def encoding(self) -> dict[str, Any]:
        """Return ffmpeg's options for AAC of this rate and these channels."""
        channels = 1 if self.mean else self.channels
        options = {"ar": min(self.rate, MAX_RATE)}
        return options if self.seconds is None else options | {"audio_bitrate": BITS_PER_CHANNEL * channels}


def soundtrack_of(path: Path, seconds: float) -> Soundtrack:
    """Return the track of a file that `stream_audio` hears, for a video of so many seconds.

    Channels that the file does not name, or more than 8, are mixed to their mean.

    Raises:
        ClipRejected: no sound, or it cannot be read.
    """
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise ClipRejected("no audio stream")
        context = stream.codec_context
        frame = next(container.decode(stream), None)
        if frame is None:
            raise ClipRejected("no sound in the audio stream")
        zero, index = frame_time(frame), stream.index
        channels, layout, codec = context.channels, frame.layout.name, context.codec.canonical_name
    mean = channels > MAX_CHANNELS or are_unnamed(channels, layout)
    video_zero = video_start(path)
    whole = not mean and (video_zero is None or abs(video_zero - zero) < TOGETHER_S)
    zero = zero if video_zero is None else video_zero
    return Soundtrack(path, index, frame.sample_rate, channels, zero, seconds, mean, codec, whole)
