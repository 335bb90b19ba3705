"""The denoising loss, weighted over the picture: the lips most, what is visible anyway hardly.

Over timesteps it is not weighted: the denoiser predicts z_0, and at noise levels near T, where the priors and the
speech are all that it has, an error in z_0 counts as much as at others. On the demo corpus, 25,000 samples of it gave
a mouth_corr of 0.57 and of v-prediction 0.36 (one run each, with an autoencoder of 4-pixel patches).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from accelerate import PartialState
from diffusers import DDPMScheduler
from torch import Tensor

from syncdiff.config import Config
from syncdiff.models.denoiser import Denoiser, Priors
from syncdiff.priors import lip_region, mouth_mask

VISIBLE_WEIGHT = 0.1  # outside the mask: there, crops keep their own pixels


class Draws:
    """Random numbers for each sample of a step: drawn for the batch of all processes, then cut to this one's samples.

    All processes draw from one seed. So a sample gets the same numbers, however many processes share the batch.
    """

    def __init__(self, n_samples: int, device: torch.device) -> None:
        state = PartialState()
        self.own = slice(state.process_index, None, state.num_processes)
        self.total = n_samples * state.num_processes
        self.device = device

    def integers(self, high: int) -> Tensor:
        """Return (B,) int64 in [0, high)."""
        return torch.randint(high, (self.total,), device=self.device)[self.own]

    def uniform(self) -> Tensor:
        """Return (B,) in [0, 1)."""
        return torch.rand(self.total, device=self.device)[self.own]

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Return (B, *shape) of unit variance."""
        return torch.randn(self.total, *shape, device=self.device)[self.own]


class DiffusionLoss:
    """E || z_0 - denoiser(z_t, t, priors, speech) ||^2, Ho et al. 2020, eq. 14 for z_0, with the priors' dropout.

    Args:
        config: reads `diffusion.lip_weight`, `denoiser` (dropout and noise of the pose frame) and `faces.size`.
        schedule: the forward process.
    """

    def __init__(self, config: Config, schedule: DDPMScheduler) -> None:
        self.config = config
        self.schedule = schedule
        size = config.faces.size
        hidden, lips = torch.from_numpy(mouth_mask(size)), torch.from_numpy(lip_region(size))
        self.weight = (VISIBLE_WEIGHT + hidden + config.diffusion.lip_weight * lips)[None, None]  # (1, 1, S, S)
        self.lips = lips[None, None]

    def __call__(self, denoiser: Denoiser, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return {"loss", "loss_lips"} of a batch from `shards.windows`; both are scalars."""
        latents = batch["latents"]  # (B, C, h, w)
        draw = Draws(len(latents), latents.device)
        timesteps = draw.integers(len(self.schedule.betas))
        noisy = self.schedule.add_noise(latents, draw.normal(latents.shape[1:]), timesteps)
        known = draw.uniform() >= self.config.denoiser.speech_dropout
        prediction = denoiser(noisy, timesteps, self._priors(batch, draw), batch["speech"], batch["valid"], known)
        squared = (prediction.float() - latents).square()
        return {"loss": _weighted(squared, self.weight), "loss_lips": _weighted(squared, self.lips)}

    def _priors(self, batch: dict[str, Tensor], draw: Draws) -> Priors:
        settings = self.config.denoiser
        dropped = draw.uniform() < settings.pose_dropout
        noisy_pose = batch["pose"] + settings.pose_noise * draw.normal(batch["pose"].shape[1:])
        return Priors(
            masked=batch["masked"],
            identity=batch["identity"],
            pose=_without(noisy_pose, dropped),
            previous=_without(batch["previous"], dropped),
        )


def _weighted(squared: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of errors (B, C, h, w) under weights (1, 1, S, S) of pixels."""
    weight = F.adaptive_avg_pool2d(weight.to(squared), squared.shape[-1])
    return (squared * weight).mean() / weight.mean()


def _without(prior: Tensor, dropped: Tensor) -> Tensor:
    """Return `prior` (B, ...) with the samples marked in `dropped` (B,) set to zero."""
    return torch.where(dropped.view(-1, *[1] * (prior.dim() - 1)), torch.zeros_like(prior), prior)
