"""The autoencoder between crops and latents: diffusers' AutoencoderKL, trained here or pretrained."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from syncdiff.config import Autoencoder
from syncdiff.errors import UserError
from syncdiff.pipeline.files import short_message
from syncdiff.pipeline.provenance import SUFFIX

WEIGHTS = "diffusion_pytorch_model.safetensors"  # in diffusers' layout, beside config.json
BATCH = 64  # frames encoded or decoded at once
START_LOG_VARIANCE = -8.0  # of the posterior: almost no noise
SPARE_CHANNELS = 16  # of the hidden layers, beside those that carry the latents
PROBE_SIDE = 5  # latents: a decoded middle one is far from the edges
PROBE_STEP = 0.5  # of scaled latents, whose variance is one
BALLAST = 1_000.0  # in the constant channels: values of patches, which are below 14, hardly count beside it


def build_autoencoder(settings: Autoencoder) -> AutoencoderKL:
    """Build an untrained autoencoder on patches of pixels, one latent vector for each, without attention.

    Its first layer sees a patch as 3 p^2 channels: all its convolutions are at the resolution of the latents. One core
    decoded 422 frames of 64 pixels a second so, and 142 by an autoencoder of few channels at full resolution.
    """
    channels = 3 * settings.patch_size**2
    autoencoder = AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(2 * settings.latent_channels + SPARE_CHANNELS,),
        layers_per_block=1,
        latent_channels=settings.latent_channels,
        norm_num_groups=1,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )
    return autoencoder.to(memory_format=torch.channels_last)


@torch.no_grad()
def start_linear(autoencoder: AutoencoderKL, mean: Tensor, components: Tensor) -> None:
    """Set an untrained autoencoder to a linear one: latents are projections of patches on principal components.

    Training starts from there instead of spending itself on getting there: on 10 test clips of the demo corpus, with
    patches of 4 pixels and 16 channels, SSIM was 0.986 at step 0 and 0.87 after 1,000 steps from random weights.

    Residual blocks begin as identities. The nonlinearity before each last convolution is undone by carrying every value
    twice, x and -x, as silu(x) - silu(-x) = x; its group norm by two constant channels that outweigh the rest, and end
    there: convolutions would learn from nothing else.

    Args:
        autoencoder: of `build_autoencoder`.
        mean: (3 p^2,) of patches.
        components: (latent_channels, 3 p^2), orthonormal rows.
    """
    blocks = [module for module in autoencoder.modules() if isinstance(module, ResnetBlock2D)]
    for block in blocks:
        nn.init.zeros_(block.conv2.weight)
        nn.init.zeros_(block.conv2.bias)
    last = (half.conv_norm_out for half in (autoencoder.encoder, autoencoder.decoder))
    for norm in (*(block.norm1 for block in blocks), *last):  # those that see the constant channels
        norm.weight.fill_(BALLAST * math.sqrt(2 / norm.num_channels))  # its divisor
        norm.weight[-2:] = 0
    encoder, decoder = autoencoder.encoder, autoencoder.decoder
    same = torch.eye(len(components))
    offset = components @ mean
    _pointwise(encoder.conv_in, torch.cat([components, -components]), torch.cat([-offset, offset]))
    _pointwise(encoder.conv_out, torch.cat([same, -same], dim=1))
    _pointwise(autoencoder.quant_conv, same)
    autoencoder.quant_conv.bias[len(components) :] = START_LOG_VARIANCE
    _pointwise(autoencoder.post_quant_conv, same)
    _pointwise(decoder.conv_in, torch.cat([same, -same]))
    _pointwise(decoder.conv_out, torch.cat([components.T, -components.T], dim=1), mean)
    for convolution in (encoder.conv_in, decoder.conv_in):
        convolution.bias[-2], convolution.bias[-1] = BALLAST, -BALLAST


def _pointwise(convolution: nn.Conv2d, matrix: Tensor, bias: Tensor | None = None) -> None:
    """Let a convolution multiply its first channels by `matrix` (out, in), pixel by pixel, and do nothing else."""
    assert convolution.bias is not None
    middle = convolution.kernel_size[0] // 2
    convolution.weight.zero_()
    convolution.weight[: matrix.shape[0], : matrix.shape[1], middle, middle] = matrix
    convolution.bias.zero_()
    if bias is not None:
        convolution.bias[: len(bias)] = bias


def load_autoencoder(folder: Path | str, device: torch.device) -> AutoencoderKL:
    """Load a folder in diffusers' layout (config.json and weights), such as stabilityai/sd-vae-ft-mse.

    Raises:
        UserError: the folder is not there, or holds something else.
    """
    if not (Path(folder) / "config.json").is_file():
        raise UserError(f"{folder}: no config.json of an autoencoder; name a folder in diffusers' AutoencoderKL layout")
    try:
        autoencoder = AutoencoderKL.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # diffusers builds whatever config.json says, and that can be anything
        fault = short_message(error)
        raise UserError(f"{folder}: not a loadable diffusers AutoencoderKL ({fault}); download it again") from None
    return autoencoder.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def weights_in(folder: Path) -> list[Path]:
    """Return the files that an autoencoder is read from: its weights, whichever form they have there, and its config.

    The latter has the latents' scale. What stands beside them (provenance, which says when) is none of them.
    """
    weights = sorted(file for file in folder.glob(f"{Path(WEIGHTS).stem}*") if not file.name.endswith(SUFFIX))
    return [*weights, folder / "config.json"]


def to_pixels(frames: np.ndarray, device: torch.device) -> Tensor:
    """Map uint8 frames (N, S, S, 3) to float32 pixels (N, 3, S, S) in [-1, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2)  # channels-last in memory
    return pixels.float() / 127.5 - 1


