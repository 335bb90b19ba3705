"""Latents of frames and of masked frames: kept in shards, or made of the crops whenever training reads them.

Kept, they need no video and no autoencoder in training, but take eight times the disk of all else (at 128 pixels).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from zlib import crc32

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
from syncdiff.priors import masked_frame, mouth_mask, reduce_pose
from syncdiff.shards.tar import AUGMENTED, Sample, decode_npy, encode_npy, metadata, read_shard, write_shard
from syncdiff.training.augment import mirrored, random_gains, tinted

KEPT = ("__key__", "json")  # speech has shards of its own, one for each set of features


def latents_shard(
    config: Config, shard: Path, autoencoder: Path, out: Path, out_ledger: Path, device: torch.device
) -> None:
    """Write the training members of a joined shard: latents.npy and masked.npy (T, C, h, w) float16, and pose.npy.

    With `latents.varied` the same three follow of the clip mirrored and tinted; their names begin with `AUGMENTED`.
    A clip that cannot be encoded has a row in the ledger that says why.
    """
    ledger = Ledger("latents")
    network = load_autoencoder(autoencoder, device)
    write_shard(out, _samples(CropEncoder(config, network), shard, ledger))
    ledger.write(out_ledger)
    print(ledger.summary())


class CropEncoder:
    """Makes latents of joined samples: for the stage, or each time that training reads them.

    Args:
        config: reads `latents.varied`, `faces.size`, `mixed_precision` and `seed`.
        autoencoder: on the device to compute on.
    """

    def __init__(self, config: Config, autoencoder: AutoencoderKL) -> None:
        self.config = config
        self.autoencoder = autoencoder
        self.mask = mouth_mask(config.faces.size)
        self.copies = 2 if config.latents.varied else 1

    def decoded(self, sample: Sample) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return crops (T, S, S, 3) and poses (T, r, r, 3), both uint8, of a clip and, where wanted, of its variant.

        Raises:
            ClipRejected: the crops cannot be decoded.
        """
        crops, pose = decode_crops(sample["crop.mp4"]), decode_npy(sample["pose.npy"])
        if not self.config.latents.varied:
            return [(crops, pose)]
        variant = varied(crops, metadata(sample)["clip"], self.config.seed)
        return [(crops, pose), (variant, reduce_pose(variant, pose.shape[1]))]

    def encoded(self, crops: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return latents of crops and of masked crops, (T, C, h, w) float16, on the autoencoder's device."""
        with autocast(self.config.mixed_precision, self.autoencoder.device):
            seen, hidden = (encode(self.autoencoder, frames) for frames in (crops, masked_frame(crops, self.mask)))
        return seen.half(), hidden.half()


def _samples(encoder: CropEncoder, shard: Path, ledger: Ledger) -> Iterator[Sample]:
    for sample in progress(read_shard(shard), "latents"):
        outcome = attempt(partial(_clip_latents, encoder), sample)
        members, n_frames = outcome.value or ({}, 0)
        ledger.record(metadata(sample)["clip"], outcome, n_frames=n_frames)
        if members:
            yield members


def _clip_latents(encoder: CropEncoder, sample: Sample) -> tuple[Sample, int]:
    """Return the members of one clip, and its number of frames."""
    members, n_frames = {name: sample[name] for name in KEPT}, 0
    for prefix, (crops, pose) in zip(("", AUGMENTED), encoder.decoded(sample), strict=False):
        latents, masked = (half.cpu().numpy() for half in encoder.encoded(crops))
        shown = {"latents.npy": latents, "masked.npy": masked, "pose.npy": pose}
        members |= {prefix + name: encode_npy(array) for name, array in shown.items()}
        n_frames = len(crops)
    return members, n_frames


def varied(frames: np.ndarray, clip: str, seed: int) -> np.ndarray:
    """Return frames (T, S, S, 3) uint8 mirrored and tinted, by gains that are fixed by clip and seed."""
    rng = np.random.default_rng([seed, crc32(clip.encode())])
    return tinted(mirrored(frames), random_gains(rng, 1))
