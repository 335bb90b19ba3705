"""Latents of frames and of masked frames, cached in shards, so that training needs no video and no autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from diffusers import AutoencoderKL

from syncdiff.artifacts import Ledger, attempt, progress
from syncdiff.config import Config
from syncdiff.device import arithmetic
from syncdiff.media.video import decode_crops
from syncdiff.models.autoencoder import encode, load_autoencoder
from syncdiff.priors import masked_frame, mouth_mask, reduce_pose
from syncdiff.shards.tar import VARIED, Sample, about, npy, read_shard, unnpy, write_shard
from syncdiff.variation import mirrored, random_gains, tinted

KEPT = ("__key__", "json", "pose.npy")  # speech has shards of its own, one for each set of features


def latents_shard(
    config: Config, shard: Path, autoencoder: Path, out: Path, out_ledger: Path, device: torch.device
) -> None:
    """Write the training members of a joined shard: latents.npy and masked.npy (T, C, h, w) float16, and pose.npy.

    With `latents.varied` the same three follow of the clip mirrored and tinted, under names that begin with `VARIED`.
    A clip that cannot be encoded has a row in the ledger that says why.
    """
    ledger = Ledger("latents")
    network = load_autoencoder(autoencoder, device)
    with arithmetic(config.mixed_precision, device):
        write_shard(out, _samples(config, shard, network, ledger))
    ledger.write(out_ledger)
    print(ledger.summary())


def _samples(config: Config, shard: Path, autoencoder: AutoencoderKL, ledger: Ledger) -> Iterator[Sample]:
    mask = mouth_mask(config.faces.size)
    for sample in progress(read_shard(shard), "latents"):
        outcome = attempt(partial(_clip_latents, config, autoencoder, mask), sample)
        members, n_frames = outcome.value or ({}, 0)
        ledger.record(about(sample)["clip"], outcome, n_frames=n_frames)
        if members:
            yield members


def _clip_latents(config: Config, autoencoder: AutoencoderKL, mask: np.ndarray, sample: Sample) -> tuple[Sample, int]:
    """Return the members of one clip, and its number of frames."""
    frames = decode_crops(sample["crop.mp4"])
    members = {name: sample[name] for name in KEPT} | _encoded(autoencoder, frames, mask)
    if config.latents.varied:
        variant = varied(frames, about(sample)["clip"], config.seed)
        pose_size = unnpy(sample["pose.npy"]).shape[1]
        shown = _encoded(autoencoder, variant, mask) | {"pose.npy": npy(reduce_pose(variant, pose_size))}
        members |= {VARIED + name: data for name, data in shown.items()}
    return members, len(frames)


def varied(frames: np.ndarray, clip: str, seed: int) -> np.ndarray:
    """Return frames (T, S, S, 3) uint8 mirrored and tinted, by gains that are fixed by clip and seed."""
    rng = np.random.default_rng([seed, crc32(clip.encode())])
    return tinted(mirrored(frames), random_gains(rng, 1))


def _encoded(autoencoder: AutoencoderKL, frames: np.ndarray, mask: np.ndarray) -> Sample:
    return {
        "latents.npy": npy(_half(autoencoder, frames)),
        "masked.npy": npy(_half(autoencoder, masked_frame(frames, mask))),
    }


def _half(autoencoder: AutoencoderKL, frames: np.ndarray) -> np.ndarray:
    return encode(autoencoder, frames).cpu().numpy().astype(np.float16)