def to_frames(pixels: Tensor) -> np.ndarray:
    """Map pixels (N, 3, S, S) in [-1, 1] to uint8 frames (N, S, S, 3)."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def patch_size(autoencoder: AutoencoderKL) -> int:
    """Return the side p of the patches that are the network's pixels; 1 for published autoencoders."""
    return math.isqrt(autoencoder.config.in_channels // 3)


def posterior(autoencoder: AutoencoderKL, pixels: Tensor) -> DiagonalGaussianDistribution:
    """Encode pixels (N, 3, S, S) to the distribution of their unscaled latents."""
    return autoencoder.encode(F.pixel_unshuffle(pixels, patch_size(autoencoder))).latent_dist


def reconstruct(autoencoder: AutoencoderKL, latents: Tensor) -> Tensor:
    """Decode unscaled latents (N, C, h, w) to pixels (N, 3, S, S), about in [-1, 1]."""
    return F.pixel_shuffle(autoencoder.decode(latents).sample, patch_size(autoencoder))


@torch.no_grad()
def linear_part(autoencoder: AutoencoderKL) -> tuple[Tensor, Tensor]:
    """Return what the decoder makes of equal scaled latents z, to first order: patches `components @ z + mean`.

    `components` (3 p^2, C) and `mean` (3 p^2,) are in the order of `F.pixel_unshuffle`; p is the number of pixels that
    a latent stands for, along each side.
    """
    axes = PROBE_STEP * torch.eye(autoencoder.config.latent_channels, device=autoencoder.device)
    probes = torch.cat([torch.zeros_like(axes[:1]), axes, -axes])[..., None, None]  # (1 + 2 C, C, 1, 1)
    planes = probes.expand(-1, -1, PROBE_SIDE, PROBE_SIDE)
    pixels = reconstruct(autoencoder, planes / autoencoder.config.scaling_factor)
    p = pixels.shape[-1] // PROBE_SIDE
    middle = slice(PROBE_SIDE // 2 * p, (PROBE_SIDE // 2 + 1) * p)
    mean, *moved = pixels[..., middle, middle].flatten(1)
    up, down = torch.stack(moved).chunk(2)
    return (up - down).T / (2 * PROBE_STEP), mean


@torch.inference_mode()
def encode(autoencoder: AutoencoderKL, frames: np.ndarray) -> Tensor:
    """Encode uint8 frames (N, S, S, 3) to scaled latents (N, C, h, w): the posterior's mean, of about unit variance."""
    batches = [frames[start : start + BATCH] for start in range(0, len(frames), BATCH)]
    latents = [posterior(autoencoder, to_pixels(batch, autoencoder.device)).mean for batch in batches]
    return torch.cat(latents).float() * autoencoder.config.scaling_factor


@torch.inference_mode()
def decode(autoencoder: AutoencoderKL, latents: Tensor) -> np.ndarray:
    """Decode scaled latents (N, C, h, w) to uint8 frames (N, S, S, 3)."""
    batches = (latents / autoencoder.config.scaling_factor).split(BATCH)
    return np.concatenate([to_frames(reconstruct(autoencoder, batch)) for batch in batches])
