"""Generate crops, autoregressive over frames and batched over clips: Î_{t-1} is the pose frame of frame t.

Frames go as a wavefront: the bottleneck lets so little of Î_{t-1} through that its z_0 as estimated after
`sample.pose_steps` will do. With 3 steps and pose_steps 1, each column is one batch of the denoiser, over all clips:

    frame 0   1 2 3          yielded when its third step is taken
    frame 1     1 2 3        begins when frame 0 has taken one
    frame 2       1 2 3
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from syncdiff.config import Config
from syncdiff.device import autocast
from syncdiff.diffusion.sampler import Denoising, guidance_map, step
from syncdiff.diffusion.schedule import Scheduler, scheduler
from syncdiff.models.autoencoder import BATCH, decode, encode, load_autoencoder
from syncdiff.models.denoiser import Denoiser, VisualPriors, load_denoiser
from syncdiff.priors import masked_frame, mouth_mask, reduce_pose


class Rows(Protocol):
    """Rows (T, D) that can be read in slices (n, D): an array, or `LongSpeech`."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Target:
    """A clip whose mouth is to be generated.

    crops: a stream of (S, S, 3) uint8 aligned crops; under the mask they are never looked at.
    identity: (S, S, 3) uint8, the identity frame.
    speech: (R, D) stored features of the driving audio.
    noise_seed: of z_T, which all frames of a clip share: what the priors leave open then does not flicker.
    rows: (T,) which of `speech` is that of each frame; None: the clip has 25 frames a second, R = T.
    stride: rows of `speech` in 40 ms.
    """

    crops: Iterable[np.ndarray]
    identity: np.ndarray
    speech: Rows
    noise_seed: int
    rows: np.ndarray | None = None
    stride: int = 1

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.speech) if self.rows is None else len(self.rows)

    def windows(self, times: range, width: int) -> tuple[Tensor, Tensor]:
        """Return what `speech_windows` gives around some of the frames."""
        rows = times if self.rows is None else self.rows[times.start : times.stop]
        return speech_windows(self.speech, rows, width, self.stride)


@dataclass(frozen=True)
class Networks:
    """The trained networks of one experiment and how it samples."""

    config: Config
    denoiser: Denoiser
    autoencoder: AutoencoderKL
    scheduler: Scheduler
    device: torch.device

    def autocast(self) -> AbstractContextManager[None]:
        """Let torch compute as the config says; not to be held while a generator waits."""
        return autocast(self.config.mixed_precision, self.device)


def load_networks(config: Config, denoiser: Path, autoencoder: Path, device: torch.device) -> Networks:
    """Load what `generate` needs."""
    return Networks(
        config,
        load_denoiser(config, denoiser, device),
        load_autoencoder(autoencoder, device),
        scheduler(config.diffusion, config.sample),
        device,
    )


@dataclass
class Frame:
    """Frame t of all clips that have one, under way.

    own: (B_t, S, S, 3) uint8 crops of the targets.
    crops: (B_t, S, S, 3) uint8, the latest picture of it; before the first, `own`.
    """

    own: np.ndarray
    denoising: Denoising
    crops: np.ndarray

    def latest(self) -> Tensor:
        """Return z_0 (B_t, C, h, w), as far as it is known."""
        return self.denoising.latents if self.denoising.finished else self.denoising.estimate


@dataclass(frozen=True)
class Previous:
    """Î_{t-1} of each clip of a batch, in the two forms that the denoiser may read; at t = 0 the identity frame."""

    pose: Tensor  # (B, r, r, 3) in [-1, 1]
    latents: Tensor  # (B, C, h, w)


Callback = Callable[[int, Previous], Previous]
"""Called before each frame t with what comes before it; what it returns is used instead."""


