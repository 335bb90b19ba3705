"""The stacked filterbank: frame counts, padding, normalisation."""

import numpy as np
import pytest
import torch
from python_speech_features import logfbank as reference_logfbank

from syncdiff.speech import filterbank
from syncdiff.speech.filterbank import logfbank, stack, stacked_filterbank

pytestmark = pytest.mark.quick


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(n_samples).integers(-8000, 8000, n_samples).astype(np.int16)


@pytest.mark.parametrize("n_samples", [1, 399, 400, 401, 560, 561, 16_000, 47_648])
def test_logfbank_is_that_of_python_speech_features(n_samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterbank, "BLOCK", 7)
    audio = noise(n_samples)
    np.testing.assert_allclose(logfbank(audio), reference_logfbank(audio, 16_000).astype(np.float32), atol=1e-6)


@pytest.mark.parametrize(("n_samples", "n_rows"), [(16_000, 25), (1_600, 3), (640, 1), (641, 1), (16_000 * 3, 75)])
def test_rows_of_the_whole_sound(n_samples: int, n_rows: int) -> None:
    assert stacked_filterbank(noise(n_samples)).shape == (n_rows, 104)


@pytest.mark.parametrize("n_frames", [1, 24, 25, 26, 40])
def test_rows_follow_the_video(n_frames: int) -> None:
    rows, whole = stacked_filterbank(noise(16_000), n_frames), stacked_filterbank(noise(16_000))
    assert rows.shape == (n_frames, 104)
    np.testing.assert_array_equal(rows[:25], whole[:n_frames])
    assert not rows[25:].any()


def test_the_last_row_is_partly_zero_padding() -> None:
    raw = stack(logfbank(noise(16_000)))  # 99 frames in 25 rows of 4
    assert raw[-1, :78].all()
    assert not raw[-1, 78:].any()


def test_scale_changes_only_the_partly_padded_row() -> None:
    rows, louder = stacked_filterbank(noise(16_000)), stacked_filterbank(noise(16_000) * 2)
    np.testing.assert_allclose(rows[:-1], louder[:-1], atol=1e-5)
    assert abs(rows[-1] - louder[-1]).max() > 0.01


def test_normalisation_is_torch_layer_norm() -> None:
    raw = torch.from_numpy(stack(logfbank(noise(20_000)), 40))
    expected = torch.nn.functional.layer_norm(raw, (104,)).numpy()
    np.testing.assert_allclose(stacked_filterbank(noise(20_000), 40), expected, atol=1e-5)


def test_silence_is_finite() -> None:
    assert np.isfinite(stacked_filterbank(np.zeros(16_000, np.int16))).all()
