"""Train the autoencoder on the corpus's aligned crops, and fix the scale of its latents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from syncdiff.artifacts import atomic, write_text
from syncdiff.config import Config
from syncdiff.media.video import decode_crops
from syncdiff.models.autoencoder import build_autoencoder, encode, to_pixels
from syncdiff.priors import mouth_mask
from syncdiff.shards.tar import read_shard
from syncdiff.training.loop import Run, fit

FRAMES_IN_MEMORY = 40_000  # crops kept for training: 0.5 GB at 64 pixels
FRAMES_PER_CLIP = 150


def train_autoencoder(config: Config, shards: Sequence[Path], out: Path, device: torch.device) -> None:
    """Train on crops of `shards` and write `out` in diffusers' layout: config.json and safetensors.

    The frames are 8-bit crops (S, S, 3); the written scaling factor gives latents of unit variance on them.
    """
    frames = training_frames(shards, config.seed)
    autoencoder = build_autoencoder(config.autoencoder)
    run = Run(
        folder=out,
        settings=config.autoencoder,
        seed=config.seed,
        fingerprint=json.dumps([config.autoencoder.model_dump(), config.faces.size, len(frames)]),
        device=device,
        label="autoencoder",
    )
    loss = AutoencoderLoss(config, torch.from_numpy(mouth_mask(config.faces.size)))
    trained = fit(autoencoder, loss, lambda done: _batches(frames, config, done), run)
    _set_scale(trained, frames)
    _save(trained, out)


def training_frames(shards: Sequence[Path], seed: int) -> np.ndarray:
    """Return crops (N, S, S, 3) uint8, evenly spaced in each clip, from shards in a seeded order until N is enough."""
    frames: list[np.ndarray] = []
    held = 0
    for shard in np.random.default_rng(seed).permutation(np.asarray(shards, dtype=object)):
        for sample in read_shard(shard):
            crops = decode_crops(sample["crop.mp4"])
            kept = crops[:: max(1, len(crops) // FRAMES_PER_CLIP)]
            frames.append(kept)
            held += len(kept)
        if held >= FRAMES_IN_MEMORY:
            break
    return np.concatenate(frames)[:FRAMES_IN_MEMORY]


class AutoencoderLoss:
    """L1, heavier under the mouth mask, plus the KL term of Kingma & Welling 2014."""

    def __init__(self, config: Config, mask: Tensor) -> None:
        self.weight = (1 + config.autoencoder.mouth_weight * mask)[None, None]  # (1, 1, S, S)
        self.kl_weight = config.autoencoder.kl_weight

    def __call__(self, autoencoder: AutoencoderKL, frames: np.ndarray) -> dict[str, Tensor]:
        """Return {"loss", "l1", "kl"} for uint8 frames (B, S, S, 3)."""
        device = next(autoencoder.parameters()).device
        pixels = to_pixels(frames, device)
        posterior = autoencoder.encode(pixels).latent_dist
        reconstruction = autoencoder.decode(posterior.sample()).sample
        weight = self.weight.to(device)
        l1 = ((reconstruction - pixels).abs() * weight).mean() / weight.mean()
        kl = posterior.kl().mean()
        return {"loss": l1 + self.kl_weight * kl, "l1": l1, "kl": kl}


def _batches(frames: np.ndarray, config: Config, done: int) -> Iterator[np.ndarray]:
    """Yield seeded batches; half of them mirrored."""
    step = done
    while True:
        rng = np.random.default_rng([config.seed, step])
        batch = frames[rng.integers(len(frames), size=config.autoencoder.batch_size)]
        yield batch[:, :, ::-1] if rng.random() < 0.5 else batch
        step += 1


def _set_scale(autoencoder: AutoencoderKL, frames: np.ndarray) -> None:
    few = frames[:: max(1, len(frames) // 512)]
    autoencoder.register_to_config(scaling_factor=float(1 / encode(autoencoder, few).std()))


def _save(autoencoder: AutoencoderKL, out: Path) -> None:
    weights = {name: value.cpu().contiguous() for name, value in autoencoder.state_dict().items()}
    with atomic(out / "diffusion_pytorch_model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    write_text(out / "config.json", autoencoder.to_json_string())
