"""Train the autoencoder on the corpus's aligned crops, and fix the scale of its latents."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from syncdiff.artifacts import write_text
from syncdiff.config import Autoencoder, Config
from syncdiff.media.video import decode_crops
from syncdiff.models.autoencoder import (
    WEIGHTS,
    build_autoencoder,
    encode,
    posterior,
    reconstruct,
    start_linear,
    to_pixels,
)
from syncdiff.priors import mouth_mask
from syncdiff.shards.tar import read_shard
from syncdiff.tensorfiles import write_safetensors
from syncdiff.training.checkpoints import fingerprint
from syncdiff.training.loop import Run, fit
from syncdiff.variation import mirrored, random_gains, tinted

FRAMES_IN_MEMORY = 40_000  # crops kept for training: 0.5 GB at 64 pixels
FRAMES_PER_CLIP = 150
L2_WEIGHT = 5.0  # of squared errors in [-1, 1]: equal to L1 at an error of 25 grey levels
FRAMES_FOR_COMPONENTS = 2_000


def train_autoencoder(config: Config, shards: Sequence[Path], out: Path, device: torch.device) -> None:
    """Train on crops of `shards` and write `out` in diffusers' layout: config.json and safetensors.

    The frames are 8-bit crops (S, S, 3); the written scaling factor gives latents of unit variance on them.
    """
    frames = training_frames(shards, config.seed)
    torch.manual_seed(config.seed)
    autoencoder = build_autoencoder(config.autoencoder)
    start_linear(autoencoder, *principal_components(frames, config.autoencoder))
    run = Run(
        folder=out,
        settings=config.autoencoder,
        seed=config.seed,
        fingerprint=fingerprint("autoencoder", config, shards),
        device=device,
        mixed_precision=config.mixed_precision,
        label="autoencoder",
    )
    loss = AutoencoderLoss(config.autoencoder, mouth_mask(config.faces.size))
    trained = fit(autoencoder, loss, lambda done: batches(frames, run.settings.batch_size, config.seed, done), run)
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


def principal_components(frames: np.ndarray, settings: Autoencoder) -> tuple[Tensor, Tensor]:
    """Return mean (3 p^2,) and first components (latent_channels, 3 p^2) of the patches of frames (N, S, S, 3)."""
    few = to_pixels(frames[:: max(1, len(frames) // FRAMES_FOR_COMPONENTS)], torch.device("cpu"))
    patches = F.pixel_unshuffle(few, settings.patch_size).movedim(1, -1).flatten(0, 2).double()  # (M, 3 p^2)
    _, components = torch.linalg.eigh(torch.cov(patches.T))  # columns, smallest variance first
    return patches.mean(dim=0).float(), components.T.flip(0)[: settings.latent_channels].float()


class AutoencoderLoss:
    """L1 (sharp edges) and L2 (right colours), heavier under the mask, plus the KL of Kingma & Welling 2014.

    Args:
        settings: reads `mouth_weight` and `kl_weight`.
        mask: (S, S) in [0, 1], 1 where the mouth region is hidden.
    """

    def __init__(self, settings: Autoencoder, mask: np.ndarray) -> None:
        weight = 1 + settings.mouth_weight * torch.from_numpy(mask)  # (S, S)
        self.weight = weight / weight.mean()
        self.kl_weight = settings.kl_weight

    def __call__(self, autoencoder: AutoencoderKL, frames: np.ndarray) -> dict[str, Tensor]:
        """Return {"loss", "l1", "l2", "kl"} of crops (B, S, S, 3) uint8."""
        device = next(autoencoder.parameters()).device
        pixels, weight = to_pixels(frames, device), self.weight.to(device)
        coded = posterior(autoencoder, pixels)
        error = reconstruct(autoencoder, coded.sample()) - pixels  # (B, 3, S, S)
        l1, l2, kl = (error.abs() * weight).mean(), (error.square() * weight).mean(), coded.kl().mean()
        return {"loss": l1 + L2_WEIGHT * l2 + self.kl_weight * kl, "l1": l1, "l2": l2, "kl": kl}


def batches(frames: np.ndarray, batch_size: int, seed: int, done: int) -> Iterator[np.ndarray]:
    """Yield seeded batches of crops (B, S, S, 3), mirrored and tinted at random."""
    for step in itertools.count(done):
        rng = np.random.default_rng([seed, step])
        yield _varied(frames[np.sort(rng.integers(len(frames), size=batch_size))], rng)


def _varied(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tint each crop, and mirror half of the batches."""
    varied = tinted(frames, random_gains(rng, len(frames)))
    return mirrored(varied) if rng.random() < 0.5 else varied


def _set_scale(autoencoder: AutoencoderKL, frames: np.ndarray) -> None:
    few = frames[:: max(1, len(frames) // 512)]
    autoencoder.register_to_config(scaling_factor=float(1 / encode(autoencoder, few).std()))


def _save(autoencoder: AutoencoderKL, out: Path) -> None:
    write_safetensors(out / WEIGHTS, autoencoder.state_dict(), {"format": "pt"})
    write_text(out / "config.json", autoencoder.to_json_string())
