"""Train the autoencoder on the corpus's aligned crops, and fix the scale of its latents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from syncdiff.config import Autoencoder, Config
from syncdiff.errors import UserError
from syncdiff.media.video import read_frames
from syncdiff.models.autoencoder import (
    WEIGHTS,
    build_autoencoder,
    encode,
    posterior,
    reconstruct,
    start_linear,
    to_pixels,
)
from syncdiff.pipeline.files import write_text
from syncdiff.priors import mouth_mask
from syncdiff.shards.tar import Sample, frames_in, member_named, read_shard
from syncdiff.training.augment import augment
from syncdiff.training.checkpoints import fingerprint
from syncdiff.training.loop import Run, fit
from syncdiff.training.rounds import THREADS, Round, RoundPlan, ahead, held_in_turn
from syncdiff.weights.files import write_safetensors

BYTES_IN_MEMORY = 2_000_000_000  # of crops: 160,000 frames at 64 pixels
FRAMES_PER_CLIP = 150  # at most
FEW_PER_CLIP = 25  # where more do not fit: frames of one clip are much alike
ROUND_STEPS = 500  # of a round, about
L2_WEIGHT = 5.0  # of squared errors in [-1, 1]: equal to L1 at an error of 25 grey levels
FRAMES_FOR_COMPONENTS = 2_000
FRAMES_FOR_SCALE = 512


def train_autoencoder(config: Config, shards: Sequence[Path], out: Path, device: torch.device) -> None:
    """Train on crops of `shards` and write `out` in diffusers' layout: config.json and safetensors.

    The frames are 8-bit crops (S, S, 3); the written scaling factor gives latents of unit variance on them.
    """
    crops = training_crops(shards, config.autoencoder.batch_size, config.seed)
    torch.manual_seed(config.seed)
    autoencoder = build_autoencoder(config.autoencoder)
    start_linear(autoencoder, *principal_components(crops.first, config.autoencoder))
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
    trained = fit(autoencoder, loss, lambda done: batches(crops, done), run)
    _set_scale(trained, crops.first)
    _save(trained, out)


@dataclass(frozen=True)
class Crops:
    """The crops of all shards, of which a round's are in memory at a time.

    Attributes:
        shards: joined ones, in a seeded order.
        per_clip: frames kept of a clip, about, evenly spaced.
        plan: what is in memory when; its units are frames.
    """

    shards: Sequence[Path]
    per_clip: int
    plan: RoundPlan

    @cached_property
    def first(self) -> np.ndarray:
        """Crops (N, S, S, 3) of the first round: all of them, where all fit; else at most `FRAMES_FOR_COMPONENTS`."""
        frames = self._read(next(self.plan.rounds()))
        return frames if self.plan.single else frames[:: max(1, len(frames) // FRAMES_FOR_COMPONENTS)].copy()

    def frames(self, part: Round) -> np.ndarray:
        """Return crops (N, S, S, 3) of a round."""
        return self.first if self.plan.single else self._read(part)

    def _read(self, part: Round) -> np.ndarray:
        room = sum(self.plan.units[shard] for shard in part.shards)
        frames, filled = np.empty(0, np.uint8), 0
        for shard in (self.shards[number] for number in part.shards):
            kept = partial(self._kept, shard, frames_in(shard))
            for crops in ahead(kept, read_shard(shard), THREADS, THREADS):
                frames = frames if len(frames) else np.empty((room, *crops.shape[1:]), np.uint8)
                frames[filled : filled + len(crops)] = crops
                filled += len(crops)
        return frames[:filled]

    def _kept(self, shard: Path, lengths: dict[str, int], sample: Sample) -> np.ndarray:
        """Return crops of a clip; the others are let go as they are decoded."""
        with member_named(shard, sample, "crop.mp4"):
            step = stride(lengths[sample["__key__"]], self.per_clip)
            return np.stack(list(islice(read_frames(sample["crop.mp4"]), 0, None, step)))


def training_crops(shards: Sequence[Path], batch_size: int, seed: int) -> Crops:
    """Look at the headers of joined shards, and plan how their crops come into memory.

    Raises:
        UserError: a shard is missing or damaged, or no clip is in them.
    """
    ordered = [Path(shard) for shard in np.random.default_rng(seed).permutation(np.asarray(shards, dtype=object))]
    with ThreadPoolExecutor(THREADS) as threads:
        lengths = [list(clips.values()) for clips in threads.map(frames_in, ordered)]
    a_frame = _first_crop(ordered).nbytes
    for per_clip in (FRAMES_PER_CLIP, FEW_PER_CLIP):
        units = [sum(len(range(0, n, stride(n, per_clip))) for n in clips) for clips in lengths]
        plan = RoundPlan([a_frame * n for n in units], units, BYTES_IN_MEMORY, batch_size, ROUND_STEPS, seed)
        if plan.single:
            break
    plan.warn(ordered)
    return Crops(ordered, per_clip, plan)


def _first_crop(shards: Sequence[Path]) -> np.ndarray:
    for shard in shards:
        for sample in read_shard(shard):
            with member_named(shard, sample, "crop.mp4"):
                return next(read_frames(sample["crop.mp4"]))
    raise UserError(f"{shards[0]}: no clip to train on in this and {len(shards) - 1} more; see the ledgers")


def stride(n_frames: int, per_clip: int) -> int:
    """Return the distance of frames of which a clip has about `per_clip`."""
    return max(1, n_frames // per_clip)


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


def batches(crops: Crops, done: int) -> Iterator[np.ndarray]:
    """Yield seeded batches of crops (B, S, S, 3), mirrored and with other colours at random, from step `done` on.

    Where all crops fit in memory they are drawn at random; else each comes as often as the others.
    """
    plan = crops.plan
    for part, step, frames in held_in_turn(plan, crops.frames, done):
        rng = np.random.default_rng([plan.seed, step])
        at_random = rng.integers(len(frames), size=plan.per_step)
        drawn = at_random if plan.single else part.drawn(len(frames), step, plan)
        batch = augment(frames[np.sort(drawn)], rng)
        del frames  # before another round is read
        yield batch


def _set_scale(autoencoder: AutoencoderKL, frames: np.ndarray) -> None:
    few = frames[:: max(1, len(frames) // FRAMES_FOR_SCALE)]
    autoencoder.register_to_config(scaling_factor=float(1 / encode(autoencoder, few).std()))


def _save(autoencoder: AutoencoderKL, out: Path) -> None:
    write_safetensors(out / WEIGHTS, autoencoder.state_dict(), {"format": "pt"})
    write_text(out / "config.json", autoencoder.to_json_string())
