"""What sound is like, where it is known."""

import numpy as np
import pytest

from syncdiff.curation.sound import FLOOR, loudness, speech_share

pytestmark = pytest.mark.quick


def tone(seconds: float, level: float) -> np.ndarray:
    """A sine of so many dBFS (root mean square), int16 at 16 kHz."""
    times = np.arange(round(16_000 * seconds)) / 16_000
    return (32768 * np.sqrt(2) * 10 ** (level / 20) * np.sin(880 * np.pi * times)).astype(np.int16)


def test_loudness_is_the_level_of_the_sound() -> None:
    assert [loudness(tone(1, level)) for level in (-6, -20, -40)] == pytest.approx([-6, -20, -40], abs=0.05)
    assert loudness(np.zeros(16_000, np.int16)) == loudness(np.zeros(0, np.int16)) == FLOOR


def test_speech_is_what_is_loud_and_short_pauses_in_it() -> None:
    quiet = tone(2, -60)
    assert speech_share(np.concatenate([tone(2, -20), quiet])) == pytest.approx(0.5, abs=0.01)
    pause = np.concatenate([tone(1, -20), tone(0.2, -60), tone(0.8, -20)])
    assert speech_share(pause) == 1.0
    assert speech_share(np.concatenate([tone(1, -20), tone(0.4, -60), tone(0.6, -20)])) == pytest.approx(0.8, abs=0.02)


def test_a_quiet_voice_is_speech_and_hiss_is_not() -> None:
    assert speech_share(np.concatenate([tone(1, -45), tone(1, -75)])) == pytest.approx(0.5, abs=0.02)
    assert speech_share(tone(1, -60)) == 0.0
    assert speech_share(np.zeros(100, np.int16)) == 0.0
