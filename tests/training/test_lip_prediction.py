"""Pretraining: a speech encoder learns to predict the lips, and the denoiser begins with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from syncdiff.config import parse_config
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.training import denoiser as training
from syncdiff.training.denoiser import train_denoiser
from syncdiff.training.lip_prediction import LipPredictionLoss, LipPredictor
from syncdiff.training.loop import Run, fit
from tests.training.noise import CONFIG, write_autoencoder, write_noise

CPU = torch.device("cpu")
SHAPE = (4, 8, 8)


def _batch(seed: int) -> dict[str, Tensor]:
    """Lips that open with the loudness of the frame in the middle of the window, on clips that differ in their mean."""
    random = torch.Generator().manual_seed(seed)
    speech = torch.randn(16, 13, 104, generator=random)
    mean = torch.randn(16, *SHAPE, generator=random)
    aperture = speech[:, 6].mean(dim=1) * 104**0.5
    latents = mean + aperture[:, None, None, None]
    return {"speech": speech, "valid": torch.ones(16, 13, dtype=torch.bool), "latents": latents, "mean": mean}


def _stream(done: int) -> Iterator[dict[str, Tensor]]:
    while True:
        yield _batch(done)
        done += 1


def test_it_learns_to_predict_the_lips_of_unseen_speech(tmp_path: Path) -> None:
    config = parse_config({"speech": {"dim": 32, "layers": 1}, "pretraining": {"steps": 150, "warmup_steps": 5}})
    torch.manual_seed(0)
    predictor = LipPredictor(SpeechEncoder(config.speech), SHAPE)
    run = Run(tmp_path, config.pretraining, seed=0, fingerprint="-", device=CPU, mixed_precision="no")
    losses = LipPredictionLoss(64)(fit(predictor, LipPredictionLoss(64), _stream, run), _batch(10_000))
    assert losses["loss"] < 0.5 * losses["loss_still"]


@pytest.mark.quick
def test_a_prediction_of_zeros_has_the_loss_of_a_still_mouth() -> None:
    predictor = LipPredictor(SpeechEncoder(parse_config({}).speech), SHAPE)
    for parameter in predictor.latents.parameters():
        parameter.data.zero_()
    losses = LipPredictionLoss(64)(predictor, _batch(0))
    assert torch.equal(losses["loss"], losses["loss_still"])
    assert losses["loss"] > 0


def test_the_denoiser_begins_with_the_pretrained_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    shards = [(tmp_path / "latents.tar", tmp_path / "speech.tar")]
    autoencoder = write_autoencoder(tmp_path / "autoencoder")
    taught: list[dict[str, Tensor]] = []

    def noting(model: torch.nn.Module, *rest: object) -> torch.nn.Module:
        taught.append({name: value.clone() for name, value in model.speech.state_dict().items()})  # type: ignore[union-attr]
        return fit(model, *rest)  # type: ignore[arg-type, type-var]

    monkeypatch.setattr(training, "fit", noting)
    for steps in (0, 4):
        config = json.loads(CONFIG)
        config["pretraining"]["steps"] = steps
        train_denoiser(parse_config(config), shards, autoencoder, tmp_path / str(steps), CPU)
    assert not (tmp_path / "0/speech").exists()
    assert (tmp_path / "4/speech/loss.csv").read_text().splitlines()[-1].startswith("4,")
    untaught, before, pretrained = taught
    assert all(torch.equal(untaught[name], before[name]) for name in untaught)
    assert any(not torch.equal(untaught[name], pretrained[name]) for name in untaught)
