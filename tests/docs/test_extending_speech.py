"""docs/extending.md, A speech encoder: what is shown goes through the stage and the trained encoder above it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.errors import UserError
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.registry.speech_encoders import SPEECH_ENCODERS, Encoder, feature_pattern
from syncdiff.shards.tar import decode_npy, read_shard, to_json, write_shard
from syncdiff.speech.shard import speech_shard
from tests.docs.blocks import install
from tests.members import wav_bytes


def test_the_speech_encoder_shown_goes_through_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"speech\.encoder: not known"):
        parse_config({"speech": {"encoder": "energy"}})
    install("A speech encoder", "syncdiff.speech.energy", SPEECH_ENCODERS, Encoder, monkeypatch)
    config = parse_config({"speech": {"encoder": "energy", "dim": 16}})
    assert "energy" in feature_pattern(on_gpu=False).split("|")
    audio = np.repeat(np.array([16384, 0], np.int16), 10 * 640)
    write_shard(
        tmp_path / "f.tar",
        [{"__key__": "a", "json": to_json({"clip": "a", "n_frames": 20}), "audio.wav": wav_bytes(audio)}],
    )
    speech_shard(config, [config.speech.feature_set], tmp_path / "f.tar", tmp_path / "s.tar", tmp_path / "s.parquet")
    [sample] = read_shard(tmp_path / "s.tar")
    rows = decode_npy(sample["energy.npy"])
    np.testing.assert_allclose(rows[:, 0], [0.5] * 10 + [0] * 10)
    window = torch.from_numpy(rows[None, : config.speech.window_frames].copy())
    valid = torch.ones(window.shape[:2], dtype=torch.bool)
    assert SpeechEncoder(config.speech)(window, valid).shape == (1, config.speech.window_frames, 16)
