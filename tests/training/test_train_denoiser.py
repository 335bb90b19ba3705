"""Training the denoiser: what it goes on from, and what it does not."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.errors import UserError
from syncdiff.models.autoencoder import linear_part, load_autoencoder
from syncdiff.models.denoiser import Denoiser
from syncdiff.pipeline.provenance import SUFFIX
from syncdiff.training import denoiser as training
from syncdiff.training.denoiser import train_denoiser
from syncdiff.training.loop import fit
from tests.training.noise import CONFIG, write_autoencoder, write_noise

CPU = torch.device("cpu")


def _trained(folder: Path, out: Path) -> bytes:
    """Train on the shards of a folder and return the weights."""
    shards = [(folder / "latents.tar", folder / "speech.tar")]
    train_denoiser(parse_config(json.loads(CONFIG)), shards, folder / "autoencoder", out, CPU)
    return (out / "denoiser.safetensors").read_bytes()


def test_run_again_it_has_nothing_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    write_autoencoder(tmp_path / "autoencoder")
    first = _trained(tmp_path, tmp_path / "out")
    assert _trained(tmp_path, tmp_path / "out") == first
    assert "resumed at step 12" in caplog.text


def test_muon_trains_the_inner_weights(tmp_path: Path) -> None:
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    write_autoencoder(tmp_path / "autoencoder")
    _trained(tmp_path, tmp_path / "out")
    groups = torch.load(tmp_path / "out/resume.pt", weights_only=True)["optimizer"]["param_groups"]
    by_muon = sum(len(group["params"]) for group in groups if group["muon"])
    denoiser = Denoiser(parse_config(json.loads(CONFIG)))
    assert by_muon == len(denoiser.inner_weights()) > 0
    assert sum(len(group["params"]) for group in groups) == len(list(denoiser.parameters()))


def test_with_other_data_it_starts_afresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A finished training's checkpoint lies there. The second data's own provenance stands beside them."""
    write_autoencoder(tmp_path / "one/autoencoder")
    shutil.copytree(tmp_path / "one/autoencoder", tmp_path / "other/autoencoder")
    for seed, name in enumerate(("one", "other")):
        write_noise(tmp_path / name / "latents.tar", tmp_path / name / "speech.tar", seed)
    record = {"inputs": {}, "outputs": {"elsewhere/latents.tar": "0" * 64}, "config": {}}
    (tmp_path / f"other/latents.tar{SUFFIX}").write_text(json.dumps(record))
    first = _trained(tmp_path / "one", tmp_path / "out")
    second = _trained(tmp_path / "other", tmp_path / "out")
    assert "is of another config or other data; starting afresh" in caplog.text
    assert second != first
    assert second == _trained(tmp_path / "other", tmp_path / "afresh")


@torch.no_grad()
def test_the_identity_warp_begins_as_the_autoencoders_linear_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    autoencoder = load_autoencoder(write_autoencoder(tmp_path / "autoencoder"), CPU)
    begun: list[Denoiser] = []

    def noting(model: torch.nn.Module, *rest: object) -> torch.nn.Module:
        begun.extend([copy.deepcopy(model)] if isinstance(model, Denoiser) else [])
        return fit(model, *rest)  # type: ignore[arg-type, type-var]

    monkeypatch.setattr(training, "fit", noting)
    with torch.enable_grad():
        _trained(tmp_path, tmp_path / "out")
    components, mean = linear_part(autoencoder)
    latents = torch.randn(1, 4, 1, 1)
    expected = components @ latents[0, :, 0, 0] + mean
    assert begun[0].identity_warp is not None
    assert torch.allclose(begun[0].identity_warp.to_pixels(latents)[0, :, 0, 0], expected, atol=1e-5)


def test_an_autoencoder_of_other_latents_is_named(tmp_path: Path) -> None:
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    write_autoencoder(tmp_path / "autoencoder", latent_channels=6)
    with pytest.raises(UserError, match=r"that of .*autoencoder has 6 latent_channels and a patch_size of 8"):
        _trained(tmp_path, tmp_path / "out")
