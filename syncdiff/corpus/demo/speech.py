"""Speech of the demo: eSpeak NG's synthesis with the time of each phoneme, and the mouth movements that go with it."""

from __future__ import annotations

import _ctypes
import ctypes
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from math import ceil
from typing import Any

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly

from syncdiff.media.audio import SAMPLE_RATE
from syncdiff.media.container import FPS

# espeak-ng's speak_lib.h: the numbers of its enumerations
OUTPUT_SYNCHRONOUS = 2  # the callback runs inside espeak_Synth
PHONEME_EVENTS_IN_IPA = 0b11
EVENT_PHONEME = 7
UTF8 = 1
RATE, PITCH, RANGE = 1, 3, 4

CHANNELS = ("jaw", "spread", "round", "close", "tuck", "lift", "tip", "out")
LEAD_S, DECAY_S = 0.045, 0.055  # reach of a phoneme before it sounds and after
SHORTEST_S = 0.07  # of a closure: longer than a video frame, so that none falls between two

# Targets in [0, 1] of a phoneme for CHANNELS, after the viseme classes of Fisher 1968 and the vowel chart: the jaw's
# angle, lips spread, rounded, closed, lower lip tucked under the teeth, upper lip lifted; the tongue's tip up and out.
# The last column is its dominance: how much of the mouth it claims against its neighbours.
TARGETS: dict[str, tuple[float, ...]] = {
    "pbm": (0.10, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 4.0),
    "fv": (0.12, 0.1, 0.0, 0.0, 1.0, 0.3, 0.0, 0.0, 4.0),
    "θð": (0.25, 0.2, 0.0, 0.0, 0.0, 0.2, 0.6, 1.0, 1.2),
    "tdnɾlɫ": (0.26, 0.2, 0.0, 0.0, 0.0, 0.1, 1.0, 0.0, 0.8),
    "sz": (0.12, 0.5, 0.0, 0.0, 0.0, 0.3, 0.7, 0.0, 1.6),
    "ʃʒ": (0.16, 0.0, 0.7, 0.0, 0.0, 0.6, 0.5, 0.0, 2.0),
    "kɡxŋʔ": (0.32, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5),
    "h": (0.45, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3),
    "ɹr": (0.26, 0.0, 0.5, 0.0, 0.0, 0.2, 0.4, 0.0, 1.0),
    "w": (0.12, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.5),
    "j": (0.20, 0.7, 0.0, 0.0, 0.0, 0.1, 0.2, 0.0, 0.8),
    "i": (0.24, 1.0, 0.0, 0.0, 0.0, 0.2, 0.2, 0.0, 1.2),
    "ɪ": (0.40, 0.6, 0.0, 0.0, 0.0, 0.1, 0.1, 0.0, 0.9),
    "eɛ": (0.62, 0.6, 0.0, 0.0, 0.0, 0.2, 0.1, 0.0, 1.2),
    "æ": (0.88, 0.5, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 1.6),
    "aɑɐ": (1.00, 0.1, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 1.7),
    "ʌ": (0.72, 0.1, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 1.2),
    "əɚɜ": (0.45, 0.1, 0.2, 0.0, 0.0, 0.1, 0.0, 0.0, 0.8),
    "ɒɔ": (0.80, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 1.4),
    "o": (0.55, 0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 1.4),
    "ʊ": (0.34, 0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0, 1.2),
    "uʉ": (0.22, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.8),
}
REST = (0.0,) * len(CHANNELS) + (1.0,)
VISEMES = {symbol: np.array(targets) for symbols, targets in TARGETS.items() for symbol in symbols}


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Voice:
    """A speaker: eSpeak's voice and variant, and its parameters."""

    name: str = "en-us+f2"
    words_per_minute: int = 160
    pitch: int = 50  # 0 to 100
    pitch_range: int = 50  # 0 to 100: from monotone to lively


@dataclass(frozen=True)
class Utterance:
    """Speech, and when each phoneme begins."""

    audio: np.ndarray  # (n,) int16 at 16 kHz
    phonemes: list[tuple[float, str]]  # (seconds, IPA; an empty string is a pause)


