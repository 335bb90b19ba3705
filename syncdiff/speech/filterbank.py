"""AV-HuBERT's input: log mel filterbank energies, four 10 ms frames stacked into one row per video frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from python_speech_features import base, sigproc

from syncdiff.media.audio import SAMPLE_RATE

FILTERS = 26
STACK = 4  # 100 Hz -> 25 Hz
STACKED_DIM = STACK * FILTERS  # 104

WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
FFT = 512
PREEMPHASIS = 0.97
BLOCK = 8192  # frames transformed at once: bounds the memory that long audio needs
LAYER_NORM_EPS = 1e-5  # torch.nn.functional.layer_norm's default


class Filterbank:
    """The filterbank rows as a `FrozenEncoder`: what AV-HuBERT, and the small encoder in its place, are trained on."""

    dim = STACKED_DIM
    context_frames = 1

    def encode(self, clips: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """See `FrozenEncoder.encode`: (n_frames, 104) each."""
        return [stacked_filterbank(audio, n_frames) for audio, n_frames in clips]


def logfbank(audio: np.ndarray) -> np.ndarray:
    """Return the log filterbank energies of raw 16-bit audio, as python_speech_features' `logfbank` does by default.

    Args:
        audio: (n,) int16 mono at 16 kHz, n >= 1; not scaled to ±1.

    Returns:
        (F, 26) float32 at 100 Hz, F = 1 + ceil((n - 400) / 160), at least 1.
    """
    n_frames = 1 + max(0, -(-(len(audio) - WINDOW) // HOP))
    filters = base.get_filterbanks(FILTERS, FFT, SAMPLE_RATE)  # (26, 257)
    blocks = (_frames(audio, first, min(first + BLOCK, n_frames)) for first in range(0, n_frames, BLOCK))
    energy = np.concatenate([sigproc.powspec(frames, FFT) @ filters.T for frames in blocks])
    return np.log(np.where(energy == 0, np.finfo(float).eps, energy)).astype(np.float32)


def _frames(audio: np.ndarray, first: int, stop: int) -> np.ndarray:
    """Return frames `first` to `stop` of the pre-emphasised audio, zeros after its end: (stop - first, 400) float64."""
    begin, end = first * HOP, (stop - 1) * HOP + WINDOW
    before = min(begin, 1)  # pre-emphasis looks one sample back
    signal = sigproc.preemphasis(audio[begin - before : end], PREEMPHASIS)[before:]
    signal = np.pad(signal, (0, end - begin - len(signal)))
    return sliding_window_view(signal, WINDOW)[::HOP]  # rectangular window


def stack(frames: np.ndarray, n_frames: int | None = None) -> np.ndarray:
    """Zero-pad (F, D) to a multiple of 4 frames, stack by 4, then cut or zero-pad to `n_frames` rows: (n_frames, 4 D).

    `n_frames` is the number of video frames at 25 fps; None keeps all ceil(F / 4) rows.
    Source: facebookresearch/av_hubert, avhubert/hubert_dataset.py (load_feature).
    """
    frames = np.pad(frames, ((0, -len(frames) % STACK), (0, 0)))
    rows = frames.reshape(-1, STACK * frames.shape[1])
    if n_frames is None:
        return rows
    return np.pad(rows[:n_frames], ((0, max(0, n_frames - len(rows))), (0, 0)))


def stacked_filterbank(audio: np.ndarray, n_frames: int | None = None) -> np.ndarray:
    """Return AV-HuBERT's audio input: stacked filterbank rows, each normalised over its 104 values (no affine part).

    Args:
        audio: (n,) int16 mono at 16 kHz, n >= 1.
        n_frames: video frames at 25 fps; None: as many rows as the audio fills.

    Returns:
        (n_frames, 104) float32; rows after the end of the audio are zero. The last row of the audio is partly zero
        padding, and the only one that depends on the scale of `audio`.
    """
    rows = stack(logfbank(audio), n_frames).astype(np.float64)
    centred = rows - rows.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    return (centred / np.sqrt(variance + LAYER_NORM_EPS)).astype(np.float32)
