"""How long the dubbed video is, which frame of the source it shows when, and what is heard and said then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np

from syncdiff.config import Speech
from syncdiff.errors import UserError
from syncdiff.media.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncdiff.media.container import FPS
from syncdiff.media.pictures import Form
from syncdiff.speech.extract import LongSpeech

Length = Literal["shortest", "sound", "video"]
BYTES_KEPT = 256_000_000  # of pictures that a video is continued with, there and back
ROWS_IN_BLOCK = 250  # of speech at 25 a second, made at once
DENSITIES = (1, 2, 4)  # rows of speech in 40 ms; 4: every 10 ms, which is what speech features are made of
NEAR = 0.05  # rows: what rounding in a file's clock makes


@dataclass(frozen=True)
class Timeline:
    """The frames of the output.

    order: (N,) the frame of the source that each one shows.
    ticks: (N,) int64, when it is due.
    seconds: how long they are shown together.
    kept: how many of the source's last frames are shown again.
    """

    order: np.ndarray
    ticks: np.ndarray
    seconds: float
    kept: int

    def times(self, form: Form) -> np.ndarray:
        """Return when each frame is due, (N,) float64 seconds."""
        times: np.ndarray = self.ticks * float(form.tick)
        return times


def timeline(form: Form, ticks: np.ndarray, n_samples: int, length: Length) -> Timeline:
    """Lay out the output: all frames that are over, or nearly, when picture or sound ends.

    Args:
        ticks: (N,) of the source's frames.
        n_samples: of the sound, at 16 kHz.
        length: `shortest`; `sound`, where the video is continued there and back; `video`, where silence follows.

    Raises:
        UserError: nothing is left.
    """
    frame_s, tick = float(1 / form.rate), float(form.tick)
    picture_s, sound_s = float(ticks[-1]) * tick + frame_s, n_samples / SAMPLE_RATE
    end = {"shortest": min(picture_s, sound_s), "sound": sound_s, "video": picture_s}[length]
    order, out, kept = np.arange(len(ticks)), ticks, 0
    if end > picture_s + frame_s / 2:
        kept = int(min(len(ticks), max(BYTES_KEPT // form.bytes_a_picture, 1)))
        order = _there_and_back(len(ticks), kept, ceil((end - picture_s) / frame_s * 2) + 2 * kept)
        steps = np.abs(np.diff(ticks[order]))
        usual = max(round(frame_s / tick), 1)
        out = ticks[0] + np.concatenate([[0], np.cumsum(np.where(steps > 0, steps, usual))])
    n_frames = int(np.searchsorted(out * tick + frame_s / 2, end, side="right"))
    if not n_frames:
        raise UserError(f"the sound ends after {sound_s:.3f} s, before a picture is over; give more sound")
    return Timeline(order[:n_frames], out[:n_frames], float(out[n_frames - 1]) * tick + frame_s, kept)


def _there_and_back(n_frames: int, kept: int, more: int) -> np.ndarray:
    """Return the frames of a video, and then its last ones backwards, forwards, and so on: at least `more` of them."""
    if kept == 1:
        return np.concatenate([np.arange(n_frames), np.full(more, n_frames - 1)])
    back = np.arange(kept - 2, -1, -1)
    turn = np.concatenate([back, np.arange(1, kept)]) + n_frames - kept
    return np.concatenate([np.arange(n_frames), np.tile(turn, more // len(turn) + 1)])


class DenseSpeech:
    """The speech features of a sound, `density` rows in 40 ms: row r is that of a frame that is due at r / density.

    Between two rows of a video at 25 frames a second, nothing is interpolated: the sound is shifted. Rows are made in
    blocks, for an encoder that looks far around costs as much for one as for many.
    """

    def __init__(self, phases: Sequence[LongSpeech]) -> None:
        """Take the features of the sound as it is, and of the sound some samples later."""
        self.density = len(phases)
        self._phases = phases
        self._blocks: dict[int, np.ndarray] = {}  # the last two

    def __len__(self) -> int:
        """Rows."""
        return self.density * len(self._phases[0])

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return (n, D) float32."""
        start, stop, _ = rows.indices(len(self))
        n_rows = ROWS_IN_BLOCK * self.density
        first, last = start // n_rows, max(stop - 1, start) // n_rows
        both = np.concatenate([self._block(number) for number in range(first, last + 1)])
        return both[start - first * n_rows : stop - first * n_rows]

    def _block(self, number: int) -> np.ndarray:
        if number not in self._blocks:
            while len(self._blocks) > 1:
                del self._blocks[next(iter(self._blocks))]
            here = slice(number * ROWS_IN_BLOCK, (number + 1) * ROWS_IN_BLOCK)
            made = np.stack([phase[here] for phase in self._phases], axis=1)  # (n, density, D)
            self._blocks[number] = made.reshape(-1, made.shape[-1])
        return self._blocks[number]


def speech_of(
    wav: Path, n_samples: int, times: np.ndarray, speech: Speech, device: str
) -> tuple[DenseSpeech, np.ndarray]:
    """Return the features of a sound, and the row of each frame, (N,): that of the 10 ms that are nearest in time."""
    exact = times * FPS
    density = next((d for d in DENSITIES if np.abs(exact * d - np.rint(exact * d)).max() < NEAR * d), DENSITIES[-1])
    rows = np.rint(exact * density).astype(int)
    n_rows = max(ceil(exact[-1]) + 1, n_samples // SAMPLES_PER_FRAME)
    shift = SAMPLES_PER_FRAME // density
    phases = [
        LongSpeech(wav, 0, n_rows, speech.feature_set, speech, device, shift=phase * shift) for phase in range(density)
    ]
    return DenseSpeech(phases), rows
