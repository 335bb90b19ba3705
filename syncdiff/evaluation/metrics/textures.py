"""What stands in for FID's Inception where its weights are not there: fixed oriented filters, nothing trained.

A picture becomes the log energies of its edges and textures (3 octaves, 4 orientations) and its mean colours, each on a
4 x 4 grid. The Fréchet distance of these grows with blur, noise, JPEG, lost resolution and a mouth out of place
(tests/evaluation/test_textures.py). It is a distance of its own: its values mean nothing beside those of Inception.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

NAME = "texture bank v1, stand-in for Inception 2015-12-05"
OCTAVES = 3
ORIENTATIONS = 4
GRID = 4  # cells a side
KERNEL = 7  # pixels a side
WAVELENGTH = 4.0  # pixels, at each octave
SIGMA = 1.8  # pixels: about one octave of bandwidth
NOISE_FLOOR = 1 / 255  # a grey level: weaker texture is not seen
COLOUR_WEIGHT = 4.0  # brings the spread of colours (0..1) near to that of log energies
LUMA = (0.299, 0.587, 0.114)  # BT.601


def texture_features(pictures: Tensor) -> Tensor:
    """Map pictures (N, 3, H, W), RGB in 0..1 and at least 32 pixels a side, to (N, 240) features."""
    luma = (pictures * pictures.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)  # (N, 1, H, W)
    bank = gabor_bank().to(pictures)
    parts = [COLOUR_WEIGHT * _on_grid(pictures)]
    for _ in range(OCTAVES):
        response = F.conv2d(F.pad(luma, [KERNEL // 2] * 4, mode="reflect"), bank)  # (N, 8, H, W)
        energy = response.unflatten(1, (ORIENTATIONS, 2)).square().sum(dim=2).sqrt()  # (N, 4, H, W)
        parts.append(torch.log(_on_grid(energy) + NOISE_FLOOR))
        luma = F.avg_pool2d(luma, 2)
    return torch.cat(parts, dim=1)


def gabor_bank() -> Tensor:
    """Return the even and odd Gabor filters of four orientations, (8, 1, 7, 7), without response to constants."""
    axis = torch.arange(KERNEL) - KERNEL // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    envelope = torch.exp(-(x**2 + y**2) / (2 * SIGMA**2))
    filters = []
    for angle in (math.pi * i / ORIENTATIONS for i in range(ORIENTATIONS)):
        phase = 2 * math.pi / WAVELENGTH * (x * math.cos(angle) + y * math.sin(angle))
        even = envelope * torch.cos(phase)
        filters += [even - envelope * even.sum() / envelope.sum(), envelope * torch.sin(phase)]
    return torch.stack([kernel / kernel.abs().sum() for kernel in filters])[:, None]


def _on_grid(maps: Tensor) -> Tensor:
    """Average (N, C, H, W) in each cell: (N, 16 C)."""
    return F.adaptive_avg_pool2d(maps, GRID).flatten(1)
