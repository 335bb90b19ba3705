"""The sync loss: a frozen SyncNet, the sync expert, looks at predicted frames in training, beside the denoising loss.

Diff2Lip (Mukhopadhyay et al. 2024) and LatentSync (Li et al. 2024) train with such an expert. Here it must be another
network than the scorer of the metrics: scores by a network that was trained against say nothing about sync.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from syncdiff.errors import UserError
from syncdiff.models.autoencoder import load_autoencoder, reconstruct
from syncdiff.models.syncnet import for_inference, load_syncnet, mouth_pixels
from syncdiff.speech.mfcc import WINDOW_FRAMES

SAMPLES_PER_SYNC_WINDOW = 16
SYNC_SHIFTS = range(-15, 16, 3)  # frames: as far as LSE looks; audio a frame apart is nearly the same


class SyncLoss:
    """Which audio belongs to these lips: cross-entropy over the clip's audio at other times, by SyncNet's distances.

    It is the loss that the SyncNet was trained with, but each window stands for itself, so that it does not matter how
    many processes share a step. Both networks are frozen.

    Args:
        autoencoder: folder of the latents' autoencoder.
        expert: the sync expert, a SyncNet trained on aligned crops.
        device: of both.

    Raises:
        UserError: one of them is missing or unreadable, or the SyncNet takes other frames.
    """

    def __init__(self, autoencoder: Path, expert: Path, device: torch.device) -> None:
        loaded = load_syncnet(expert)
        if loaded.crop != "aligned":
            raise UserError(f"{expert}: not trained on aligned crops; train one by `syncdiff syncnet`")
        self.autoencoder = load_autoencoder(autoencoder, device)
        self.expert = for_inference(loaded.net, device)

    def __call__(self, latents: Tensor, mfcc: Tensor, valid: Tensor) -> Tensor:
        """Return the loss of each of G sync windows, (G,).

        Args:
            latents: (5 G, C, h, w) predicted, scaled latents of their frames, window by window.
            mfcc: (G, K, 13, 20) at `SYNC_SHIFTS`.
            valid: (G, K) bool, where there is audio.
        """
        pixels = reconstruct(self.autoencoder, latents / self.autoencoder.config.scaling_factor)
        mouths = mouth_pixels(pixels, self.expert.image_size).unflatten(0, (-1, WINDOW_FRAMES))
        lip = self.expert.lip(mouths.transpose(1, 2))  # (G, 1, 1024)
        audio = self.expert.audio(mfcc.flatten(0, 1)).unflatten(0, valid.shape)  # (G, K, 1024)
        logits = -(lip - audio).norm(dim=-1).masked_fill(~valid, torch.inf)
        match = torch.full((len(logits),), SYNC_SHIFTS.index(0), device=logits.device)
        return F.cross_entropy(logits, match, reduction="none")


def sync_windows(batch_size: int) -> int:
    """Return how many sync windows there are in a step of B samples, over all processes."""
    return math.ceil(batch_size / SAMPLES_PER_SYNC_WINDOW)
