"""The second stage: the denoiser samples runs of frames as in synthesis, and they are looked at in pixels.

The first stage asks for z_0 at any timestep, by errors of latents: what speech and priors leave open comes out as a
mean, which is soft. Here noise goes through the sampler's own steps; after each, z_0 is compared as before, and what
comes out of the last is decoded and judged: by a critic, by LPIPS, by a sync expert, and by how it changes from frame
to frame. The like of it: the second stages of LatentSync (Li et al. 2024) and MuseTalk 1.5 (Zhang et al. 2024).

The real frames are those that the autoencoder makes of the true latents: nothing can be sharper than they are.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor

from syncdiff.config import Config, Sample
from syncdiff.diffusion.loss import Draws, frame_weight, noisy_priors, weighted_mean
from syncdiff.diffusion.schedule import scheduler
from syncdiff.diffusion.sync_loss import SyncLoss
from syncdiff.models.autoencoder import reconstruct
from syncdiff.models.critic import WithCritic, mouth_window
from syncdiff.models.denoiser import Denoiser
from syncdiff.models.lpips import Lpips
from syncdiff.priors import mouth_mask
from syncdiff.training.windows import RUN_FRAMES

Batch = dict[str, Tensor]
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Judges:
    """The frozen networks that look at sampled frames; None where the config gives them no weight."""

    autoencoder: AutoencoderKL
    lpips: Lpips | None = None
    sync: SyncLoss | None = None


class SecondStageLoss:
    """The error of z_0 after each step of sampling, and what is seen in the frames that come out.

    Args:
        config: reads `second_stage`, and what `DiffusionLoss` reads.
        judges: which look at the frames.
    """

    def __init__(self, config: Config, judges: Judges) -> None:
        self.config, self.judges = config, judges
        size = config.faces.size
        self.scheduler = scheduler(config.diffusion, Sample(sampler="ddim", steps=config.second_stage.sample_steps))
        self.weight = frame_weight(config)
        self.mask = torch.from_numpy(mouth_mask(size))
        self.window = ..., *mouth_window(size)

    def __call__(self, model: WithCritic, batch: Batch) -> Losses:
        """Return {"loss", "loss_latents"} of a batch of runs, and the loss of each judge; scalars."""
        return model(self._losses, batch)

    def _losses(self, model: WithCritic, batch: Batch) -> Losses:
        estimates, with_speech = self._sample(model.network, batch)
        errors = [weighted_mean((z.float() - batch["latents"]).square(), self.weight) for z in estimates]
        losses = {"latents": torch.stack(errors).mean()}
        with torch.no_grad():
            real = self._decode(batch["latents"])
        mask = self.mask.to(real)
        made = real + mask * (self._decode(estimates[-1]) - real)  # as a crop is blended into its frame
        losses |= self._judged(model, batch, made, real, with_speech)
        weights = self._weights()
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        return {"loss": total} | {f"loss_{name}": loss for name, loss in losses.items()}

    def _sample(self, denoiser: Denoiser, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Return z_0 (B R, C, h, w) as each step of sampling predicts it, and which frames (B R,) had their speech."""
        latents = batch["latents"]
        draw = Draws(len(latents), latents.device, RUN_FRAMES)
        with_speech = draw.uniform() >= self.config.denoiser.speech_dropout
        condition = denoiser.condition(noisy_priors(self.config, batch, draw))
        context = denoiser.context(batch["speech"], batch["valid"])
        context = torch.where(with_speech[:, None, None], context, denoiser.uncond_context(context))
        steps: DDIMScheduler = copy.deepcopy(self.scheduler)
        noisy, estimates = draw.normal(latents.shape[1:]), []
        for time in steps.timesteps:
            estimates.append(denoiser.denoise(noisy, time.to(noisy.device).expand(len(noisy)), condition, context))
            noisy = steps.step(estimates[-1].detach().float(), time, noisy).prev_sample
        return estimates, with_speech

    def _decode(self, latents: Tensor) -> Tensor:
        """Return pixels (B R, 3, S, S), about in [-1, 1]."""
        return reconstruct(self.judges.autoencoder, latents / self.judges.autoencoder.config.scaling_factor).float()

    def _judged(self, model: WithCritic, batch: Batch, made: Tensor, real: Tensor, with_speech: Tensor) -> Losses:
        """Return the loss of each judge: scalars, by name."""
        settings = self.config.second_stage
        losses: Losses = {}
        mouths = made[self.window], real[self.window]
        if settings.with_critic:
            losses |= model.criticise(*mouths)
        if self.judges.lpips:
            losses["perceptual"] = self.judges.lpips(*mouths).mean()
        if settings.temporal_weight:
            runs = (made - real).unflatten(0, (-1, RUN_FRAMES))
            losses["temporal"] = (runs[:, 1:] - runs[:, :-1]).abs().mean() / self.mask.mean()
        if self.judges.sync:
            by_run = self.judges.sync(made, batch["mfcc"], batch["mfcc_valid"])  # (B,)
            heard = with_speech[::RUN_FRAMES].float()  # lips without speech cannot be in sync with it
            losses["sync"] = (by_run * heard).mean()
        return losses

    def _weights(self) -> dict[str, float]:
        settings = self.config.second_stage
        return {
            "latents": 1.0,
            "adversarial": settings.adversarial_weight,
            "features": settings.feature_weight,
            "critic": 1.0,  # its own, which does not reach the denoiser
            "perceptual": settings.perceptual_weight,
            "temporal": settings.temporal_weight,
            "sync": settings.sync_weight,
        }
