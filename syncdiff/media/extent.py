"""How long a file is, as it will be read: its frames, its rate, and what is unusual about its clock and its audio."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.index import IndexEntry
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from syncdiff.errors import ClipRejected
from syncdiff.media.clock import OUT_OF_STEP, Clock, complete, reject_late_audio, shown_for
from syncdiff.media.container import (
    FPS,
    MAX_DURATION_S,
    MAX_GAP_S,
    audio_stream,
    audio_tracks,
    frame_rate,
    frame_time,
)
from syncdiff.media.decode import NO_PICTURE, first_frame, has_slots

HEADER_S = 0.002  # an mp4's edit list counts in milliseconds
NOTABLE_S = Fraction(1, 2)  # of audio that is not there
UNEVEN = 0.02  # share of the frames that may come a quarter too early or too late in a constant rate
INDEX_BYTES = 32  # of a packet in an index that lies after all packets, at most
THE_END = 1 << 60  # a time to seek to, in ticks

VARIABLE = f"variable frame rate: shown at {FPS} fps by time"
RESTARTED = "joined recordings, the clock starts anew: continued"
CUT = "cut short: the pictures that are there are used"
UNREAD = "more follows that is not read, as in files joined byte by byte: join them with a concat filter"
EMPTY_SOUND = "a sound track without sound"
LATE_SOUND = f"the sound begins more than {float(NOTABLE_S):g} s late: padded with silence"
SHORT_SOUND = f"the sound ends more than {float(NOTABLE_S):g} s early: padded with silence"
EARLY_SOUND = f"the sound begins more than {float(NOTABLE_S):g} s before the picture: what comes before is left out"
LONG_SOUND = f"the sound goes on for more than {float(NOTABLE_S):g} s after the picture: what comes after is left out"
CHOICE_OF_SOUND = "the first flagged default is heard, else the first"


@dataclass(frozen=True)
class Extent:
    """How many frames a file has, for how many seconds they are shown, their rate, and what is unusual."""

    n_frames: int
    duration: Fraction
    fps: Fraction
    notes: tuple[str, ...] = ()


def extent(container: InputContainer, stream: VideoStream) -> tuple[VideoFrame, Extent]:
    """Return a file's first frame and how long the file is, as `read_frames` will find it.

    The index of a whole mp4 or mov is trusted: it lists every frame with its time and its place in the file. Other
    headers hold lengths that are rounded, guessed, or were never filled in, so that the file is read, packet by packet.

    Args:
        container: as it was opened.

    Raises:
        ClipRejected: no frame, times that cannot be true, or audio and frame cannot be put on one clock.
    """
    audio = audio_stream(container)
    seen = _by_index(container, stream, audio) or _by_packets(container, stream, audio)
    found, notes = seen.extent, []
    if container.size - seen.end > container.size / 10 + INDEX_BYTES * (seen.n_packets + 128):
        notes.append(UNREAD)
    if audio:
        notes += _audio_notes(seen.heard, frame_time(seen.first), found.duration)
    if (n_sounds := len(audio_tracks(container))) > 1:
        notes.append(f"{n_sounds} sound tracks: {CHOICE_OF_SOUND}")
    return seen.first, replace(found, notes=(*found.notes, *notes))


@dataclass(frozen=True)
class _Seen:
    """What has been found out about a file.

    heard: when its audio begins and ends, in seconds; nothing where there is none.
    n_packets, end: of frames and audio together; the byte after the last.
    """

    first: VideoFrame
    extent: Extent
    heard: tuple[Fraction, ...]
    n_packets: int
    end: int


def _by_index(container: InputContainer, stream: VideoStream, audio: AudioStream | None) -> _Seen | None:
    """Look at the index of an mp4 or mov, if it is one that has every frame, and the file has not been cut short."""
    entries = stream.index_entries[:] if container.format.name.startswith("mov") else []
    if not 0 < len(entries) == stream.frames or entries[-1].is_discard or _ends(entries[-1]) > container.size:
        return None
    first = first_frame(container, stream)
    times = [entry.timestamp for entry in entries if not entry.is_discard]
    found = _steady(times, stream) or _to_the_end(times, container, stream, frame_time(first))
    indexes = [track.index_entries for track in (stream, audio) if track and len(track.index_entries)]
    end = max(_ends(index[-1]) for index in indexes)
    return _Seen(first, found, _promised(audio) if audio else (), sum(map(len, indexes)), end)


def _by_packets(container: InputContainer, stream: VideoStream, audio: AudioStream | None) -> _Seen:
    """Read all packets."""
    cut = len(stream.index_entries) > 0 and _ends(stream.index_entries[-1]) > container.size
    first, video, sound = _walk(container, stream, audio)
    joined = len(video.clock.shifts) > 1
    if joined and sound.times and len(sound.clock.shifts) != len(video.clock.shifts):
        raise ClipRejected(OUT_OF_STEP)
    found = _measured(video.times, video.last, stream, frame_time(first))
    found = replace(found, notes=(*found.notes, *([RESTARTED] if joined else []), *([CUT] if cut else [])))
    return _Seen(first, found, sound.heard(), len(video.times) + len(sound.times), max(video.end, sound.end))


def _ends(entry: IndexEntry) -> int:
    return entry.pos + entry.size


@dataclass
class _Track:
    """The packets of one stream, in ticks of its time base."""

    time_base: Fraction
    in_slots: bool = False
    usual: int = 0  # duration of a packet that does not say its own
    times: array[int] = field(default_factory=lambda: array("q"))
    last: tuple[int, int] = (-THE_END, 0)  # the packet that is due last, and its duration
    clock: Clock = field(default_factory=Clock)
    end: int = 0  # of its last packet in the file, in bytes
    _after: int = 0  # when a packet is due that has no time

    def add(self, packet: Packet) -> None:
        self.clock.set(packet)
        if packet.size and not packet.is_discard:
            time = packet.dts if self.in_slots else packet.pts
            due = self._after if time is None else time
            self._after = due + (packet.duration or self.usual)
            self.times.append(due)
            self.end = max(self.end, (packet.pos or 0) + packet.size)
            self.last = max(self.last, (due, packet.duration or 0))

    def heard(self) -> tuple[Fraction, ...]:
        return (min(self.times) * self.time_base, sum(self.last) * self.time_base) if self.times else ()


def _walk(
    container: InputContainer, stream: VideoStream, audio: AudioStream | None
) -> tuple[VideoFrame, _Track, _Track]:
    """Read the packets of frames and audio, and decode those of the first frame."""
    video, sound = _Track(Fraction(stream.time_base or 1)), _Track(Fraction((audio or stream).time_base or 1))
    video.usual, video.in_slots = round(1 / (frame_rate(stream) * video.time_base)), has_slots(container)
    first: VideoFrame | None = None
    for packet in complete(container.demux([stream, audio] if audio else [stream])):
        if packet.stream_index == stream.index:
            video.add(packet)
            if first is None:
                first = next(iter(packet.decode()), None)
        else:
            sound.add(packet)
    if first is None:
        raise ClipRejected(NO_PICTURE)
    if video.in_slots:
        first.pts = video.times[0]
    return first, video, sound


def _steady(times: list[int], stream: VideoStream) -> Extent | None:
    """Return the extent of frames that all come after the same time, if the header says nothing else."""
    gap = times[1] - times[0] if len(times) > 1 else 0
    tick, length = float(stream.time_base or 1), len(times) * gap
    if gap < 1 or gap * tick > MAX_GAP_S or times != list(range(times[0], times[0] + length, gap)):
        return None
    if abs((stream.duration or 0) - length) * tick > HEADER_S or length * tick > MAX_DURATION_S:
        return None
    return Extent(len(times), length * Fraction(stream.time_base or 1), frame_rate(stream))


def _to_the_end(times: list[int], container: InputContainer, stream: VideoStream, zero: Fraction) -> Extent:
    """Measure frames by their decoding times, and by the packets after the last key frame."""
    container.seek(THE_END, stream=stream)
    rest = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
    last = max(((packet.pts or 0, packet.duration or 0) for packet in rest), default=(0, 0))
    shift = round(zero / (stream.time_base or 1)) - times[0] if times else 0
    return _measured([time + shift for time in times], last, stream, zero)


def _measured(times: Sequence[int], last: tuple[int, int], stream: VideoStream, zero: Fraction) -> Extent:
    """Measure frames that are due at `times`, in any order, of which the `last` has a duration, all in ticks."""
    time_base = Fraction(stream.time_base or 1)
    start = round(zero / time_base)
    due = np.sort(np.array([time for time in times if time >= start] or [start], np.int64))
    gaps = np.diff(due)
    if max(int(gaps.max(initial=0)), last[1]) * time_base > MAX_GAP_S:
        raise ClipRejected(f"broken timestamps: a gap of more than {MAX_GAP_S} s")
    nominal, span = frame_rate(stream), max(last[0] - start, 0) * time_base
    duration = span + shown_for(last[1] * time_base, span, len(due), nominal)
    if duration > MAX_DURATION_S:
        raise ClipRejected(f"broken timestamps: a duration of {float(duration):.4g} s")
    rate = len(due) / duration if duration else nominal
    if len(gaps) and _uneven(gaps, time_base):
        return Extent(len(due), duration, rate, (VARIABLE,))
    return Extent(len(due), duration, nominal if abs(rate / nominal - 1) < 2 * UNEVEN else rate)


def _uneven(gaps: np.ndarray, time_base: Fraction) -> bool:
    usual = np.median(gaps)
    n_odd = np.count_nonzero(abs(gaps - usual) > usual / 4)
    return bool(n_odd > max(1, UNEVEN * len(gaps)) or (gaps.max() - usual) * float(time_base) > NOTABLE_S / 2)


def _promised(audio: AudioStream) -> tuple[Fraction, ...]:
    """Return when the audio of a whole mp4 begins and ends, by its header; nothing where it is empty."""
    begin, time_base = audio.start_time or 0, Fraction(audio.time_base or 1)
    return (begin * time_base, (begin + (audio.duration or 0)) * time_base) if len(audio.index_entries) else ()


def _audio_notes(heard: tuple[Fraction, ...], zero: Fraction, duration: Fraction) -> Iterator[str]:
    if not heard:
        yield EMPTY_SOUND
        return
    begin, end = heard
    reject_late_audio(begin - zero)
    late, missing = begin - zero, zero + duration - end  # seconds
    odd = {
        LATE_SOUND: late > NOTABLE_S,
        EARLY_SOUND: -late > NOTABLE_S,
        SHORT_SOUND: missing > NOTABLE_S,
        LONG_SOUND: -missing > NOTABLE_S,
    }
    yield from (note for note, there in odd.items() if there)
