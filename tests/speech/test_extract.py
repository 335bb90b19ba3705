"""Features of files, clips and shards."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from syncdiff.config import Config, Speech, parse_config
from syncdiff.errors import UserError
from syncdiff.media.video import write_video
from syncdiff.shards.tar import clip_key, decode_npy, read_shard, to_json, write_shard
from syncdiff.speech.avhubert import AVHubertEncoder
from syncdiff.speech.extract import LongSpeech, extract_features, features
from syncdiff.speech.filterbank import stacked_filterbank
from syncdiff.speech.hidden_states import hidden_states
from syncdiff.speech.mfcc import audio_windows, mfcc
from syncdiff.speech.shard import speech_shard
from tests.members import wav_bytes


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8000, 8000, n_samples).astype(np.int16)


def write_wav(path: Path, audio: np.ndarray, rate: int = 16_000) -> Path:
    soundfile.write(path, audio, rate, subtype="PCM_16")
    return path


@pytest.mark.quick
@pytest.mark.parametrize(
    ("speech", "name"),
    [(Speech(), "fbank"), (Speech(encoder="mel"), "mel"), (Speech(frozen_layers=9, checkpoint="x.pt"), "avhubert9")],
)
def test_feature_set(speech: Speech, name: str) -> None:
    assert speech.feature_set == name


@pytest.mark.quick
@pytest.mark.parametrize(("name", "width"), [("fbank", 104), ("mel", 1280), ("mfcc", 52), ("avhubert2", 32)])
@pytest.mark.parametrize("n_frames", [20, 25, 30])
def test_one_row_per_video_frame(name: str, width: int, n_frames: int, save_official: Callable[..., Path]) -> None:
    rows = features(noise(16_000), n_frames, name, Speech(checkpoint=str(save_official())))
    assert rows.shape == (n_frames, width)
    assert rows.dtype == np.float32


@pytest.mark.quick
@pytest.mark.parametrize("name", ["fbank", "mel", "mfcc"])
@pytest.mark.parametrize("n_samples", [700 * 640, 653 * 640 + 17])
def test_rows_of_a_long_sound_are_those_of_the_whole(name: str, n_samples: int, tmp_path: Path) -> None:
    sound, first = noise(n_samples), 33
    n_frames = n_samples // 640 - first
    long = LongSpeech(write_wav(tmp_path / "a.wav", sound), first, n_frames, name, Speech())
    whole = features(sound, first + n_frames, name, Speech())[first:]
    assert len(long) == len(whole)
    for rows in (slice(0, 70), slice(61, 134), slice(300, 301), slice(n_frames - 64, n_frames), slice(590, 9999)):
        np.testing.assert_allclose(long[rows], whole[rows], atol=2e-5)


@pytest.mark.quick
def test_an_encoder_hears_a_sound_that_is_short_as_a_whole(tmp_path: Path, save_official: Callable[..., Path]) -> None:
    speech, sound = Speech(checkpoint=str(save_official())), noise(120 * 640)
    long = LongSpeech(write_wav(tmp_path / "a.wav", sound), 0, 120, "avhubert2", speech)
    whole = features(sound, 120, "avhubert2", speech)
    np.testing.assert_allclose(np.concatenate([long[:64], long[64:]]), whole, atol=1e-5)


@pytest.mark.quick
def test_five_rows_of_mfcc_are_what_a_syncnet_hears() -> None:
    audio = noise(16_000)
    rows = features(audio, 25, "mfcc", Speech())
    heard = audio_windows(mfcc(audio))  # (V, 13, 20)
    for first in (0, 7, len(heard) - 1):
        np.testing.assert_allclose(rows[first : first + 5].reshape(20, 13).T, heard[first], rtol=1e-6)


@pytest.mark.quick
def test_hidden_states_need_a_checkpoint_with_that_layer(save_official: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"speech\.checkpoint"):
        features(noise(16_000), 25, "avhubert9", Speech())
    with pytest.raises(UserError, match="has only 3 layers"):
        features(noise(16_000), 25, "avhubert9", Speech(checkpoint=str(save_official())))


@pytest.mark.quick
def test_file_without_a_checkpoint(tmp_path: Path) -> None:
    audio = noise(16_000)
    rows = extract_features(write_wav(tmp_path / "a.wav", audio))
    np.testing.assert_array_equal(rows, stacked_filterbank(audio))
    assert rows.dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]  # nothing is written


@pytest.mark.quick
@pytest.mark.parametrize("layer", ["1", 3, "last", None])
def test_file_with_a_checkpoint(
    layer: int | str | None, tmp_path: Path, encoder: AVHubertEncoder, save_official: Callable[..., Path]
) -> None:
    audio = noise(16_000)
    rows = extract_features(write_wav(tmp_path / "a.wav", audio), save_official(), layer, frames=30)
    number = int(layer) if layer in ("1", 3) else None
    np.testing.assert_allclose(rows, hidden_states(encoder, [stacked_filterbank(audio, 30)], number)[0], atol=1e-6)


@pytest.mark.quick
def test_short_sound_and_other_formats(tmp_path: Path) -> None:
    assert extract_features(write_wav(tmp_path / "short.wav", noise(1_600))).shape == (3, 104)
    stereo = np.stack([noise(8_000), noise(8_000, seed=1)], axis=1)
    assert extract_features(write_wav(tmp_path / "s.wav", stereo, 8_000)).shape == (25, 104)


def test_video_gives_a_row_per_picture(tmp_path: Path) -> None:
    pictures = [np.full((32, 32, 3), 10 * i, np.uint8) for i in range(20)]
    write_video(tmp_path / "v.mp4", pictures, [noise(16_000)])
    assert extract_features(tmp_path / "v.mp4").shape == (20, 104)
    write_video(tmp_path / "mute.mp4", pictures)
    with pytest.raises(UserError, match=r"mute\.mp4: no audio stream"):
        extract_features(tmp_path / "mute.mp4")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "9"}, "needs --checkpoint"),
        ({"frames": 0}, "--frames 0"),
        ({"layer": "4", "checkpoint": True}, "1 to 3"),
        ({"layer": 0, "checkpoint": True}, "1 to 3"),
        ({"layer": 0}, "needs --checkpoint"),
        ({"layer": "first", "checkpoint": True}, "say none, last"),
    ],
)
def test_wrong_arguments(arguments: dict, message: str, tmp_path: Path, save_official: Callable[..., Path]) -> None:
    if "checkpoint" in arguments:
        arguments = arguments | {"checkpoint": save_official()}
    with pytest.raises(UserError, match=message):
        extract_features(write_wav(tmp_path / "a.wav", noise(16_000)), **arguments)


@pytest.mark.quick
@pytest.mark.parametrize("content", [b"", b"not a sound file"])
def test_no_sound_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.wav: cannot be decoded"):
        extract_features(tmp_path / "a.wav")
    with pytest.raises(UserError, match=r"b\.wav: no such file"):
        extract_features(tmp_path / "b.wav")


@pytest.fixture
def faces_tar(tmp_path: Path) -> Path:
    """Three clips: 2 s, digital silence, 1 s."""
    sounds = {"s/a": noise(32_000), "s/mute": np.zeros(32_000, np.int16), "s/b": noise(16_000, seed=1)}
    samples = [
        {
            "__key__": clip_key(clip),
            "json": to_json({"clip": clip, "n_frames": len(audio) // 640}),
            "audio.wav": wav_bytes(audio),
        }
        for clip, audio in sounds.items()
    ]
    write_shard(tmp_path / "faces.tar", samples)
    return tmp_path / "faces.tar"


def settings(checkpoint: Path) -> Config:
    return parse_config({"speech": {"checkpoint": str(checkpoint), "frozen_layers": 2}, "device": "cpu"})


def test_a_clip_of_silence_is_a_row_and_the_others_have_every_feature_set(
    faces_tar: Path,
    tmp_path: Path,
    save_official: Callable[..., Path],
    encoder: AVHubertEncoder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    config = settings(save_official())
    speech_shard(config, ["fbank", "mel", "avhubert2"], faces_tar, tmp_path / "s.tar", tmp_path / "s.parquet")
    samples = {json.loads(sample["json"])["clip"]: sample for sample in read_shard(tmp_path / "s.tar")}
    assert list(samples) == ["s/a", "s/b"]
    for clip, n_frames in [("s/a", 50), ("s/b", 25)]:
        fbank, mel, hidden = (decode_npy(samples[clip][f"{name}.npy"]) for name in ("fbank", "mel", "avhubert2"))
        assert (fbank.shape, mel.shape, hidden.shape) == ((n_frames, 104), (n_frames, 1280), (n_frames, 32))
        np.testing.assert_allclose(hidden, hidden_states(encoder, [fbank], 2)[0], atol=1e-5)
    ledger = pd.read_parquet(tmp_path / "s.parquet")
    assert ledger["status"].tolist() == ["ok", "rejected", "ok"]
    assert ledger["reason"][1] == "digital silence: the audio track has no sound"
    assert "speech: 3 in, 2 ok, 1 rejected, 0 failed" in caplog.text


def test_shard_is_the_same_bytes_again(faces_tar: Path, tmp_path: Path, save_official: Callable[..., Path]) -> None:
    config = settings(save_official())
    for name in ("one", "two"):
        speech_shard(config, ["fbank", "avhubert2"], faces_tar, tmp_path / f"{name}.tar", tmp_path / f"{name}.parquet")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
