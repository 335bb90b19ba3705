"""How long the output is, which frame it shows when, and which row of speech is whose."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from syncdiff.config import Speech
from syncdiff.dubbing import timeline as module
from syncdiff.dubbing.timeline import speech_of, timeline
from syncdiff.errors import UserError
from syncdiff.media.audio import write_wav
from syncdiff.media.pictures import Form
from syncdiff.media.rgb import BT709
from syncdiff.speech.extract import features

pytestmark = pytest.mark.quick
FORM = Form(64, 64, "yuv420p", BT709, Fraction(1), None, Fraction(1, 30), Fraction(30), 30, np.eye(2, 3))
SECOND = 16_000


@pytest.mark.parametrize(
    ("length", "sound_s", "n_frames"),
    [("shortest", 0.5, 15), ("shortest", 2, 30), ("sound", 0.5, 15), ("sound", 2, 60), ("video", 0.5, 30)],
)
def test_the_length_is_the_one_asked_for(length: module.Length, sound_s: float, n_frames: int) -> None:
    made = timeline(FORM, np.arange(30), round(sound_s * SECOND), length)
    assert len(made.order) == len(made.ticks) == n_frames
    assert made.seconds == pytest.approx(n_frames / 30)


def test_the_video_goes_on_there_and_back_without_a_jump() -> None:
    made = timeline(FORM, np.arange(30), 4 * SECOND, "sound")
    assert np.abs(np.diff(made.order)).max() == 1
    assert made.order[29:32].tolist() == [29, 28, 27]
    assert (np.diff(made.ticks) == 1).all()
    assert made.kept == 30


def test_only_so_many_pictures_are_kept_to_go_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_KEPT", 4 * FORM.bytes_a_picture)
    made = timeline(FORM, np.arange(30), 2 * SECOND, "sound")
    assert made.order[29:36].tolist() == [29, 28, 27, 26, 27, 28, 29]
    monkeypatch.setattr(module, "BYTES_KEPT", 1)
    assert set(timeline(FORM, np.arange(30), 2 * SECOND, "sound").order[30:].tolist()) == {29}


def test_frames_at_any_times_keep_their_distances() -> None:
    form = replace(FORM, tick=Fraction(1, 1000))
    made = timeline(form, np.array([0, 30, 100, 110]), SECOND, "sound")
    assert made.ticks[:8].tolist() == [0, 30, 100, 110, 120, 190, 220, 250]


def test_a_sound_that_is_shorter_than_a_picture_is_refused() -> None:
    with pytest.raises(UserError, match=r"ends after 0\.010 s, before a picture is over"):
        timeline(FORM, np.arange(30), 160, "shortest")


def test_the_rows_of_speech_are_those_of_each_frames_own_time(tmp_path: Path) -> None:
    """At 25 frames a second they are the rows of training; at 50, every other one is of the sound 20 ms later."""
    audio = np.random.default_rng(0).normal(0, 3000, 2 * SECOND).astype(np.int16)
    write_wav(tmp_path / "a.wav", [audio])
    whole = features(audio, 50, "fbank", Speech())
    speech, rows = speech_of(tmp_path / "a.wav", len(audio), np.arange(50) / 25, Speech(), "cpu")
    assert (speech.density, rows.tolist()) == (1, list(range(50)))
    np.testing.assert_allclose(speech[3:9], whole[3:9], atol=1e-5)
    speech, rows = speech_of(tmp_path / "a.wav", len(audio), np.arange(100) / 50, Speech(), "cpu")
    assert (speech.density, rows.tolist()) == (2, list(range(100)))
    np.testing.assert_allclose(speech[10:21][::2], whole[5:11], atol=1e-5)
    later = features(audio[320:], 49, "fbank", Speech())
    np.testing.assert_allclose(speech[11:20][::2], later[5:10], atol=1e-5)
    speech, rows = speech_of(tmp_path / "a.wav", len(audio), np.arange(60) / 30, Speech(), "cpu")
    assert speech.density == 4
    assert np.abs(rows / 100 - np.arange(60) / 30).max() <= 0.0051  # seconds
    assert len(speech[len(speech) - 10 : len(speech) + 20]) == 10


def test_after_the_end_of_the_sound_is_silence(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", [np.full(SECOND, 1000, np.int16)])
    speech, _ = speech_of(tmp_path / "a.wav", SECOND, np.arange(75) / 25, Speech(), "cpu")
    assert len(speech) == 75
    assert not speech[50:75].any()
