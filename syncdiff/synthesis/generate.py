"""Generate crops, autoregressive over frames and batched over clips: Î_{t-1} is the pose frame of frame t."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from syncdiff.config import Config
from syncdiff.diffusion.sampler import sample_latents
from syncdiff.diffusion.schedule import Solver, solver
from syncdiff.models.autoencoder import BATCH, decode, encode, load_autoencoder
from syncdiff.models.denoiser import Denoiser, Priors, load_denoiser
from syncdiff.priors import masked_frame, mouth_mask, reduce_pose


@dataclass(frozen=True)
class Target:
    """A clip whose mouth is to be generated.

    crops: a stream of (S, S, 3) uint8 aligned crops; under the mask they are never looked at.
    identity: (S, S, 3) uint8, the identity frame.
    speech: (T, D) stored features of the driving audio.
    noise_seed: of z_T, which all frames of a clip share: what the priors leave open then does not flicker.
    """

    crops: Iterable[np.ndarray]
    identity: np.ndarray
    speech: np.ndarray
    noise_seed: int


@dataclass(frozen=True)
class Networks:
    """The trained networks of one experiment and how it samples."""

    config: Config
    denoiser: Denoiser
    autoencoder: AutoencoderKL
    solver: Solver
    device: torch.device


def load_networks(config: Config, denoiser: Path, autoencoder: Path, device: torch.device) -> Networks:
    """Load what `generate` needs."""
    return Networks(
        config,
        load_denoiser(config, denoiser, device),
        load_autoencoder(autoencoder, device),
        solver(config.diffusion, config.sample),
        device,
    )


@dataclass
class Previous:
    """Î_{t-1} of each clip of a batch, in the two forms that the denoiser may read; at t = 0 the identity frame."""

    pose: Tensor  # (B, r, r, 3) in [-1, 1]
    latents: Tensor  # (B, C, h, w)


def generate(networks: Networks, targets: Sequence[Target]) -> Iterator[np.ndarray]:
    """Yield the frames t = 0, 1, ... of all targets that are that long: (B_t, S, S, 3) uint8 crops.

    Outside the mouth mask a crop is the target's own. Memory does not grow with the length of the targets.

    Args:
        networks: of one experiment.
        targets: in order of falling length, so that the first B_t of them are those with a frame t.
    """
    mask = mouth_mask(networks.config.faces.size)
    streams = [_masked(networks, target.crops, mask) for target in targets]
    identity_frames = np.stack([target.identity for target in targets])
    identity = encode(networks.autoencoder, identity_frames)
    noise = torch.cat([_noise(target, identity) for target in targets])
    previous = Previous(_reduced(networks, identity_frames), identity)
    for t in range(len(targets[0].speech)):
        n = sum(t < len(target.speech) for target in targets)
        own, masked = zip(*(next(stream) for stream in streams[:n]), strict=True)
        priors = Priors(
            masked=torch.stack(masked),
            identity=identity[:n],
            pose=previous.pose[:n],
            previous=previous.latents[:n],
        )
        latents = _denoise(networks, noise[:n], priors, targets[:n], t)
        frames = blend(np.stack(own), decode(networks.autoencoder, latents), mask)
        previous = Previous(_reduced(networks, frames), latents)
        yield frames


def _denoise(networks: Networks, noise: Tensor, priors: Priors, targets: Sequence[Target], t: int) -> Tensor:
    """Sample z_0 (B, C, h, w) of frame t."""
    window = networks.config.speech.window_frames
    rows, valid = zip(*(speech_window(target.speech, t, window) for target in targets), strict=True)
    denoiser, device = networks.denoiser, networks.device
    with torch.inference_mode():
        context = denoiser.context(torch.stack(rows).to(device), torch.stack(valid).to(device))
        return sample_latents(
            denoiser,
            networks.solver,
            noise,
            denoiser.condition(priors),
            context,
            denoiser.no_context(context),
            networks.config.sample.guidance,
        )


def speech_window(speech: np.ndarray, t: int, width: int) -> tuple[Tensor, Tensor]:
    """Return rows (W, D) of `speech` (T, D) centred at t, zero where valid (W,) is false: beyond the ends."""
    rows = np.arange(t - width // 2, t - width // 2 + width)
    valid = (rows >= 0) & (rows < len(speech))
    window = speech[rows.clip(0, len(speech) - 1)] * valid[:, None]
    return torch.from_numpy(window), torch.from_numpy(valid)


def _masked(networks: Networks, crops: Iterable[np.ndarray], mask: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield each crop with the latents (C, h, w) of its masked frame, encoded a batch at a time."""
    stream = iter(crops)
    while batch := list(islice(stream, BATCH)):
        yield from zip(batch, encode(networks.autoencoder, masked_frame(np.stack(batch), mask)), strict=True)


def _noise(target: Target, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(target.noise_seed)  # on the CPU: the same noise on every device
    return torch.randn(1, *like.shape[1:], generator=generator).to(like)


def _reduced(networks: Networks, frames: np.ndarray) -> Tensor:
    pose = reduce_pose(frames, networks.config.priors.pose_size)
    return torch.from_numpy(pose).to(networks.device).float() / 127.5 - 1


def blend(own: np.ndarray, generated: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return crops (N, S, S, 3) uint8: `generated` under the mask (S, S) in [0, 1], `own` elsewhere."""
    share = mask[None, :, :, None]
    return np.round(own * (1 - share) + generated * share).astype(np.uint8)
