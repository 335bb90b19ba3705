"""Where a sound is silent the mouth closes, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from syncdiff.dubbing.silence import CLOSE_S, closing, levels, silences
from syncdiff.media.audio import SAMPLE_RATE, write_wav

pytestmark = pytest.mark.quick
FPS = 50


def _sound(folder: Path, *parts: tuple[float, float]) -> Path:
    """Write noise, each part so many seconds long and so loud, in dB of full scale."""
    noise = np.random.default_rng(0).normal(0, 1, round(10 * SAMPLE_RATE))
    pieces, at = [], 0
    for seconds, decibel in parts:
        n = round(seconds * SAMPLE_RATE)
        pieces.append((noise[at : at + n] * 10 ** (decibel / 20) * 2**15).astype(np.int16))
        at += n
    write_wav(folder / "a.wav", pieces)
    return folder / "a.wav"


def test_the_level_is_that_of_full_scale(tmp_path: Path) -> None:
    assert np.median(levels(_sound(tmp_path, (1, -30)))) == pytest.approx(-30, abs=0.5)


def test_it_closes_in_silence_alone_and_smoothly(tmp_path: Path) -> None:
    wav = _sound(tmp_path, (1, -20), (1, -90), (1, -20))
    times = np.arange(3 * FPS) / FPS
    closed = closing(wav, times)
    assert not closed[times <= 1].any()
    assert not closed[times >= 2].any()
    assert (closed[(times > 1 + CLOSE_S) & (times < 2 - CLOSE_S)] == 1).all()
    assert np.abs(np.diff(closed)).max() < 0.35  # no frame jumps


def test_what_is_short_stays_the_models(tmp_path: Path) -> None:
    wav = _sound(tmp_path, (1, -20), (0.2, -90), (1, -20))
    assert not closing(wav, np.arange(2 * FPS) / FPS).any()


def test_silence_at_the_edges_and_after_the_end_is_closed_from_the_first_frame_to_the_last(tmp_path: Path) -> None:
    closed = closing(_sound(tmp_path, (0.5, -90), (1, -20), (0.1, -90)), np.arange(3 * FPS) / FPS)
    assert closed[0] == closed[-1] == 1
    assert not closed[FPS // 2 : 3 * FPS // 2].any()


def test_a_level_between_the_thresholds_changes_nothing() -> None:
    loudness = np.array([-20, -48, -48, -55, -48, -48, -40, -48, -20], np.float32)
    assert list(silences(loudness, -50)) == [(3, 6)]
    assert list(silences(np.array([-48.0, -48.0]), -50)) == []


def test_a_lower_threshold_takes_less_for_silence(tmp_path: Path) -> None:
    wav = _sound(tmp_path, (1, -20), (1, -60), (1, -20))
    times = np.arange(3 * FPS) / FPS
    assert closing(wav, times, -50).any()
    assert not closing(wav, times, -70).any()
