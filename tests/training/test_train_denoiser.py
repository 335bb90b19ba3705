"""Training the denoiser: what it goes on from, and what it does not."""

import json
from pathlib import Path

import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.provenance import SUFFIX
from syncdiff.training.denoiser import train_denoiser
from tests.training.noise import CONFIG, write_noise

CPU = torch.device("cpu")


def _trained(folder: Path, out: Path) -> bytes:
    """Train on the shards of a folder and return the weights."""
    train_denoiser(parse_config(json.loads(CONFIG)), [(folder / "latents.tar", folder / "speech.tar")], out, CPU)
    return (out / "denoiser.safetensors").read_bytes()


def test_run_again_it_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    first = _trained(tmp_path, tmp_path / "out")
    assert _trained(tmp_path, tmp_path / "out") == first
    assert "resumed at step 12" in capsys.readouterr().out


def test_with_other_data_it_starts_afresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finished training's checkpoint lies there. The second data's own provenance stands beside them."""
    for seed, name in enumerate(("one", "other")):
        write_noise(tmp_path / name / "latents.tar", tmp_path / name / "speech.tar", seed)
    record = {"inputs": {}, "outputs": {"elsewhere/latents.tar": "0" * 64}, "config": {}}
    (tmp_path / f"other/latents.tar{SUFFIX}").write_text(json.dumps(record))
    first = _trained(tmp_path / "one", tmp_path / "out")
    second = _trained(tmp_path / "other", tmp_path / "out")
    assert "is of another config or other data; starting afresh" in capsys.readouterr().out
    assert second != first
    assert second == _trained(tmp_path / "other", tmp_path / "afresh")
