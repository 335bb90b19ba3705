"""Wav2Lip's mel windows."""

import numpy as np
import pytest

from syncdiff.speech import mel
from syncdiff.speech.mel import mel_filters, mel_windows, melspectrogram

pytestmark = pytest.mark.quick


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(n_samples).integers(-8000, 8000, n_samples).astype(np.int16)


def test_range_and_columns() -> None:
    spectrogram = melspectrogram(noise(16_000))
    assert spectrogram.shape == (80, 81)
    assert spectrogram.dtype == np.float32
    assert spectrogram.min() >= -4
    assert spectrogram.max() <= 4
    assert (melspectrogram(np.zeros(16_000, np.int16)) == -4).all()


def test_windows_start_at_int_80_f_over_25_and_stay_inside() -> None:
    audio = noise(16_000)
    spectrogram, windows = melspectrogram(audio), mel_windows(audio, 25).reshape(25, 80, 16)
    for frame, window in enumerate(windows):
        start = min(int(80.0 * frame / 25), 81 - 16)
        np.testing.assert_array_equal(window, spectrogram[:, start : start + 16])


def test_sound_shorter_than_a_window() -> None:
    windows = mel_windows(noise(640), 3)
    assert windows.shape == (3, 1280)
    assert np.isfinite(windows).all()


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = melspectrogram(noise(16_000))
    monkeypatch.setattr(mel, "BLOCK", 10)
    np.testing.assert_allclose(melspectrogram(noise(16_000)), whole, atol=1e-6)


def test_filters_have_slaney_area() -> None:
    areas = mel_filters().sum(axis=1) * 16_000 / 800  # Hz per bin
    assert areas[30:] == pytest.approx(1, abs=0.1)  # the lowest ones are narrower than two bins
