"""Mouth aperture, its correlation, and the landmark distance."""

import numpy as np
import pytest

from syncdiff.evaluation.metrics.mouth import lmd, mouth_aperture, mouth_corr

pytestmark = pytest.mark.quick


def faces(openings: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Eyes 40 apart, inner lips `openings` eye distances apart: (T, 68, 2)."""
    landmarks = np.zeros((len(openings), 68, 2), np.float32)
    landmarks[:, 36:42, 0], landmarks[:, 42:48, 0] = 30, 70
    landmarks[:, 66, 1] = 40 * openings
    return landmarks * scale


def test_opening_is_measured_in_eye_distances() -> None:
    openings = np.array([0.0, 0.1, 0.3])
    np.testing.assert_allclose(mouth_aperture(faces(openings)), openings, atol=1e-6)
    np.testing.assert_allclose(mouth_aperture(faces(openings, scale=2.5)), openings, atol=1e-6)


def test_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=100)
    generated = real + rng.normal(size=100)
    assert mouth_corr(generated, real) == pytest.approx(np.corrcoef(generated, real)[0, 1])
    assert mouth_corr(3 * real + 1, real) == pytest.approx(1)
    assert mouth_corr(-real, real) == pytest.approx(-1)


def test_frozen_or_unseen_mouths_have_no_correlation() -> None:
    real = np.random.default_rng(0).normal(size=50)
    assert mouth_corr(np.full(50, 0.123), real) == 0.0
    assert mouth_corr(real, np.zeros(50)) == 0.0
    assert mouth_corr(np.full(50, np.nan), real) == 0.0
    assert mouth_corr(np.zeros(0), np.zeros(0)) == 0.0


def test_frames_without_a_face_are_left_out() -> None:
    real = np.random.default_rng(0).normal(size=50)
    generated = real.copy()
    generated[10:20] = np.nan
    assert mouth_corr(generated, real) == pytest.approx(1)


def test_lmd_sees_the_lips_only() -> None:
    real = np.zeros((4, 68, 2), np.float32)
    moved = real.copy()
    moved[:, :48] += 100
    assert lmd(moved, real) == 0
    moved[:, 48:] += [3, 4]
    assert lmd(moved, real) == pytest.approx(5)