def generate(
    networks: Networks, targets: Sequence[Target], callback: Callback | None = None, ahead: int | None = None
) -> Iterator[np.ndarray]:
    """Yield the frames t = 0, 1, ... of all targets that are that long: (B_t, S, S, 3) uint8 crops.

    Outside the mouth mask a crop is the target's own. Memory does not grow with the length of the targets.

    Args:
        networks: of one experiment.
        targets: in order of falling length, so that the first B_t of them are those with a frame t.
        callback: looks at the frame before each frame, or changes it.
        ahead: so many crops are asked for and encoded at a time; None: `BATCH`.
    """
    sample, size = networks.config.sample, networks.config.faces.size
    pose_steps = min(sample.pose_steps or sample.steps, sample.steps)
    mask = mouth_mask(size)
    streams = [_inputs(networks, target, mask, ahead or BATCH) for target in targets]
    identity_frames = np.stack([target.identity for target in targets])
    with networks.autocast():
        identity = encode(networks.autoencoder, identity_frames)
    guidance = guidance_map(sample.guidance, size, identity)
    noise = torch.cat([_noise(target, identity) for target in targets])
    previous = Previous(_pose(networks, identity_frames), identity)
    under_way: deque[Frame] = deque()
    n_frames = targets[0].n_frames
    for t in range(n_frames):
        present = [stream for stream, target in zip(streams, targets, strict=True) if t < target.n_frames]
        previous = callback(t, previous) if callback else previous
        newest = _begin(networks, list(map(next, present)), noise, identity, previous)
        under_way.append(newest)
        while under_way and (newest.denoising.n_done < pose_steps or t == n_frames - 1):
            _advance(networks, under_way, guidance, pose_steps, mask)
            if under_way[0].denoising.finished:
                yield under_way.popleft().crops
        previous = Previous(_pose(networks, newest.crops), newest.latest())


def _inputs(
    networks: Networks, target: Target, mask: np.ndarray, ahead: int
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Yield what each frame of a target brings along, encoded a batch at a time.

    Its crop (S, S, 3) uint8, the latents (C, h, w) of the masked frame, the context (W, E) of the speech around it.
    """
    crops = iter(target.crops)
    for start in range(0, target.n_frames, ahead):
        times = range(start, min(start + ahead, target.n_frames))
        own = list(islice(crops, len(times)))
        windows, valid = target.windows(times, networks.config.speech.window_frames)
        with networks.autocast(), torch.inference_mode():
            masked = encode(networks.autoencoder, masked_frame(np.stack(own), mask))
            context = networks.denoiser.context(windows.to(networks.device), valid.to(networks.device))
        yield from zip(own, masked, context, strict=True)


@torch.inference_mode()
def _begin(
    networks: Networks,
    inputs: Sequence[tuple[np.ndarray, Tensor, Tensor]],
    noise: Tensor,
    identity: Tensor,
    previous: Previous,
) -> Frame:
    """Return the next frame of the first clips of a batch, before its first step."""
    n = len(inputs)
    crops, masked, context = zip(*inputs, strict=True)
    priors = VisualPriors(torch.stack(masked), identity[:n], previous.pose[:n], previous.latents[:n])
    with networks.autocast():
        condition = networks.denoiser.condition(priors)
    own = np.stack(crops)
    return Frame(own, Denoising(noise[:n], condition, torch.stack(context), copy.deepcopy(networks.scheduler)), own)


def _advance(
    networks: Networks, frames: Sequence[Frame], guidance: Tensor | None, pose_steps: int, mask: np.ndarray
) -> None:
    """Take all frames a step further; decode those that the next frame, or the caller, then looks at."""
    with networks.autocast():
        step(networks.denoiser, [frame.denoising for frame in frames], guidance)
    shown = [frame for frame in frames if frame.denoising.finished or frame.denoising.n_done == pose_steps]
    if shown:
        with networks.autocast():
            crops = decode(networks.autoencoder, torch.cat([frame.latest() for frame in shown]))
        ends = np.cumsum([len(frame.own) for frame in shown])[:-1]
        for frame, generated in zip(shown, np.split(crops, ends), strict=True):
            frame.crops = blend(frame.own, generated, mask)


def speech_windows(speech: Rows, centres: range | np.ndarray, width: int, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Return rows (n, W, D) of `speech`, `stride` apart, around the `centres` (n,), which do not fall.

    They are zero where valid (n, W) is false: past its ends.
    """
    rows = np.array(centres)[:, None] + stride * (np.arange(width) - width // 2)  # (n, W)
    valid = (rows >= 0) & (rows < len(speech))
    inside = rows.clip(0, len(speech) - 1)
    first = inside[0, 0]
    windows = speech[first : inside[-1, -1] + 1][inside - first] * valid[..., None]
    return torch.from_numpy(windows), torch.from_numpy(valid)


def _noise(target: Target, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(target.noise_seed)  # on the CPU: the same noise on every device
    return torch.randn(1, *like.shape[1:], generator=generator).to(like)


def _pose(networks: Networks, frames: np.ndarray) -> Tensor:
    pose = reduce_pose(frames, networks.config.priors.pose_size)
    return torch.from_numpy(pose).to(networks.device).float() / 127.5 - 1


def blend(own: np.ndarray, generated: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return crops (N, S, S, 3) uint8: `generated` under the mask (S, S) in [0, 1], `own` elsewhere."""
    share = mask[None, :, :, None]
    return np.round(own * (1 - share) + generated * share).astype(np.uint8)
