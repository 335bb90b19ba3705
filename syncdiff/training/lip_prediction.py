"""Let a speech encoder without a checkpoint foretell the lips from sound alone, before the denoiser is trained with it.

AV-HuBERT comes pretrained on sound and lips [P]; this stands in for that where there is no checkpoint [I]. The loss of
a denoiser is mostly about looks, so that an encoder from scratch learns to hear slowly through it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from syncdiff.diffusion.loss import weighted
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.priors import lip_region


class LipPredictor(nn.Module):
    """A speech encoder, and a linear layer from what it says of the target frame to that frame's latents."""

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

    def __call__(self, foreteller: LipPredictor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return {"loss"} of a batch, and "loss_still": that of a mouth that does not move; scalars."""
        motion = batch["latents"] - batch["mean"]
        missed = foreteller(batch["speech"], batch["valid"]).float() - motion
        return {"loss": weighted(missed.square(), self.lips), "loss_still": weighted(motion.square(), self.lips)}
