"""Sampling latents a step at a time, with guidance; frames which have got to different steps share a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from syncdiff.diffusion.schedule import Scheduler
from syncdiff.models.denoiser import Denoiser
from syncdiff.priors import lip_region


@dataclass
class Denoising:
    """One frame of each clip of a batch, on its way from z_T to z_0.

    latents: (B, C, h, w) z_t; at first the noise z_T, in the end the scaled latents z_0.
    condition: what `Denoiser.condition` makes of the three visual priors.
    context: (B, W, E) cross-attention context of the speech.
    scheduler: with its timesteps set, of this frame alone: multistep ones remember their last steps.
    n_done: steps taken.
    estimate: (B, C, h, w) z_0 as the last step predicted it; before the first, the noise.
    """

    latents: Tensor
    condition: Tensor
    context: Tensor
    scheduler: Scheduler
    n_done: int = 0

    def __post_init__(self) -> None:
        self.estimate = self.latents

    @property
    def finished(self) -> bool:
        """Whether the latents are z_0."""
        return self.n_done == len(self.scheduler.timesteps)

    @property
    def timesteps(self) -> Tensor:
        """That of the next step, for each clip (B,)."""
        return self.scheduler.timesteps[self.n_done].to(self.latents.device).expand(len(self.latents))

    def take(self, prediction: Tensor) -> None:
        """Take the next step, by what the denoiser predicts z_0 (B, C, h, w) to be."""
        self.latents = self.scheduler.step(prediction, self.scheduler.timesteps[self.n_done], self.latents).prev_sample
        self.estimate = prediction
        self.n_done += 1


def guidance_map(guidance: float, face_size: int, like: Tensor) -> Tensor | None:
    """Return the strength of guidance for each of latents `like` (B, C, h, w): (h, w); None where it is switched off.

    It is `guidance` at the lips and falls to 1, which is none, away from them [I]: elsewhere it cost SSIM and
    steadiness and gave no sync (docs/decisions.md).
    """
    if guidance == 1:
        return None
    lips = F.adaptive_avg_pool2d(torch.from_numpy(lip_region(face_size)).to(like)[None], like.shape[-1])[0]
    return 1 + (guidance - 1) * lips / lips.max()


@torch.inference_mode()
def step(denoiser: Denoiser, frames: Sequence[Denoising], guidance: Tensor | None) -> None:
    """Take every frame a step further, in one batch.

    Args:
        denoiser: in eval mode.
        frames: unfinished, whatever step each of them has got to.
        guidance: as in `predict`.
    """
    latents = torch.cat([frame.latents for frame in frames])
    timesteps = torch.cat([frame.timesteps for frame in frames])
    condition = torch.cat([frame.condition for frame in frames])
    context = torch.cat([frame.context for frame in frames])
    predictions = predict(denoiser, latents, timesteps, condition, context, guidance)
    sizes = [len(frame.latents) for frame in frames]
    for frame, prediction in zip(frames, predictions.split(sizes), strict=True):
        frame.take(prediction)


def predict(
    denoiser: Denoiser,
    latents: Tensor,
    timesteps: Tensor,
    condition: Tensor,
    context: Tensor,
    guidance: Tensor | None,
) -> Tensor:
    """Predict z_0 (B, C, h, w) with classifier-free guidance, with and without speech in one batch.

    Args:
        latents: (B, C, h, w); timesteps (B,), condition and context (B, W, E) as in `Denoiser.denoise`.
        guidance: w in uncond + w (cond - uncond) (Ho & Salimans 2022, eq. 6), (h, w); None switches it off.
    """
    if guidance is None:
        return denoiser.denoise(latents, timesteps, condition, context)
    latents, timesteps, condition = (torch.cat([part, part]) for part in (latents, timesteps, condition))
    contexts = torch.cat([context, denoiser.uncond_context(context)])
    cond, uncond = denoiser.denoise(latents, timesteps, condition, contexts).chunk(2)
    return uncond + guidance * (cond - uncond)
