"""What the sound of a clip is like: how loud it is, and for how long somebody speaks."""

from __future__ import annotations

import numpy as np

from syncdiff.media.audio import SAMPLES_PER_FRAME

FLOOR = -96.0  # dBFS, of 16 bits: silence
SPEECH_RANGE = 25.0  # dB below the loudest frames: vowels and most consonants lie in it
QUIETEST_SPEECH = -50.0  # dBFS: below, a clip is hum and hiss
HANGOVER = 5  # frames (0.2 s, as ITU-T P.56): shorter pauses belong to the speech around them


def loudness(audio: np.ndarray) -> float:
    """Return the level of (n,) int16, root mean square, in dB below full scale; silence has -96."""
    return float(_dbfs(audio[None])[0]) if len(audio) else FLOOR


def speech_share(audio: np.ndarray) -> float:
    """Return the share of frames (40 ms) of (n,) int16 in which somebody speaks, by energy alone.

    A frame is speech where it is at most 25 dB below the clip's loudest frames (95th percentile) and above -50 dBFS,
    and so is a pause of up to 0.2 s between two. Music and noise as loud as that are taken for speech.
    """
    n_frames = len(audio) // SAMPLES_PER_FRAME
    if not n_frames:
        return 0.0
    levels = _dbfs(audio[: n_frames * SAMPLES_PER_FRAME].reshape(n_frames, -1))  # (T,)
    loud = levels >= max(np.percentile(levels, 95) - SPEECH_RANGE, QUIETEST_SPEECH)
    spoken = np.flatnonzero(loud)
    pauses = np.diff(spoken) - 1
    return float((loud.sum() + pauses[pauses <= HANGOVER].sum()) / n_frames)


def _dbfs(rows: np.ndarray) -> np.ndarray:
    """Level of each row of (N, n) int16: (N,)."""
    power = np.square(rows / 32768.0).mean(axis=1)
    return np.maximum(10 * np.log10(np.maximum(power, 1e-12)), FLOOR)
