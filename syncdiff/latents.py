"""Latents of frames and of masked frames, cached in shards, so that training needs no video and no autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from syncdiff.artifacts import Ledger, progress
from syncdiff.config import Config
from syncdiff.media.video import decode_crops
from syncdiff.models.autoencoder import encode, load_autoencoder
from syncdiff.priors import masked_frame, mouth_mask
from syncdiff.shards.tar import Sample, about, npy, read_shard, write_shard

KEPT = ("__key__", "json", "pose.npy")  # speech has shards of its own, one for each set of features


def latents_shard(
    config: Config, shard: Path, autoencoder: Path, out: Path, out_ledger: Path, device: torch.device
) -> None:
    """Write the training members of a joined shard: latents.npy and masked.npy (T, C, h, w) float16, and pose.npy."""
    ledger = Ledger("latents")
    network = load_autoencoder(autoencoder, device)
    write_shard(out, _samples(config, shard, network, ledger))
    ledger.write(out_ledger)
    print(ledger.summary())


def _samples(config: Config, shard: Path, autoencoder: AutoencoderKL, ledger: Ledger) -> Iterator[Sample]:
    mask = mouth_mask(config.faces.size)
    for sample in progress(read_shard(shard), "latents"):
        frames = decode_crops(sample["crop.mp4"])
        kept = {name: sample[name] for name in KEPT}
        yield kept | {
            "latents.npy": npy(_half(autoencoder, frames)),
            "masked.npy": npy(_half(autoencoder, masked_frame(frames, mask))),
        }
        ledger.add(about(sample)["clip"], n_frames=len(frames))


def _half(autoencoder: AutoencoderKL, frames: np.ndarray) -> np.ndarray:
    return encode(autoencoder, frames).cpu().numpy().astype(np.float16)
