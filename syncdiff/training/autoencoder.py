"""Train the autoencoder on the corpus's aligned crops, and fix the scale of its latents."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from syncdiff.artifacts import atomic, write_text
from syncdiff.config import Autoencoder, Config
from syncdiff.media.video import decode_crops
from syncdiff.models.autoencoder import build_autoencoder, encode, to_pixels
from syncdiff.priors import mouth_mask
from syncdiff.shards.tar import read_shard
from syncdiff.training.loop import Run, fit

FRAMES_IN_MEMORY = 40_000  # crops kept for training: 0.5 GB at 64 pixels
FRAMES_PER_CLIP = 150
L2_WEIGHT = 5.0  # of squared errors in [-1, 1]: equal to L1 at an error of 25 grey levels
TINTS = (0.75, 1.25)  # gains of red, green and blue
WHOLE_CROPS = 0.2  # share of the steps


def train_autoencoder(config: Config, shards: Sequence[Path], out: Path, device: torch.device) -> None:
    """Train on crops of `shards` and write `out` in diffusers' layout: config.json and safetensors.

    The frames are 8-bit crops (S, S, 3); the written scaling factor gives latents of unit variance on them.
    """
    frames = training_frames(shards, config.seed)
    torch.manual_seed(config.seed)
    autoencoder = build_autoencoder(config.autoencoder)
    run = Run(
        folder=out,
        settings=config.autoencoder,
        seed=config.seed,
        fingerprint=json.dumps([config.autoencoder.model_dump(), config.faces.size, len(frames)]),
        device=device,
        label="autoencoder",
    )
    mask = mouth_mask(config.faces.size)
    loss = AutoencoderLoss(config.autoencoder)
    trained = fit(autoencoder, loss, lambda done: batches(frames, mask, config.autoencoder, config.seed, done), run)
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


@dataclass(frozen=True)
class Batch:
    """The same window of several crops: `frames` (B, P, P, 3) uint8, `mask` (P, P) of the mouth there."""

    frames: np.ndarray
    mask: np.ndarray


class AutoencoderLoss:
    """L1 (sharp edges) and L2 (right colours, early), heavier under the mask, plus the KL of Kingma & Welling 2014."""

    def __init__(self, settings: Autoencoder) -> None:
        self.settings = settings

    def __call__(self, autoencoder: AutoencoderKL, batch: Batch) -> dict[str, Tensor]:
        """Return {"loss", "l1", "kl"}."""
        device = next(autoencoder.parameters()).device
        pixels = to_pixels(batch.frames, device)
        posterior = autoencoder.encode(pixels).latent_dist
        reconstruction = autoencoder.decode(posterior.sample()).sample
        weight = 1 + self.settings.mouth_weight * torch.from_numpy(batch.mask).to(device)  # (P, P)
        error = reconstruction - pixels  # (B, 3, P, P)
        l1 = (error.abs() * weight).mean() / weight.mean()
        l2 = (error.square() * weight).mean() / weight.mean()
        kl = posterior.kl().mean()
        return {"loss": l1 + L2_WEIGHT * l2 + self.settings.kl_weight * kl, "l1": l1, "l2": l2, "kl": kl}


def batches(frames: np.ndarray, mask: np.ndarray, settings: Autoencoder, seed: int, done: int) -> Iterator[Batch]:
    """Yield seeded batches of random patches, and of whole crops in the last steps.

    A patch costs a fraction of a crop and teaches as much about edges and colours; whole crops come last, so that the
    group norms see at the end what they will see in use. A batch of crops has as many pixels as one of patches.
    """
    size = frames.shape[1]
    for step in itertools.count(done):
        rng = np.random.default_rng([seed, step])
        side = settings.patch_size if step < (1 - WHOLE_CROPS) * settings.steps else size
        n = max(2, settings.batch_size * settings.patch_size**2 // side**2)
        y, x = rng.integers(size - side + 1, size=2)
        window = np.s_[y : y + side, x : x + side]
        drawn = np.sort(rng.integers(len(frames), size=n))
        yield Batch(_varied(frames[drawn], rng)[:, *window], mask[window])


def _varied(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror half of the batches, and tint each crop: few speakers in training do not wear all colours."""
    gains = rng.uniform(*TINTS, (len(frames), 1, 1, 3)).astype(np.float32)
    tinted = np.clip(frames * gains, 0, 255).astype(np.uint8)
    return tinted[:, :, ::-1] if rng.random() < 0.5 else tinted


def _set_scale(autoencoder: AutoencoderKL, frames: np.ndarray) -> None:
    few = frames[:: max(1, len(frames) // 512)]
    autoencoder.register_to_config(scaling_factor=float(1 / encode(autoencoder, few).std()))


def _save(autoencoder: AutoencoderKL, out: Path) -> None:
    weights = {name: value.cpu().contiguous() for name, value in autoencoder.state_dict().items()}
    with atomic(out / "diffusion_pytorch_model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    write_text(out / "config.json", autoencoder.to_json_string())
