"""MFCC, and the windows of audio and frames that SyncNet embeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import python_speech_features

from syncdiff.media.audio import SAMPLE_RATE
from syncdiff.speech.filterbank import stack

WINDOW_FRAMES = 5  # video frames that one lip embedding sees: 0.2 s
WINDOW_MFCC = 20  # MFCC frames that one audio embedding sees: 0.2 s
MFCC_PER_FRAME = 4  # a frame of video in MFCC frames
COEFFICIENTS = 13


class Mfcc:
    """MFCC as a `FrozenEncoder`: what the sync loss shows to its SyncNet."""

    dim = MFCC_PER_FRAME * COEFFICIENTS
    context_frames = 1

    def encode(self, clips: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """See `FrozenEncoder.encode`: (n_frames, 52) each."""
        return [stack(mfcc(audio), n_frames).astype(np.float32) for audio, n_frames in clips]


def mfcc(audio: np.ndarray) -> np.ndarray:
    """Return python_speech_features' MFCC with its defaults: (n,) int16 at 16 kHz to (M, 13) float64 at 100 Hz."""
    return python_speech_features.mfcc(audio, SAMPLE_RATE)


def audio_windows(features: np.ndarray) -> np.ndarray:
    """Return the 20 MFCC frames from 4 v on for each video window v: (M, 13) to a view (V, 13, 20)."""
    return np.lib.stride_tricks.sliding_window_view(features, WINDOW_MFCC, axis=0)[::MFCC_PER_FRAME]
