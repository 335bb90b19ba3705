"""Where a sound is silent, and how far the mouth is closed there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

from syncdiff.media.audio import SAMPLE_RATE

BLOCK = 65_536  # samples read at a time
HOP = SAMPLE_RATE // 100  # samples whose level is measured at a time
THRESHOLD_DB = -50.0  # below full scale: speech falls under it between sentences, a quiet room is below it
HYSTERESIS_DB = 6.0  # a silence ends that much above where it begins
SHORTEST_S = 0.3  # what is shorter lies between words, where the model knows better
CLOSE_S = 0.12  # how long a mouth takes to close, and to open before the sound begins


def closing(wav: Path, times: np.ndarray, threshold_db: float = THRESHOLD_DB) -> np.ndarray:
    """Return how far the mouth is closed at each time: (N,) seconds to (N,) float32, 0 as generated, 1 closed.

    It changes smoothly, inside the silence: where there is sound, nothing does. After the end of the sound is silence.

    Args:
        wav: as `write_wav` writes it.
        times: rising.
        threshold_db: a sound is silent while it is below that, in dB of full scale.
    """
    loudness = levels(wav)
    closed = np.zeros(len(times), np.float32)
    for begin, end in silences(loudness, threshold_db):
        end_s = np.inf if end == len(loudness) else end / 100
        begin_s = -np.inf if begin == 0 else begin / 100
        if end_s - begin_s >= SHORTEST_S:
            depth = np.minimum(times - begin_s, end_s - times) / CLOSE_S  # 0 at the edges, 1 where it is closed
            closed = np.maximum(closed, _smooth(depth.clip(0, 1)).astype(np.float32))
    return closed


def levels(wav: Path) -> np.ndarray:
    """Return the level of each 10 ms of a sound in dB of full scale: (n,) float32; digital silence is -inf."""
    return np.concatenate([np.empty(0, np.float32), *_levels(wav)])


def _levels(wav: Path) -> Iterator[np.ndarray]:
    rest = np.empty(0, np.int16)
    for block in soundfile.blocks(wav, blocksize=BLOCK, dtype="int16"):
        samples = np.concatenate([rest, block])
        n_hops = len(samples) // HOP
        hops, rest = samples[: n_hops * HOP].reshape(-1, HOP), samples[n_hops * HOP :]
        power = np.square(hops / np.float32(2**15), dtype=np.float32).mean(axis=1)
        with np.errstate(divide="ignore"):
            yield 10 * np.log10(power)


def silences(loudness: np.ndarray, threshold_db: float) -> Iterator[tuple[int, int]]:
    """Yield where each silence begins and ends, in hops: below the threshold, until it is well above."""
    state = np.where(loudness < threshold_db, 1, np.where(loudness > threshold_db + HYSTERESIS_DB, 0, -1))
    known = np.flatnonzero(state >= 0)  # between the two, what was before holds on
    last = np.searchsorted(known, np.arange(len(state)), side="right") - 1
    silent = np.where(last >= 0, state[known[last.clip(0)]] if len(known) else 0, 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], silent, [0]])))
    yield from (pair for pair in list(pairwise(edges.tolist()))[::2])


def _smooth(depth: np.ndarray) -> np.ndarray:
    return depth * depth * (3 - 2 * depth)