def speak(text: str, voice: Voice) -> Utterance:
    """Synthesise English text; the same text and voice give the same samples.

    The library is loaded anew each time (10 ms): its oscillators and noise keep their state in static variables, so a
    second utterance would depend on the first.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        rate, samples, phonemes = _synthesise(library, text, voice)
    finally:
        _ctypes.dlclose(library._handle)
    resampled = resample_poly(samples.astype(np.float64), SAMPLE_RATE, rate)
    return Utterance(resampled.clip(-32768, 32767).round().astype(np.int16), phonemes)


def _synthesise(library: ctypes.CDLL, text: str, voice: Voice) -> tuple[int, np.ndarray, list[tuple[float, str]]]:
    """Sample rate in Hz, samples (n,) int16, phonemes."""
    chunks: list[np.ndarray] = []
    phonemes: list[tuple[float, str]] = []

    def receive(samples: Any, n: int, events: Any) -> int:
        if samples and n > 0:
            chunks.append(np.ctypeslib.as_array(samples, (n,)).copy())
        for event in takewhile(lambda event: event.type, (events[i] for i in count())):
            if event.type == EVENT_PHONEME:
                phonemes.append((event.audio_position / 1000, event.id.decode("utf-8", "ignore")))
        return 0

    callback = _Callback(receive)  # referenced here for as long as the library may call it
    data, folder = text.encode(), espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(OUTPUT_SYNCHRONOUS, 0, folder, PHONEME_EVENTS_IN_IPA)
    library.espeak_ng_SetRandSeed(ctypes.c_long(0))
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(voice.name.encode())
    for parameter, value in ((RATE, voice.words_per_minute), (PITCH, voice.pitch), (RANGE, voice.pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 0, 0, UTF8, None, None)
    library.espeak_Terminate()
    return rate, np.concatenate(chunks), phonemes


def pad(utterance: Utterance, before_s: float, after_s: float) -> Utterance:
    """Put silence around speech, so that the whole is a whole number of frames."""
    before = round(before_s * SAMPLE_RATE)
    n_frames = ceil((before + len(utterance.audio) + after_s * SAMPLE_RATE) * FPS / SAMPLE_RATE)
    audio = np.zeros(n_frames * SAMPLE_RATE // FPS, np.int16)
    audio[before : before + len(utterance.audio)] = utterance.audio
    return Utterance(audio, [(time + before / SAMPLE_RATE, phoneme) for time, phoneme in utterance.phonemes])


def articulate(utterance: Utterance) -> np.ndarray:
    """Move the mouth: (T, len(CHANNELS)) float64 in [0, 1], one row at the middle of each video frame.

    Each phoneme pulls all channels towards its targets with a dominance that decays exponentially around it, and the
    mouth is at the weighted mean (Cohen & Massaro 1993, "Modeling coarticulation in synthetic visual speech").
    """
    segments = _segments(utterance.phonemes, len(utterance.audio) / SAMPLE_RATE)
    start, end = (np.array([segment[i] for segment in segments]) for i in (0, 1))
    targets = np.array([segment[2] for segment in segments])  # (segments, channels + 1)
    times = (np.arange(round(len(utterance.audio) / SAMPLE_RATE * FPS)) + 0.5)[:, None] / FPS  # (T, 1)
    outside = np.maximum(start - times, 0) / LEAD_S + np.maximum(times - end, 0) / DECAY_S  # (T, segments)
    dominance = targets[:, -1] * np.exp(-outside)
    tracks = dominance @ targets[:, :-1] / dominance.sum(axis=1, keepdims=True)
    # The neighbours never let the mean come to 1, but lips touch, and part at once.
    tracks[:, CHANNELS.index("close")] = (1.5 * tracks[:, CHANNELS.index("close")]).clip(0, 1) ** 2
    return tracks.clip(0, 1)


def _segments(phonemes: Sequence[tuple[float, str]], end_s: float) -> list[tuple[float, float, np.ndarray]]:
    """Split phonemes into single symbols (a diphthong is two) with start, end and targets."""
    segments = [(-1.0, phonemes[0][0], np.array(REST))]
    ends = [time for time, _ in phonemes[1:]] + [end_s]
    for (start, phoneme), end in zip(phonemes, ends, strict=True):
        symbols = [s for s in unicodedata.normalize("NFD", phoneme) if s in VISEMES]
        step = (end - start) / max(len(symbols), 1)
        for index, symbol in enumerate(symbols):
            segments.append(_hold(start + index * step, start + (index + 1) * step, VISEMES[symbol]))
        if not symbols and end - start > SHORTEST_S:
            segments.append((start, end, np.array(REST)))
    return segments


def _hold(start: float, end: float, targets: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Lengthen a closure that is too short to be seen: lips close before the sound stops."""
    short = max(SHORTEST_S - (end - start), 0) if targets[CHANNELS.index("close")] else 0
    return start - short * 0.6, end + short * 0.4, targets
