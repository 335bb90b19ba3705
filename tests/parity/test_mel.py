"""Against Rudrabha/Wav2Lip audio.py (load_wav + melspectrogram on librosa 0.7)."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from syncdiff.media.audio import read_audio
from syncdiff.speech.mel import mel_filters, melspectrogram

ATOL = 1e-4


def compare(name: str, found: np.ndarray, expected: np.ndarray, atol: float) -> None:
    print(f"{name:24} max abs error {abs(found - expected).max():.1e} (tolerance {atol:.0e})")
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["speech", "short"])
def test_golden(name: str, shared: Path) -> None:
    folder = shared / "golden/wav2lip_mel"
    expected = np.load(folder / "expected.npz")
    compare(name, melspectrogram(read_audio(folder / f"{name}.wav")), expected[name], ATOL)
    compare("mel_basis", mel_filters(), expected["mel_basis"], 1e-7)


@pytest.mark.quick
def test_against_scipy_stft() -> None:
    """The same formula by another route: scipy's STFT of the reflected signal, the decibels as in hparams.py."""
    audio = np.random.default_rng(0).integers(-8000, 8000, 8_000).astype(np.int16)
    signal = audio / 32768
    signal = np.pad(np.append(signal[0], signal[1:] - 0.97 * signal[:-1]), 400, mode="reflect")
    hann = scipy.signal.windows.hann(800, sym=False)
    _, _, spectrum = scipy.signal.stft(signal, window=hann, nperseg=800, noverlap=600, boundary=None, padded=False)
    mel = mel_filters() @ abs(spectrum * hann.sum())  # scipy divides by the window's sum
    decibels = 20 * np.log10(np.maximum(1e-5, mel)) - 20
    compare("scipy", melspectrogram(audio), np.clip(8 * (decibels + 100) / 100 - 4, -4, 4), ATOL)
