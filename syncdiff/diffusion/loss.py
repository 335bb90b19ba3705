"""The denoising loss, weighted over the frame: the lips most, what is visible anyway hardly.

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
from syncdiff.diffusion.ssim import SSIMLoss
from syncdiff.models.denoiser import Denoiser, VisualPriors
from syncdiff.priors import lip_region, mouth_mask

VISIBLE_WEIGHT = 0.1  # outside the mask: there, crops keep their own pixels


class Draws:
    """Random numbers for each sample of a step: drawn for the batch of all processes, then cut to this one's samples.

    All processes draw from one seed. So a sample gets the same numbers, however many processes share the batch.

    Args:
        n_frames: of this process's share.
        device: of the numbers.
        in_a_row: frames of a sample, which share their numbers, as the frames of a clip do in sampling.
    """

    def __init__(self, n_frames: int, device: torch.device, in_a_row: int = 1) -> None:
        state = PartialState()
        self.own = slice(state.process_index, None, state.num_processes)
        self.total = n_frames // in_a_row * state.num_processes
        self.device = device
        self.in_a_row = in_a_row

    def integers(self, high: int) -> Tensor:
        """Return (B,) int64 in [0, high)."""
        return self._of_frames(torch.randint(high, (self.total,), device=self.device))

    def uniform(self) -> Tensor:
        """Return (B,) in [0, 1)."""
        return self._of_frames(torch.rand(self.total, device=self.device))

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Return (B, *shape) of unit variance."""
        return self._of_frames(torch.randn(self.total, *shape, device=self.device))

    def _of_frames(self, drawn: Tensor) -> Tensor:
        return drawn[self.own].repeat_interleave(self.in_a_row, dim=0)


class DiffusionLoss:
    """E || z_0 - denoiser(z_t, t, priors, speech) ||^2, Ho et al. 2020, eq. 14 for z_0, with the priors' dropout.

    With `ssim`, `diffusion.ssim_weight` times 1 - SSIM of predicted z_0 is added.

    Args:
        config: reads `diffusion` (weights), `denoiser` (dropout and noise of the pose frame) and `faces.size`.
        schedule: the forward process.
        ssim: of predicted frames.
    """

    def __init__(self, config: Config, schedule: DDPMScheduler, ssim: SSIMLoss | None = None) -> None:
        self.config = config
        self.schedule = schedule
        self.ssim = ssim
        self.weight = frame_weight(config)
        self.lips = torch.from_numpy(lip_region(config.faces.size))[None, None]  # (1, 1, S, S)

    def __call__(self, denoiser: Denoiser, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return {"loss", "loss_lips"} of a batch from `training.windows`, and with `ssim` "loss_ssim"; scalars."""
        latents = batch["latents"]  # (B, C, h, w)
        draw = Draws(len(latents), latents.device)
        timesteps = draw.integers(len(self.schedule.betas))
        noisy = self.schedule.add_noise(latents, draw.normal(latents.shape[1:]), timesteps)
        with_speech = draw.uniform() >= self.config.denoiser.speech_dropout
        priors = noisy_priors(self.config, batch, draw)
        prediction = denoiser(noisy, timesteps, priors, batch["speech"], batch["valid"], with_speech)
        squared = (prediction.float() - latents).square()
        losses = {"loss": weighted_mean(squared, self.weight), "loss_lips": weighted_mean(squared, self.lips)}
        if self.ssim:
            losses["loss_ssim"] = self.ssim(prediction, latents)
            losses["loss"] = losses["loss"] + self.config.diffusion.ssim_weight * losses["loss_ssim"]
        return losses


def frame_weight(config: Config) -> Tensor:
    """Return the weight of each pixel's place in the loss of latents, (1, 1, S, S)."""
    size = config.faces.size
    hidden, lips = torch.from_numpy(mouth_mask(size)), torch.from_numpy(lip_region(size))
    return (VISIBLE_WEIGHT + hidden + config.diffusion.lip_weight * lips)[None, None]


def noisy_priors(config: Config, batch: dict[str, Tensor], draw: Draws) -> VisualPriors:
    """Return a batch's visual priors, with noise on the pose frame, or without it in some samples."""
    settings = config.denoiser
    dropped = draw.uniform() < settings.pose_dropout
    noisy_pose = batch["pose"] + settings.pose_noise * draw.normal(batch["pose"].shape[1:])
    return VisualPriors(
        masked=batch["masked"],
        identity=batch["identity"],
        pose=_without(noisy_pose, dropped),
        previous=_without(batch["previous"], dropped),
    )


def weighted_mean(squared: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of errors (B, C, h, w) under weights (1, 1, S, S) of pixels."""
    weight = F.adaptive_avg_pool2d(weight.to(squared), squared.shape[-1])
    return (squared * weight).mean() / weight.mean()


def _without(prior: Tensor, dropped: Tensor) -> Tensor:
    """Return `prior` (B, ...) with the samples marked in `dropped` (B,) set to zero."""
    return torch.where(dropped.view(-1, *[1] * (prior.dim() - 1)), torch.zeros_like(prior), prior)
