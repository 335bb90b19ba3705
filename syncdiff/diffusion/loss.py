"""The denoising loss, weighted over the frame: the lips most, what is visible anyway hardly.

Over timesteps it is not weighted: the denoiser predicts z_0, and at noise levels near T, where the priors and the
speech are all that it has, an error in z_0 counts as much as at others. On the demo corpus, 25,000 samples of it gave
a mouth_corr of 0.57 and of v-prediction 0.36 (one run each, with an autoencoder of 4-pixel patches).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from accelerate import PartialState
from diffusers import DDPMScheduler
from torch import Tensor

from syncdiff.config import Config
from syncdiff.diffusion.ssim import SSIMLoss
from syncdiff.diffusion.sync_loss import SyncLoss, sync_windows
from syncdiff.models.denoiser import Denoiser, VisualPriors
from syncdiff.priors import lip_region, mouth_mask
from syncdiff.speech.mfcc import WINDOW_FRAMES

VISIBLE_WEIGHT = 0.1  # outside the mask: there, crops keep their own pixels


class Draws:
    """Random numbers for each sample of a step: drawn for the batch of all processes, then cut to this one's samples.

    All processes draw from one seed. So a sample gets the same numbers, however many processes share the batch.
    The frames of a sync window, which follow the samples, share theirs, as the frames of a clip do in sampling.
    """

    def __init__(self, n_samples: int, n_windows: int, device: torch.device) -> None:
        state = PartialState()
        rank, world = state.process_index, state.num_processes
        spare = -sync_windows(n_samples * world) % world if n_windows else 0
        total = n_windows * world - spare
        places = rank + world * torch.arange(n_windows, device=device)
        self.own = slice(rank, None, world), places % max(total, 1)
        self.totals = n_samples * world, total
        self.counted, self.world = places < total, world
        self.device = device

    def integers(self, high: int) -> Tensor:
        """Return (B + 5 G,) int64 in [0, high)."""
        return self._each(lambda total: torch.randint(high, (total,), device=self.device))

    def uniform(self) -> Tensor:
        """Return (B + 5 G,) in [0, 1)."""
        return self._each(lambda total: torch.rand(total, device=self.device))

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Return (B + 5 G, *shape) of unit variance."""
        return self._each(lambda total: torch.randn(total, *shape, device=self.device))

    def mean_over_windows(self, values: Tensor) -> Tensor:
        """Return of (G,) what, averaged over the processes, is the mean over the step's sync windows."""
        return (values * self.counted).sum() * self.world / self.totals[1]

    def _each(self, draw: Callable[[int], Tensor]) -> Tensor:
        samples, windows = (draw(total)[own] for total, own in zip(self.totals, self.own, strict=True))
        return torch.cat([samples, windows.repeat_interleave(WINDOW_FRAMES, dim=0)])


class DiffusionLoss:
    """E || z_0 - denoiser(z_t, t, priors, speech) ||^2, Ho et al. 2020, eq. 14 for z_0, with the priors' dropout.

    With `ssim`, `diffusion.ssim_weight` times 1 - SSIM of predicted z_0 is added.

    With `sync`, `train.sync_weight` times the sync loss of predicted z_0 is added. A window counts as much as there is
    noise in its z_t, 1 - abar_t: where z_t shows the true lips, to predict them is all there is to learn.

    Args:
        config: reads `diffusion` (weights), `denoiser` (dropout and noise of the pose frame), `faces.size` and
            `train.sync_weight`.
        schedule: the forward process.
        ssim: for the samples of the denoising loss.
        sync: for the batch's sync windows, which the denoising loss leaves out.
    """

    def __init__(
        self,
        config: Config,
        schedule: DDPMScheduler,
        ssim: SSIMLoss | None = None,
        sync: SyncLoss | None = None,
    ) -> None:
        self.config = config
        self.schedule = schedule
        self.ssim = ssim
        self.sync = sync
        size = config.faces.size
        hidden, lips = torch.from_numpy(mouth_mask(size)), torch.from_numpy(lip_region(size))
        self.weight = (VISIBLE_WEIGHT + hidden + config.diffusion.lip_weight * lips)[None, None]  # (1, 1, S, S)
        self.lips = lips[None, None]

    def __call__(self, denoiser: Denoiser, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return {"loss", "loss_lips"} of a batch from `training.windows`, all scalars.

        There are "loss_ssim" with `ssim` and "loss_sync" with `sync` too.
        """
        latents = batch["latents"]  # (B + 5 G, C, h, w)
        n_windows = len(batch["mfcc"]) if self.sync else 0
        n_samples = len(latents) - WINDOW_FRAMES * n_windows
        draw = Draws(n_samples, n_windows, latents.device)
        timesteps = draw.integers(len(self.schedule.betas))
        noisy = self.schedule.add_noise(latents, draw.normal(latents.shape[1:]), timesteps)
        with_speech = draw.uniform() >= self.config.denoiser.speech_dropout
        with_speech[n_samples:] = True  # lips without speech cannot be in sync with it
        priors = self._priors(batch, draw)
        prediction = denoiser(noisy, timesteps, priors, batch["speech"], batch["valid"], with_speech)
        squared = (prediction.float() - latents)[:n_samples].square()
        losses = {"loss": weighted_mean(squared, self.weight), "loss_lips": weighted_mean(squared, self.lips)}
        if self.ssim:
            losses["loss_ssim"] = self.ssim(prediction[:n_samples], latents[:n_samples])
            losses["loss"] = losses["loss"] + self.config.diffusion.ssim_weight * losses["loss_ssim"]
        if self.sync:
            by_window = self.sync(prediction[n_samples:].float(), batch["mfcc"], batch["mfcc_valid"])  # (G,)
            noise = 1 - self.schedule.alphas_cumprod.to(by_window.device)[timesteps[n_samples::WINDOW_FRAMES]]
            losses["loss_sync"] = draw.mean_over_windows(noise * by_window)
            losses["loss"] = losses["loss"] + self.config.train.sync_weight * losses["loss_sync"]
        return losses

    def _priors(self, batch: dict[str, Tensor], draw: Draws) -> VisualPriors:
        settings = self.config.denoiser
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
