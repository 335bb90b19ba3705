"""The denoising loss, weighted over the picture by the mouth mask.

Over timesteps it is not weighted: with `v_prediction`, noise levels near T count as much as the others, and there the
priors and the speech are all that the denoiser has. (min-SNR weights of v go to zero there, with the SNR itself.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from syncdiff.config import Config
from syncdiff.models.denoiser import Denoiser, Priors


class DiffusionLoss:
    """E || target - denoiser(z_t, t, priors, speech) ||^2, Ho et al. 2020, eq. 14, with the priors' dropout.

    Args:
        config: reads `diffusion` (schedule, target, weights) and `denoiser` (dropout and noise of the pose frame).
        schedule: the forward process.
        mask: (S, S) in [0, 1], 1 where the mouth region is hidden; the loss weighs 1 + mouth_weight there.
    """

    def __init__(self, config: Config, schedule: DDPMScheduler, mask: Tensor) -> None:
        self.config = config
        self.schedule = schedule
        self.mask = mask[None, None]  # (1, 1, S, S)

    def __call__(self, denoiser: Denoiser, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return {"loss", "loss_mouth"} of a batch from `shards.windows`; both are scalars."""
        latents = batch["latents"]  # (B, C, h, w)
        timesteps = torch.randint(len(self.schedule.betas), (len(latents),), device=latents.device)
        noise = torch.randn_like(latents)
        noisy = self.schedule.add_noise(latents, noise, timesteps)
        known = torch.rand(len(latents), device=latents.device) >= self.config.denoiser.speech_dropout
        prediction = denoiser(noisy, timesteps, self._priors(batch), batch["speech"], batch["valid"], known)
        squared = (prediction.float() - self._target(latents, noise, timesteps)).square()
        mouth = self._mouth(latents)
        weight = 1 + self.config.diffusion.mouth_weight * mouth
        return {
            "loss": (squared * weight).mean() / weight.mean(),
            "loss_mouth": (squared * mouth).mean() / mouth.mean(),
        }

    def _priors(self, batch: dict[str, Tensor]) -> Priors:
        settings = self.config.denoiser
        dropped = torch.rand(len(batch["pose"]), device=batch["pose"].device) < settings.pose_dropout
        noisy_pose = batch["pose"] + settings.pose_noise * torch.randn_like(batch["pose"])
        return Priors(
            masked=batch["masked"],
            identity=batch["identity"],
            pose=_without(noisy_pose, dropped),
            previous=_without(batch["previous"], dropped),
        )

    def _target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        if self.config.diffusion.prediction == "epsilon":
            return noise
        if self.config.diffusion.prediction == "sample":
            return latents
        return self.schedule.get_velocity(latents, noise, timesteps)

    def _mouth(self, latents: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.mask.to(latents), latents.shape[-1])


def _without(prior: Tensor, dropped: Tensor) -> Tensor:
    """Return `prior` (B, ...) with the samples marked in `dropped` (B,) set to zero."""
    return torch.where(dropped.view(-1, *[1] * (prior.dim() - 1)), torch.zeros_like(prior), prior)
