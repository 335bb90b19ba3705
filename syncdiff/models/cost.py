"""What the networks of a config cost, counted without their memory: on torch's meta device."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.models.autoencoder import build_autoencoder, load_autoencoder, posterior, reconstruct
from syncdiff.models.critic import WithCritic, mouth_window
from syncdiff.models.denoiser import Denoiser, VisualPriors
from syncdiff.models.lpips import VGG16, Lpips
from syncdiff.models.syncnet import SyncNet
from syncdiff.pipeline.files import short_message
from syncdiff.speech.mfcc import WINDOW_FRAMES, WINDOW_MFCC

M = TypeVar("M", bound=nn.Module)


class NetworkCosts:
    """Autoencoder and denoiser of a config on the meta device, and what one sample costs, in GFLOP.

    A multiplication with its addition counts as two operations.

    Raises:
        UserError: they cannot be built, or do not fit together.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        try:
            self.autoencoder = _autoencoder(config)
            side = config.faces.size
            self.pixels = torch.zeros(1, 3, side, side, device="meta")
            self.latents = posterior(self.autoencoder, self.pixels).mean
            if self.latents.shape[1] != config.autoencoder.latent_channels:
                raise ValueError(f"the autoencoder has {self.latents.shape[1]} latent channels")
            self.denoiser = _on_meta(lambda: Denoiser(config))
            self.denoise_gflop = gflop(self._denoise)
        except (RuntimeError, ValueError, TypeError) as error:
            raise UserError(
                f"config: the networks cannot be built ({short_message(error)}); "
                "mend faces.size, autoencoder.*, denoiser.*"
            ) from None

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(C, h, w)."""
        return tuple(self.latents.shape[1:])

    @property
    def speech_dim(self) -> int:
        """Width of the stored speech features."""
        speech = self.denoiser.speech
        return speech.context_dim if speech.frozen_layers else speech.encoder.config.audio_dim

    @property
    def passes_per_frame(self) -> int:
        """Passes of the denoiser for one output frame: guidance takes two a step."""
        sample = self.config.sample
        return sample.steps * (1 if sample.guidance == 1 else 2)

    @property
    def batches_per_frame(self) -> int:
        """Times that the denoiser is called for one output frame: the other steps run in later frames' batches."""
        sample = self.config.sample
        return min(sample.pose_steps or sample.steps, sample.steps)

    def encode_gflop(self) -> float:
        """Of one crop to its latents."""
        return gflop(lambda: posterior(self.autoencoder, self.pixels).mean)

    def autoencoder_gflop(self) -> float:
        """Of one training sample, backward pass included."""
        return gflop(lambda: _backward(reconstruct(self.autoencoder, posterior(self.autoencoder, self.pixels).mean)))

    def train_gflop(self) -> float:
        """Of one training sample of the denoiser, backward pass included."""
        return gflop(lambda: _backward(self._denoise()))

    def second_stage_gflop(self) -> float:
        """Of one frame of the second stage: sampled, decoded, seen by critic and LPIPS; backward pass included.

        The sync expert is not in it: it sees five small pictures at once.
        """
        settings = self.config.second_stage
        return settings.sample_steps * self.train_gflop() + gflop(self._judge)

    def frame_gflop(self) -> float:
        """Of one output frame: encode the masked frame, denoise in `sample.steps` steps, decode."""
        once = gflop(lambda: (self._context(), self.denoiser.condition(self._priors())))
        decode = gflop(lambda: reconstruct(self.autoencoder, self.latents))
        return self.encode_gflop() + once + self.passes_per_frame * (self.denoise_gflop - once) + decode

    def syncnet_gflop(self) -> float:
        """Of one training window of the SyncNet, backward pass included."""
        settings = self.config.syncnet
        net = _on_meta(lambda: SyncNet(settings.width, settings.image_size))
        side = settings.image_size
        frames = torch.zeros(2, 3, WINDOW_FRAMES, side, side, device="meta")  # batch norm needs two
        audio = torch.zeros(2, 13, WINDOW_MFCC, device="meta")
        return gflop(lambda: _backward(torch.cat(net(frames, audio)))) / 2

    def _judge(self) -> None:
        settings, window = self.config.second_stage, (..., *mouth_window(self.config.faces.size))
        autoencoder, latents = copy.deepcopy(self.autoencoder).requires_grad_(False), self.latents.detach()
        real = reconstruct(autoencoder, latents)[window]
        made = reconstruct(autoencoder, latents.requires_grad_())[window]
        losses = [(made - real).square().mean()]
        if settings.with_critic:
            losses += _on_meta(lambda: WithCritic(nn.Identity(), True)).criticise(made, real).values()
        if settings.with_lpips:
            losses.append(_on_meta(lambda: Lpips(VGG16)).requires_grad_(False)(made, real).mean())
        torch.stack(losses).sum().backward()

    def _denoise(self) -> Tensor:
        with_speech = torch.ones(1, dtype=torch.bool, device="meta")
        timestep = torch.zeros(1, dtype=torch.long, device="meta")
        return self.denoiser(self.latents.detach(), timestep, self._priors(), *self._speech(), with_speech)

    def _context(self) -> Tensor:
        return self.denoiser.context(*self._speech())

    def _priors(self) -> VisualPriors:
        r, latents = self.config.priors.pose_size, self.latents.detach()
        return VisualPriors(latents, latents, torch.zeros(1, r, r, 3, device="meta"), latents)

    def _speech(self) -> tuple[Tensor, Tensor]:
        width = self.config.speech.window_frames
        valid = torch.ones(1, width, dtype=torch.bool, device="meta")
        return torch.zeros(1, width, self.speech_dim, device="meta"), valid


def _autoencoder(config: Config) -> AutoencoderKL:
    if config.autoencoder.pretrained:
        loaded = load_autoencoder(config.autoencoder.pretrained, torch.device("cpu"))
        return loaded.requires_grad_(True).to("meta")
    return _on_meta(lambda: build_autoencoder(config.autoencoder))


def _on_meta(build: Callable[[], M]) -> M:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a checkpoint's values cannot be kept there
        return build().to("meta").train()


def _backward(output: Tensor) -> None:
    output.square().mean().backward()


def gflop(work: Callable[[], object]) -> float:
    """Count what `work` computes, in GFLOP; attention as the two products that it is, whatever kernel would run."""
    mended = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=mended) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return counter.get_total_flops() / 1e9


def _convolution_backward(gradient: Sequence[int], _: object, weight: Sequence[int], *rest: Any, **__: object) -> int:
    """Count a convolution's backward pass from shapes: each gradient asked for costs as much as the forward pass.

    torch's own count takes a grouped convolution's weight gradient for an ungrouped one's (2.13).
    """
    asked = rest[7]  # bias sizes, stride, padding, dilation, transposed, output padding and groups come before it
    forward = 2 * gradient[0] * math.prod(gradient[2:]) * math.prod(weight)
    return forward * sum(asked[:2])  # of the input and of the weights


def parameters(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(weights.numel() for weights in network.parameters())
