"""Copying from the identity frame: its picture, bent by flows that the UNet tells, and added up by shares.

That a face turns and a jaw falls is so told as motion, which carries over to people unlike those of the training; what
is painted beside it is what the identity frame does not show. Flows as in Jaderberg et al. 2015 (spatial transformers)
and Siarohin et al. 2019 (first order motion model) [the idea S, its form I].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FINER = 2  # flows and shares told for each latent, along each side; between them they are interpolated
REACH = 0.25  # latents that a flow of 1 moves by: a quarter of a patch


class IdentityWarp(nn.Module):
    """The identity frame's picture, as far as it is linear in the latents, its K bent copies, and their sum.

    `unfold` and `fold` go from latents to pixels and back, each latent for its own patch. They start as the
    autoencoder's linear part (`start`), from which training moves them; the copies start as the identity frame itself.

    Args:
        channels: C of the latents.
        patch: p, pixels that a latent stands for, along each side.
        n_flows: K.
    """

    def __init__(self, channels: int, patch: int, n_flows: int) -> None:
        super().__init__()
        self.patch = patch
        self.n_flows = n_flows
        self.n_told = 3 * n_flows * FINER**2  # a share and a flow's x and y for each copy
        self.unfold = nn.Conv2d(channels, 3 * patch**2, 1)
        self.fold = nn.Conv2d(3 * patch**2, channels, 1)

    def start(self, components: Tensor, mean: Tensor) -> None:
        """Let a latent z stand for the patch components @ z + mean; components (3 p^2, C), mean (3 p^2,)."""
        back = torch.linalg.pinv(components)  # (C, 3 p^2)
        for layer, matrix, bias in ((self.unfold, components, mean), (self.fold, back, -back @ mean)):
            layer.load_state_dict({"weight": matrix[..., None, None], "bias": bias})

    def picture(self, identity: Tensor) -> Tensor:
        """Return the pixels of identity latents (B, C, h, w), patch by patch: (B, 3 p^2, h, w)."""
        return self.unfold(identity)

    def mix(self, picture: Tensor, told: Tensor) -> Tensor:
        """Bend the picture (B, 3 p^2, h, w) and return the copies' sum as latents (B, C, h, w).

        `told` (B, n_told, h, w) is the UNet's: K shares, the first from 1 on, then the flows.
        """
        pixels = F.pixel_shuffle(picture, self.patch)  # (B, 3, S, S)
        told = F.interpolate(F.pixel_shuffle(told, FINER), size=pixels.shape[-1], mode="bilinear")  # (B, 3 K, S, S)
        shares, flows = told.split([self.n_flows, 2 * self.n_flows], dim=1)
        copies = warp(pixels, flows.unflatten(1, (self.n_flows, 2)) * (REACH * self.patch)).unbind(dim=1)
        mixed = copies[0]
        for copy, share in zip(copies, shares.split(1, dim=1), strict=True):
            mixed = torch.addcmul(mixed, share, copy)  # one after the other: their products need not be held at once
        return self.fold(F.pixel_unshuffle(mixed, self.patch))


def warp(pixels: Tensor, flows: Tensor) -> Tensor:
    """Return K bent copies (B, K, 3, S, S) of pixels (B, 3, S, S).

    flows (B, K, 2, S, S): how many pixels to the right (x) and below (y) a pixel of the copy is taken from. Beyond the
    edge, the edge goes on.
    """
    n_flows, size = flows.shape[1], pixels.shape[-1]
    at = (2 * torch.arange(size, device=pixels.device) + 1) / size - 1  # of the pixels' middles, edges at -1 and 1
    still = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)  # (S, S, 2)
    places = still + flows.movedim(2, -1) * (2 / size)  # (B, K, S, S, 2)
    # K pictures, one below the other, need no copies of the source.
    bent = F.grid_sample(pixels, places.flatten(1, 2), padding_mode="border", align_corners=False)  # (B, 3, K S, S)
    return bent.unflatten(2, (n_flows, size)).transpose(1, 2)
