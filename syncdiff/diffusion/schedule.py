"""The noise schedule: one set of betas, seen by the loss and by every sampler."""

from __future__ import annotations

from typing import Any, TypeAlias

from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from syncdiff.config import Diffusion, Sample

Scheduler: TypeAlias = DDIMScheduler | DPMSolverMultistepScheduler


def _betas(diffusion: Diffusion) -> dict[str, Any]:
    return {
        "num_train_timesteps": diffusion.train_timesteps,
        "beta_start": diffusion.beta_start,
        "beta_end": diffusion.beta_end,
        "beta_schedule": "linear",
        "prediction_type": "sample",  # the denoiser predicts z_0
    }


def training_schedule(diffusion: Diffusion) -> DDPMScheduler:
    """The forward process q(z_t | z_0) of Ho et al. 2020, eq. 4."""
    return DDPMScheduler(**_betas(diffusion))


def scheduler(diffusion: Diffusion, sample: Sample) -> Scheduler:
    """DDIM (Song et al. 2021, eta = 0) or DPM-Solver++ 2M (Lu et al. 2022), timesteps spaced back from T.

    "trailing" starts at the last timestep T, where training ends too (Lin et al. 2024, section 3.3).
    """
    if sample.sampler == "ddim":
        schedule: Scheduler = DDIMScheduler(**_betas(diffusion), clip_sample=False, timestep_spacing="trailing")
    else:
        schedule = DPMSolverMultistepScheduler(
            **_betas(diffusion), algorithm_type="dpmsolver++", timestep_spacing="trailing", final_sigmas_type="zero"
        )
    schedule.set_timesteps(sample.steps)
    return schedule
