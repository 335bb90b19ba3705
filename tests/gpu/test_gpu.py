"""Each network and each stage that computes, on the device that it is given: nothing is left on another.

`pytest -m gpu` on a machine with a GPU; elsewhere all of it runs on a stand-in (tests/standin.py).
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from syncdiff.config import Config, parse_config
from syncdiff.device import autocast, choose_device, use_bf16
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.schedule import training_schedule
from syncdiff.diffusion.ssim import SSIMLoss
from syncdiff.evaluation.metrics.fidelity import fid_features
from syncdiff.evaluation.metrics.lse import embed_audio, embed_lips
from syncdiff.models.autoencoder import linear_part, load_autoencoder
from syncdiff.models.denoiser import Denoiser, load_denoiser, save_denoiser
from syncdiff.models.inception import FidInception
from syncdiff.models.syncnet import SyncNet, for_inference, load_syncnet
from syncdiff.shards.tar import decode_npy, encode_npy, metadata, read_shard, write_shard
from syncdiff.speech.avhubert import AVHubertEncoder
from syncdiff.speech.checkpoint import EncoderConfig
from syncdiff.speech.hidden_states import hidden_states
from syncdiff.synthesis.generate import Networks, Target, generate, load_networks
from syncdiff.training.autoencoder import AutoencoderLoss, train_autoencoder
from syncdiff.training.denoiser import train_denoiser
from syncdiff.training.latents import latents_shard
from syncdiff.training.loop import Run, Trainer, fit
from syncdiff.training.muon import Muon
from syncdiff.training.syncnet import train_syncnet
from tests.training.noise import CONFIG, write_autoencoder, write_noise, write_sync
from tests.training.test_train_syncnet import samples, small

CPU = torch.device("cpu")
SMALL = parse_config(json.loads(CONFIG))
N_FRAMES = 7


def _places(module: nn.Module) -> set[torch.device]:
    return {tensor.device for tensor in (*module.parameters(), *module.buffers())}


def _batch(place: torch.device, n: int = 4) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    planes = {name: torch.randn(n, 4, 8, 8, generator=random) for name in ("latents", "masked", "identity", "previous")}
    speech = {"speech": torch.randn(n, 13, 104, generator=random), "valid": torch.ones(n, 13, dtype=torch.bool)}
    batch = {**planes, **speech, "pose": torch.rand(n, 8, 8, 3, generator=random)}
    return {name: value.to(place) for name, value in batch.items()}


def test_a_device_is_found_by_each_of_its_names(place: torch.device) -> None:
    assert choose_device(str(place)) == place
    assert choose_device("cpu") == CPU
    if place.type == "cuda":
        assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
        assert torch.ones(2, device=place).sum().item() == 2


def test_the_denoiser_forward_and_backward(place: torch.device, tmp_path: Path) -> None:
    """With the SSIM loss, in the precision that is chosen there, and as on the CPU where that is fp32."""
    linear = linear_part(load_autoencoder(write_autoencoder(tmp_path), CPU))
    loss = DiffusionLoss(SMALL, training_schedule(SMALL.diffusion), SSIMLoss(*linear, SMALL.faces.size))
    torch.manual_seed(0)
    denoiser = Denoiser(SMALL).to(place)
    for precision in ("no", "auto"):
        with autocast(precision, place):
            losses = loss(denoiser, _batch(place))
        losses["loss"].backward()
        assert losses["loss"].device == place
        assert all(weight.grad is not None and weight.grad.device == place for weight in denoiser.inner_weights())
        assert losses["loss"].isfinite()


def test_the_autoencoder_forward_and_backward(place: torch.device, tmp_path: Path) -> None:
    autoencoder = load_autoencoder(write_autoencoder(tmp_path), place).requires_grad_(True)
    frames = np.random.default_rng(0).integers(256, size=(2, 64, 64, 3), dtype=np.uint8)
    losses = AutoencoderLoss(SMALL.autoencoder, np.ones((64, 64), np.float32))(autoencoder, frames)
    losses["loss"].backward()
    assert next(autoencoder.parameters()).grad.isfinite().all()


def test_syncnet_forward_and_backward_and_as_the_scorer(place: torch.device) -> None:
    torch.manual_seed(0)
    net = SyncNet(0.125, 64)
    random = np.random.default_rng(0)
    frames = list(random.integers(256, size=(12, 64, 64, 3), dtype=np.uint8))
    rows = random.normal(size=(60, 13))
    scorer, reference = for_inference(net, place), for_inference(net, CPU)
    assert _places(scorer) == {place}
    lips, sounds = embed_lips(frames, scorer), embed_audio(rows, 8, scorer)
    assert lips.device == sounds.device == CPU
    assert torch.allclose(lips, embed_lips(frames, reference), atol=1e-3)
    assert torch.allclose(sounds, embed_audio(rows, 8, reference), atol=1e-3)
    net.to(place).train()
    lip, sound = net(torch.rand(2, 3, 5, 64, 64, device=place), torch.rand(2, 13, 20, device=place))
    (lip - sound).square().mean().backward()
    assert next(net.parameters()).grad.device == place


def test_av_hubert_and_its_hidden_states(place: torch.device) -> None:
    torch.manual_seed(0)
    encoder = AVHubertEncoder(EncoderConfig(layers=2, dim=32, heads=4, ffn_dim=64, conv_pos=16)).eval()
    rows = [np.random.default_rng(n).normal(size=(n, 104)).astype(np.float32) for n in (9, 5)]
    on_cpu = hidden_states(encoder, rows, 1)
    for found, expected in zip(hidden_states(encoder.to(place), rows, 1), on_cpu, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    encoder.train()(torch.from_numpy(rows[0])[None].to(place)).square().mean().backward()
    assert next(encoder.parameters()).grad.device == place


def test_both_feature_extractors_of_fid(place: torch.device, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(256, size=(2, 40, 40, 3), dtype=np.uint8)
    textures, reference = (fid_features(None, where)[0](pictures) for where in (place, CPU))
    np.testing.assert_allclose(textures, reference, atol=1e-3)
    if place.type != "cuda" or torch.cuda.get_device_name() != "a stand-in":
        torch.save(FidInception().state_dict(), tmp_path / "inception.pth")
        assert np.isfinite(fid_features(str(tmp_path / "inception.pth"), place)[0](pictures)).all()


class Small(nn.Module):
    """A matrix for Muon, and what is left for AdamW."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.last = nn.Linear(3, 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.matrix(x).relu())


