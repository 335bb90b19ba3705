"""The sync loss: a frozen SyncNet, the sync expert, looks at sampled frames in the second stage of training.

Diff2Lip (Mukhopadhyay et al. 2024) and LatentSync (Li et al. 2024) train with such an expert. Here it must be another
network than the scorer of the metrics: scores by a network that was trained against say nothing about sync.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from syncdiff.errors import UserError
from syncdiff.models.syncnet import for_inference, load_syncnet, mouth_pixels
from syncdiff.speech.mfcc import WINDOW_FRAMES

SYNC_SHIFTS = range(-15, 16, 3)  # frames: as far as LSE looks; audio a frame apart is nearly the same


class SyncLoss:
    """Which audio belongs to these lips: cross-entropy over the clip's audio at other times, by SyncNet's distances.

    It is the loss that the SyncNet was trained with, but each run of frames stands for itself, so that it does not
    matter how many processes share a step. The network is frozen.

    Args:
        expert: the sync expert, a SyncNet trained on aligned crops.
        device: of it.

    Raises:
        UserError: it is missing or unreadable, or takes other frames.
    """

    def __init__(self, expert: Path, device: torch.device) -> None:
        loaded = load_syncnet(expert)
        if loaded.crop != "aligned":
            raise UserError(f"{expert}: not trained on aligned crops; train one by `syncdiff syncnet`")
        self.expert = for_inference(loaded.net, device)

    def __call__(self, pixels: Tensor, mfcc: Tensor, valid: Tensor) -> Tensor:
        """Return the loss of each of B runs, (B,).

        Args:
            pixels: (5 B, 3, S, S) in [-1, 1], crops, run by run.
            mfcc: (B, K, 13, 20) at `SYNC_SHIFTS`.
            valid: (B, K) bool, where there is audio.
        """
        mouths = mouth_pixels(pixels, self.expert.image_size).unflatten(0, (-1, WINDOW_FRAMES))
        lip = self.expert.lip(mouths.transpose(1, 2))  # (B, 1, 1024)
        audio = self.expert.audio(mfcc.flatten(0, 1)).unflatten(0, valid.shape)  # (B, K, 1024)
        logits = -(lip - audio).norm(dim=-1).masked_fill(~valid, torch.inf)
        match = torch.full((len(logits),), SYNC_SHIFTS.index(0), device=logits.device)
        return F.cross_entropy(logits, match, reduction="none")
