"""Latents of frames and of masked frames: kept in shards, or made of the crops whenever training reads them.

Kept, they need no video and no autoencoder in training, but take eight times the disk of all else (at 128 pixels).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from syncdiff.config import Config
from syncdiff.device import autocast
from syncdiff.media.video import decode_crops
from syncdiff.models.autoencoder import encode, load_autoencoder
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import attempt
from syncdiff.pipeline.progress import progress
from syncdiff.priors import masked_frame, mouth_mask
from syncdiff.shards.tar import Sample, decode_npy, encode_npy, metadata, read_shard, write_shard

log = logging.getLogger(__name__)

CROPS = "crop.mp4"  # of a joined shard
KEPT = ("__key__", "json")  # speech has shards of its own, one for each set of features
MEMBERS = ("latents.npy", "masked.npy", "pose.npy")


def latents_shard(
    config: Config, shard: Path, autoencoder: Path, out: Path, out_ledger: Path, device: torch.device
) -> None:
    """Write the training members of a joined shard: latents.npy and masked.npy (T, C, h, w) float16, and pose.npy.

    A clip that cannot be encoded has a row in the ledger that says why.
    """
    ledger = Ledger("latents")
    network = load_autoencoder(autoencoder, device)
    write_shard(out, _samples(CropEncoder(config, network), shard, ledger))
    ledger.write(out_ledger)
    log.info(ledger.summary())


class CropEncoder:
    """Makes latents of crops: for the stage, or each time that training reads them.

    Args:
        config: reads `faces.size` and `mixed_precision`.
        autoencoder: on the device to compute on.
    """

    def __init__(self, config: Config, autoencoder: AutoencoderKL) -> None:
        self.mixed_precision = config.mixed_precision
        self.autoencoder = autoencoder
        self.mask = mouth_mask(config.faces.size)

    def __call__(self, crops: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return latents of crops (T, S, S, 3) uint8 and of the same with the mouth hidden.

        Returns:
            Twice (T, C, h, w) float16, on the autoencoder's device.
        """
        with autocast(self.mixed_precision, self.autoencoder.device):
            latents, masked = (encode(self.autoencoder, frames) for frames in (crops, masked_frame(crops, self.mask)))
        return latents.half(), masked.half()


def decode_clip(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return crops (T, S, S, 3) and poses (T, r, r, 3), both uint8, of a joined sample.

    Raises:
        ClipRejected: one of them cannot be decoded.
    """
    return decode_crops(sample[CROPS]), decode_npy(sample["pose.npy"])


def _samples(encoder: CropEncoder, shard: Path, ledger: Ledger) -> Iterator[Sample]:
    for sample in progress(read_shard(shard), "latents"):
        outcome = attempt(partial(_clip_latents, encoder), sample)
        members, n_frames = outcome.value or ({}, 0)
        ledger.record(metadata(sample)["clip"], outcome, n_frames=n_frames)
        if members:
            yield members


def _clip_latents(encoder: CropEncoder, sample: Sample) -> tuple[Sample, int]:
    """Return the members of one clip, and its number of frames."""
    crops, pose = decode_clip(sample)
    latents, masked = (half.cpu().numpy() for half in encoder(crops))
    arrays = zip(MEMBERS, (latents, masked, pose), strict=True)
    return {name: sample[name] for name in KEPT} | {name: encode_npy(array) for name, array in arrays}, len(crops)
