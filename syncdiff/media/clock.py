"""One clock a file: it goes on where a stream's own starts anew; and how many frames its length is at 25 fps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from av.packet import Packet

from syncdiff.errors import ClipRejected
from syncdiff.media.container import FPS, MAX_GAP_S

JITTER_S = Fraction(1, 100)  # what has fallen back by more, and by half a frame, has started anew
DISORDER_S = 1  # between two key frames, libav's guesses at decoding times fall back by less
MAX_DENOMINATOR = 10**6  # of a time in seconds that a file gives
OUT_OF_STEP = "broken timestamps: the clocks of picture and sound do not start anew together; join with a concat filter"


def n_shown(seconds: Fraction | float) -> int:
    """Return how many frames at 25 fps show a video that lasts so long: at least 1.

    This decides every length: what `read_frames` yields, the plan counts, and the rows that speech features have.
    """
    return max(1, round(Fraction(seconds).limit_denominator(MAX_DENOMINATOR) * FPS))


def shown_for(duration: Fraction, span: Fraction, n_frames: int, rate: Fraction) -> Fraction:
    """Return for how many seconds the last frame is shown.

    Args:
        duration: what the file says; live recordings say a millisecond, or nothing.
        span: seconds from the first frame to the last of `n_frames`.
        rate: the stream's, for a file of one frame.
    """
    if n_frames == 1:
        return duration or 1 / rate
    usual = span / (n_frames - 1)
    return duration if 2 * duration >= usual else usual


@dataclass
class Clock:
    """The clock of one stream; where the file's starts anew, as in joined recordings, it goes on.

    leader: gives the `shifts` of another stream, which this one follows, so that both stay in step.
    shifts: seconds that are added to the times of each run of the file's clock, as far as it has been seen.
    """

    leader: Callable[[], Sequence[Fraction]] | None = None
    shifts: list[Fraction] = field(default_factory=lambda: [Fraction(0)])
    _last: int | None = None  # decoding time of the last packet on the file's clock; this and those below in ticks
    _end: int = 0  # of what has been seen, on this clock
    _shift: int = 0

    def continued(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Pass on the `complete` packets of one stream, set."""
        for packet in complete(packets):
            self.set(packet)
            yield packet

    def set(self, packet: Packet) -> None:
        """Put the stream's next packet on this clock.

        Raises:
            ClipRejected: the leader's clock does not start anew as often.
        """
        dts, pts = packet.dts, packet.pts
        if dts is not None:
            if self._last is not None and dts < self._last and self._restarts(packet, self._last - dts):
                self._begin_run(packet.time_base, dts if pts is None else pts)
            self._last = dts
            if self._shift:
                packet.dts = dts + self._shift
        if pts is not None:
            if self._shift:
                packet.pts = pts = pts + self._shift
            self._end = max(self._end, pts + (packet.duration or 0))

    def _restarts(self, packet: Packet, ticks: int) -> bool:
        if not packet.is_keyframe:
            return ticks * packet.time_base > DISORDER_S
        return 2 * ticks >= (packet.duration or 0) and ticks * packet.time_base > JITTER_S

    def _begin_run(self, time_base: Fraction, start: int) -> None:
        own = [*self.shifts, (self._end - start) * time_base]
        shifts = own if self.leader is None else self.leader()
        if len(shifts) == 1:  # only this stream falls back: both are on the file's clock as it is
            return
        if len(shifts) <= len(self.shifts):
            raise ClipRejected(OUT_OF_STEP)
        self.shifts.append(shifts[len(self.shifts)])
        self._shift = round(self.shifts[-1] / time_base)


def complete(packets: Iterable[Packet]) -> Iterator[Packet]:
    """Pass packets on, but for a last frame that the file ends in: whether it decodes is a matter of luck."""
    held: dict[int, Packet] = {}  # by stream
    for packet in packets:
        before = held.pop(packet.stream_index, None) if held else None
        if before is not None and packet.size:  # the packet at the very end is empty
            yield before
        if packet.is_corrupt and packet.stream.type == "video":
            held[packet.stream_index] = packet
        else:
            yield packet


def reject_late_audio(late: Fraction) -> None:
    """Raise ClipRejected where the audio begins so many seconds after the first frame that it cannot be true."""
    if late > MAX_GAP_S:
        raise ClipRejected(f"broken timestamps: the sound begins {float(late):.4g} s after the picture")
