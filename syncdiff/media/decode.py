"""Decoding: the frames of one stream in the order in which they are due, and when the first of a file is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from syncdiff.errors import ClipRejected
from syncdiff.media.clock import Clock
from syncdiff.media.container import frame_time, open_media, video_stream

MAX_DAMAGE_S = Fraction(1, 2)  # that may be left out at the end of a file that was cut short
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
RUN_UP_S = 10  # before a place that is sought: what a picture depends on lies within
NO_PICTURE = "cannot be decoded: no picture in the video stream"


def decoded(packets: Iterable[Packet]) -> Iterator[Any]:
    """Decode the packets of one stream; the damaged end of a file that was cut short is left out.

    Raises:
        av.FFmpegError: a packet does not decode, and others after it do, none at all, or too much is damaged.
    """
    damage: av.FFmpegError | None = None
    lost = Fraction(0)  # seconds
    empty = True
    for packet in packets:
        try:
            frames = packet.decode()
        except av.InvalidDataError as error:
            damage, lost = damage or error, lost + (packet.duration or 0) * packet.time_base
            continue
        if damage and (lost > MAX_DAMAGE_S or (frames and packet.size)):
            raise damage
        empty = empty and not frames
        yield from frames
    if damage and (empty or lost > MAX_DAMAGE_S):
        raise damage


def decoded_video(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode the frames of a container as it was opened, in the order in which they are due, on one clock."""
    packets = Clock().continued(container.demux(stream))
    return _in_slots(packets) if has_slots(container) else decoded(packets)


def first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame:
    """Decode up to the first frame: its time is the clip's time zero."""
    for frame in decoded_video(container, stream):
        return frame
    raise ClipRejected(NO_PICTURE)


def seek_before(container: InputContainer, stream: VideoStream, seconds: Fraction) -> VideoFrame | None:
    """Seek to a key frame well before a time, in seconds after the file's first frame, and return that first one.

    Near the beginning, and in containers without an index of key frames and their times, nothing is done: None.
    """
    target = seconds - RUN_UP_S
    if target < RUN_UP_S or container.format.name not in INDEXED:
        return None
    first = first_frame(container, stream)
    for since in (target, Fraction(0)):  # a damaged index may lead too far: then from the beginning
        place = round((frame_time(first) + since) / Fraction(first.time_base or 1))
        container.seek(place, stream=stream)
        reached = frame_time(first_frame(container, stream)) - frame_time(first)
        container.seek(place, stream=stream)
        if reached <= since:
            return first
    raise ClipRejected("cannot be decoded: its index is damaged; write the file anew (ffmpeg -i IN -c copy OUT)")


def has_slots(container: InputContainer) -> bool:
    """Return whether a container has no times: in AVI, the n-th frame that is shown has the place of the n-th stored.

    The presentation times that libav makes up for it are those of the order of decoding.
    """
    return container.format.name == "avi"


def _in_slots(packets: Iterable[Packet]) -> Iterator[VideoFrame]:
    slots: deque[int | None] = deque()

    def noted() -> Iterator[Packet]:
        for packet in packets:
            if packet.size:
                slots.append(packet.dts)
            yield packet

    for frame in decoded(noted()):
        frame.pts = slots.popleft() if slots else None
        yield frame


def has_video(path: Path | str) -> bool:
    """Return whether a file has a video stream; raise ClipRejected where it cannot be opened."""
    with open_media(path) as container:
        try:
            return bool(video_stream(container))
        except ClipRejected:
            return False


def video_start(path: Path | str) -> Fraction | None:
    """Return when a file's first frame is due on its own clock, in seconds; None: it has no video stream."""
    with open_media(path) as container:
        try:
            stream = video_stream(container)
        except ClipRejected:
            return None
        return frame_time(first_frame(container, stream))


def video_shifts(path: Path | str) -> list[Fraction]:
    """Return the `Clock.shifts` of a file's frames."""
    clock = Clock()
    with open_media(path) as container:
        for packet in container.demux(video_stream(container)):
            clock.set(packet)
    return clock.shifts
