"""Sampling the latents of one frame of several clips at once."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from syncdiff.diffusion.schedule import Solver
from syncdiff.models.denoiser import Denoiser


@torch.inference_mode()
def sample_latents(
    denoiser: Denoiser,
    solver: Solver,
    noise: Tensor,
    condition: Tensor,
    context: Tensor,
    silence: Tensor,
    guidance: float,
) -> Tensor:
    """Denoise one frame of each clip of a batch from z_T to z_0.

    Args:
        denoiser: in eval mode.
        solver: with its timesteps set; it is not changed.
        noise: (B, C, h, w) z_T.
        condition: (B, K, h, w) planes of the three visual priors.
        context: (B, W, E) cross-attention context of the speech.
        silence: (B, W, E) context of dropped speech; only read when `guidance` is not 1.
        guidance: w of classifier-free guidance, silence + w (speech - silence) (Ho & Salimans 2022, eq. 6).

    Returns:
        (B, C, h, w) scaled latents z_0.
    """
    solver = copy.deepcopy(solver)  # multistep solvers remember their last steps
    latents = noise
    for timestep in solver.timesteps:
        at = timestep.to(noise.device).expand(len(noise))
        output = denoiser.denoise(latents, at, condition, context)
        if guidance != 1:
            unheard = denoiser.denoise(latents, at, condition, silence)
            output = unheard + guidance * (output - unheard)
        latents = solver.step(output, timestep, latents).prev_sample
    return latents
