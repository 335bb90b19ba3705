"""Pretrain a speech encoder without a checkpoint: it predicts the lips from speech alone, before the denoiser trains.

AV-HuBERT comes pretrained on audio and lips [P]; this stands in for that where there is no checkpoint [I]. The loss of
a denoiser is mostly about looks, so that an encoder from scratch learns little about speech through it, and slowly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from syncdiff.diffusion.loss import weighted_mean
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.priors import lip_region


class LipPredictor(nn.Module):
    """A speech encoder, and a linear layer from its output at the target frame to that frame's latents."""

    def __init__(self, speech: SpeechEncoder, latent_shape: Sequence[int]) -> None:
        super().__init__()
        self.speech = speech
        self.latent_shape = tuple(latent_shape)
        self.latents = nn.Linear(speech.context_dim, math.prod(latent_shape))
        nn.init.zeros_(self.latents.weight)

    def forward(self, speech: Tensor, valid: Tensor) -> Tensor:
        """Map features (B, W, D), their validity (B, W), to (B, C, h, w)."""
        context = self.speech(speech, valid)  # (B, W, E)
        return self.latents(context[:, context.shape[1] // 2]).unflatten(1, self.latent_shape)


class LipPredictionLoss:
    """Squared error, at the lips, of how a frame's latents differ from their mean over the clip."""

    def __init__(self, crop_size: int) -> None:
        self.lips = torch.from_numpy(lip_region(crop_size))[None, None]  # (1, 1, S, S)

    def __call__(self, predictor: LipPredictor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return {"loss"} of a batch, and "loss_still": that of a mouth that does not move; scalars."""
        motion = batch["latents"] - batch["mean"]
        error = predictor(batch["speech"], batch["valid"]).float() - motion
        return {
            "loss": weighted_mean(error.square(), self.lips),
            "loss_still": weighted_mean(motion.square(), self.lips),
        }
