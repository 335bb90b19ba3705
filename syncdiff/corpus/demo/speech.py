"""Synthetic speech with its phonemes' times, from the eSpeak NG library that espeakng-loader carries."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly

from syncdiff.media.audio import SAMPLE_RATE

# Constants and layout of espeak-ng's speak_lib.h.
SYNCHRONOUS, PHONEME_EVENTS, UTF8 = 2, 1, 1
RATE, PITCH, RANGE = 1, 3, 4
END_OF_LIST, PHONEME = 0, 7
SILENCE_S = 0.15  # before and after the speech

COLOURS = ("blue", "green", "red", "white", "brown", "purple")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PEOPLE = ("my mother", "the farmer", "our old neighbour", "the baker", "a young woman", "the judge", "his best friend")
VERBS = ("bought", "forgot", "washed", "moved", "found", "borrowed", "painted", "chose", "carried", "watched")
THINGS = ("five big apples", "the wooden boat", "a warm coat", "some fresh fish", "the yellow van", "two thick books")
PLACES = ("before breakfast", "at the harbour", "in the village shop", "last February", "by the river", "on the roof")
OPENINGS = ("Everybody knows", "I am sure", "We often hear", "You should know", "They wrote to me", "Maybe it is true")


@dataclass(frozen=True)
class Voice:
    """How someone sounds: an eSpeak voice, words a minute, and pitch and its range in eSpeak's 0..100."""

    name: str
    rate: int
    pitch: int
    range: int


@dataclass(frozen=True)
class Phoneme:
    """A phoneme in eSpeak's ASCII notation (`_` and the like are pauses) and when it sounds, in seconds."""

    name: str
    start: float
    end: float


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Synthesiser:
    """The library, opened once a process: it keeps its state in globals."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.sample_rate = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, PHONEME_EVENTS)
        if self.sample_rate <= 0:
            raise RuntimeError(f"eSpeak NG does not find its voices in {data.decode()}")
        self._blocks: list[np.ndarray] = []
        self._marks: list[tuple[float, str]] = []  # seconds, phoneme
        self._callback = _CALLBACK(self._receive)  # must outlive the library's use of it
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: Voice) -> tuple[np.ndarray, list[tuple[float, str]]]:
        """Return (n,) int16 samples at the library's rate, and when each phoneme begins, in seconds."""
        self._blocks, self._marks = [], []
        self._library.espeak_SetVoiceByName(voice.name.encode())
        for parameter, value in ((RATE, voice.rate), (PITCH, voice.pitch), (RANGE, voice.range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        data = text.encode()
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 0, 0, UTF8, None, None)
        return np.concatenate(self._blocks), self._marks

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], n: int, events: ctypes._Pointer[_Event]) -> int:
        if samples and n > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (n,)).copy())
        i = 0
        while events[i].type != END_OF_LIST:
            if events[i].type == PHONEME:
                self._marks.append((events[i].audio_position / 1000, events[i].id.string.decode()))
            i += 1
        return 0


@functools.cache
def _synthesiser() -> _Synthesiser:
    return _Synthesiser()


def speak(text: str, voice: Voice) -> tuple[np.ndarray, list[Phoneme]]:
    """Say a text, with a little silence before and after.

    Returns:
        (n,) int16 mono at 16 kHz, and the phonemes in order, on the same time.
    """
    synthesiser = _synthesiser()
    samples, marks = synthesiser.speak(text, voice)
    resampled = resample_poly(samples.astype(np.float64), SAMPLE_RATE, synthesiser.sample_rate)
    silence = np.zeros(round(SILENCE_S * SAMPLE_RATE))
    audio = np.concatenate([silence, resampled, silence])
    ends = [start for start, _ in marks[1:]] + [len(samples) / synthesiser.sample_rate]
    phonemes = [
        Phoneme(name, start + SILENCE_S, end + SILENCE_S)
        for (start, name), end in zip(marks, ends, strict=True)
        if end > start
    ]
    return np.clip(np.rint(audio), -32768, 32767).astype(np.int16), phonemes


def draw_voice(random: np.random.Generator) -> Voice:
    """Draw someone's voice."""
    sex = random.choice(["m", "f"])
    variant = random.integers(1, 8 if sex == "m" else 6)  # eSpeak has m1 to m8 and f1 to f5
    accent = random.choice(["en-gb", "en-us", "en-gb-scotland"])
    rate, pitch, spread = random.integers((135, 30, 35), (175, 70, 75))
    return Voice(f"{accent}+{sex}{variant}", int(rate), int(pitch), int(spread))


def draw_sentence(random: np.random.Generator) -> str:
    """Draw a sentence, either a command of GRID's grammar (Cooke et al. 2006) with an ending, or a statement."""

    def pick(words: tuple[str, ...] | str) -> str:
        return str(words[random.integers(len(words))])

    if random.random() < 0.4:
        verb, preposition = pick(("bin", "lay", "place", "set")), pick(("at", "by", "in", "with"))
        command = f"{verb} {pick(COLOURS)} {preposition} {pick(LETTERS).upper()} {pick(NUMBERS)}"
        return f"{command} {pick(('again', 'now', 'please', 'soon'))} {pick(PLACES)}"
    return f"{pick(OPENINGS)} {pick(PEOPLE)} {pick(VERBS)} {pick(THINGS)} {pick(PLACES)}"


def draw_speech(
    random: np.random.Generator, voice: Voice, seconds: float, spoken: set[str]
) -> tuple[str, np.ndarray, list[Phoneme]]:
    """Draw sentences that are not in `spoken` until they last about `seconds`, and say them.

    Returns:
        What is said, and what `speak` returns for it. `spoken` gains the sentences.
    """
    sentences: list[str] = []
    while True:
        sentence = draw_sentence(random)
        if sentence in spoken:
            continue
        spoken.add(sentence)
        sentences.append(sentence)
        audio, phonemes = speak(". ".join(sentences), voice)
        if len(audio) >= 0.8 * seconds * SAMPLE_RATE:
            return " ".join(sentences), audio, phonemes