def _muon(model: Small, learning_rate: float) -> Muon:
    others = [weight for weight in model.parameters() if weight is not model.matrix.weight]
    return Muon([model.matrix.weight], others, learning_rate, fused=True)


def _loss(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    noisy = batch + 0.1 * torch.randn_like(batch)
    return {"loss": (model(noisy).squeeze(1) - batch.sum(dim=1)).square().mean()}


def test_a_training_goes_on_from_its_checkpoint(place: torch.device, tmp_path: Path) -> None:
    """Weights, both optimisers' moments, the learning rate and the averaged weights, all where they were."""

    def batches(done: int) -> Iterator[Tensor]:
        for step in count(done):
            yield torch.randn(4, 3, generator=torch.Generator().manual_seed(step)).to(place)

    def model() -> Small:
        torch.manual_seed(0)
        return Small()

    settings = SMALL.train.model_copy(update={"steps": 12, "checkpoint_every": 4})
    run = Run(tmp_path / "a", settings, 0, "a", place, "no", ema_decay=0.9, optimizer=_muon)
    whole = fit(model(), _loss, batches, run)
    run = replace(run, folder=tmp_path / "b")
    stopped = Trainer(model(), run)
    for batch, _ in zip(batches(0), range(6), strict=False):
        stopped.step(_loss, batch)
    again = Trainer(model(), run)
    assert again.done == 4
    tensors = [*again.model.parameters(), *(again.ema.shadow_params if again.ema else [])]
    tensors += [value for state in again.optimizer.state.values() for value in state.values()]
    # Muon's own count is only for AdamW's eyes and is on the CPU, or where its loader has put it.
    assert {tensor.device for tensor in tensors if tensor.dim()} == {place}
    resumed = fit(model(), _loss, batches, run)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_denoiser_is_trained_stopped_and_resumed(place: torch.device, tmp_path: Path) -> None:
    """The whole stage: pretraining, Muon, structure loss, the second stage with critic and sync, averaged weights."""
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    write_sync(tmp_path)
    shards = [tuple(tmp_path / f"{name}.tar" for name in ("latents", "speech", "mfcc"))]
    values = json.loads(CONFIG)
    values["train"] |= {"steps": 4, "checkpoint_every": 2}
    values["second_stage"] = {"steps": 2, "batch_size": 2, "adversarial_weight": 0.01, "sync_weight": 0.01}
    values["pretraining"]["steps"] = 2
    config, autoencoder = parse_config(values), write_autoencoder(tmp_path / "autoencoder")
    step, expert = Trainer.step, tmp_path / "expert.safetensors"

    def interrupted(trainer: Trainer, *rest: object) -> None:
        if trainer.done == 3 and trainer.run.label == "train":
            raise KeyboardInterrupt
        step(trainer, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Trainer, "step", interrupted)
        train_denoiser(config, shards, autoencoder, tmp_path / "run", place, expert)
    train_denoiser(config, shards, autoencoder, tmp_path / "run", place, expert)
    assert _places(load_denoiser(config, tmp_path / "run/denoiser.safetensors", CPU)) == {CPU}
    assert (tmp_path / "run/loss.csv").read_text().splitlines()[-1].startswith("4,")


def test_syncnet_and_the_autoencoder_are_trained_and_encode(place: torch.device, tmp_path: Path) -> None:
    shard = tmp_path / "00000.tar"
    posed = (clip | {"pose.npy": encode_npy(np.zeros((60, 8, 8, 3), np.uint8))} for clip in samples(2))
    write_shard(shard, posed)
    train_syncnet(small(2), [shard], tmp_path, place)
    assert load_syncnet(tmp_path / "syncnet.safetensors").crop == "aligned"
    config = parse_config({"autoencoder": {"steps": 2, "batch_size": 2}})
    train_autoencoder(config, [shard], tmp_path / "autoencoder", place)
    latents_shard(config, shard, tmp_path / "autoencoder", tmp_path / "l.tar", tmp_path / "l.parquet", place)
    [first, *_] = read_shard(tmp_path / "l.tar")
    assert metadata(first)["clip"] == "a"
    assert np.isfinite(decode_npy(first["latents.npy"])).all()


@pytest.fixture
def networks(place: torch.device, tmp_path: Path) -> Networks:
    """A denoiser from scratch and its autoencoder, as `load_networks` puts them on the device."""
    config: Config = parse_config(json.loads(CONFIG) | {"sample": {"steps": 2, "pose_steps": 1}})
    torch.manual_seed(0)
    save_denoiser(Denoiser(config), tmp_path / "denoiser.safetensors")
    return load_networks(config, tmp_path / "denoiser.safetensors", write_autoencoder(tmp_path / "autoencoder"), place)


def test_frames_are_sampled(networks: Networks, place: torch.device) -> None:
    assert _places(networks.denoiser) == _places(networks.autoencoder) == {place}
    random = np.random.default_rng(0)
    crops = random.integers(256, size=(N_FRAMES, 64, 64, 3), dtype=np.uint8)
    speech = random.normal(size=(N_FRAMES, 104)).astype(np.float32)
    made = list(generate(networks, [Target(crops, crops[0], speech, noise_seed=seed) for seed in range(2)]))
    assert [frame.shape for frame in made] == [(2, 64, 64, 3)] * N_FRAMES
    assert any((frame != crop).any() for frame, crop in zip(made, crops, strict=True))


def test_bf16_is_what_the_device_says(place: torch.device) -> None:
    if place.type == "cuda":
        assert use_bf16("auto", place) == (torch.cuda.get_device_capability(place) >= (8, 0))
    x = torch.ones(4, 4, device=place)
    with autocast("bf16", place):
        assert (x @ x).sum().item() == 64
