"""Wav2Lip's mel spectrogram and its 16-column windows, one per video frame, for the mel ablation.

Rudrabha/Wav2Lip (hparams.py, audio.py) calls librosa 0.7, whose STFT pads by reflection and whose filter bank is
Slaney's. Later librosa versions pad with zeros, so both are written out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import get_window, lfilter

from syncdiff.media.audio import SAMPLE_RATE
from syncdiff.media.container import FPS

FFT = 800  # samples, also the window
HOP = 200  # samples: 80 columns a second
MELS = 80
FREQUENCY_RANGE = (55.0, 7600.0)  # Hz
PREEMPHASIS = 0.97
MIN_LEVEL_DB = -100.0
REFERENCE_DB = 20.0
MAX_VALUE = 4.0

COLUMNS = 16  # of the window around a video frame
MEL_DIM = MELS * COLUMNS  # 1280
BLOCK = 4096  # columns transformed at once: bounds the memory that long audio needs


class MelWindows:
    """Wav2Lip's mel windows as a `FrozenEncoder`."""

    dim = MEL_DIM
    context_frames = 6  # 16 columns and half a transform

    def encode(self, clips: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """See `FrozenEncoder.encode`: (n_frames, 1280) each."""
        return [mel_windows(audio, n_frames) for audio, n_frames in clips]


def melspectrogram(audio: np.ndarray) -> np.ndarray:
    """Return Wav2Lip's normalised mel spectrogram, (80, 1 + n // 200) float32 in [-4, 4].

    Args:
        audio: (n,) int16 mono at 16 kHz, n > 400 (the reflection needs half a window).
    """
    signal = lfilter([1.0, -PREEMPHASIS], [1.0], audio / 32768.0)
    signal = np.pad(signal, FFT // 2, mode="reflect")
    frames = sliding_window_view(signal, FFT)[::HOP]  # (T, 800)
    hann = get_window("hann", FFT)  # periodic
    blocks = (frames[i : i + BLOCK] * hann for i in range(0, len(frames), BLOCK))
    mel = np.concatenate([np.abs(np.fft.rfft(block)) @ mel_filters().T for block in blocks]).T  # (80, T)
    level_db = 20 * np.log10(np.maximum(10 ** (MIN_LEVEL_DB / 20), mel)) - REFERENCE_DB
    scaled = 2 * MAX_VALUE * (level_db - MIN_LEVEL_DB) / -MIN_LEVEL_DB - MAX_VALUE
    return np.clip(scaled, -MAX_VALUE, MAX_VALUE).astype(np.float32)


def mel_windows(audio: np.ndarray, n_frames: int) -> np.ndarray:
    """Return what Wav2Lip hears at each video frame f: the 16 mel columns (0.2 s) from column int(80 f / 25).

    Windows that would pass the end are the last 16 columns, as in Wav2Lip's inference.py. Audio shorter than such a
    window is padded with silence.

    Returns:
        (n_frames, 1280) float32: 80 x 16 flattened, values in [-4, 4].
    """
    mel = melspectrogram(np.pad(audio, (0, max(0, COLUMNS * HOP - len(audio)))))
    windows = sliding_window_view(mel, COLUMNS, axis=1)  # (80, T - 15, 16)
    columns_per_second = SAMPLE_RATE // HOP
    starts = np.minimum(np.arange(n_frames) * columns_per_second // FPS, windows.shape[1] - 1)
    return windows[:, starts].transpose(1, 0, 2).reshape(n_frames, MEL_DIM)


@cache
def mel_filters() -> np.ndarray:
    """Return Slaney's triangular filters with unit area per Hz, (80, 401) float32.

    The scale of Slaney's Auditory Toolbox (1998): linear below 1 kHz, logarithmic above.
    """
    lowest, highest = _hz_to_mel(np.array(FREQUENCY_RANGE))
    edges = _mel_to_hz(np.linspace(lowest, highest, MELS + 2))  # (82,)
    bins = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)  # (401,)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * 2 / (upper - lower)).astype(np.float32)


HZ_PER_MEL = 200 / 3  # of the linear part
BREAK_HZ, BREAK_MEL = 1000.0, 15.0
LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    return np.where(hz < BREAK_HZ, hz / HZ_PER_MEL, BREAK_MEL + np.log(np.maximum(hz, BREAK_HZ) / BREAK_HZ) / LOG_STEP)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < BREAK_MEL, mel * HZ_PER_MEL, BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL)))
