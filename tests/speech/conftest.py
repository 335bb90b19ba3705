"""Checkpoints of a tiny AV-HuBERT, laid out as the published ones."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from syncdiff.speech.avhubert import AVHubertEncoder
from syncdiff.speech.checkpoint import FAIRSEQ_NAMES, EncoderConfig

TINY = EncoderConfig(layers=3, dim=32, heads=4, ffn_dim=64, conv_pos=16)


@pytest.fixture
def encoder() -> AVHubertEncoder:
    """A tiny encoder with random weights; its layer norms are not at their start values."""
    torch.manual_seed(0)
    encoder = AVHubertEncoder(TINY).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return encoder


@pytest.fixture
def save_official(tmp_path: Path, encoder: AVHubertEncoder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the tiny encoder as a fairseq checkpoint; keywords replace the top-level entries of the file."""
    for module in ("fairseq", "fairseq.data", "fairseq.data.dictionary"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    dictionary = type("Dictionary", (), {"__module__": "fairseq.data.dictionary"})
    sys.modules["fairseq.data.dictionary"].Dictionary = dictionary

    def save(name: str = "official.pt", prefix: str = "", zipped: bool = True, **changes: object) -> Path:
        state = encoder.state_dict() | {
            "mask_emb": torch.zeros(104),
            "final_proj.weight": torch.zeros(8, 32),
            "feature_extractor_video.resnet.trunk.layer1.0.conv1.weight": torch.zeros(4, 4, 3, 3),
        }
        sizes = {key: getattr(TINY, field) for field, key in FAIRSEQ_NAMES.items()}
        entries = {
            "args": None,
            "cfg": {"model": {"_name": "av_hubert", "layer_norm_first": True, **sizes}},
            "model": {prefix + key: value for key, value in state.items()},
            "task_state": {"dictionaries": [dictionary()]},
        }
        torch.save(entries | changes, tmp_path / name, _use_new_zipfile_serialization=zipped)
        return tmp_path / name

    return save
