"""The identity frame warped by flows that the UNet predicts: K warped copies, blended by predicted weights.

That a face turns and a jaw falls is so predicted as motion, which carries over to people unlike those of the training;
what the UNet paints beside it is what the identity frame does not show. Flows as in Jaderberg et al. 2015 (spatial
transformers) and Siarohin et al. 2019 (first order motion model) [the idea S, its form I].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FINER = 2  # flows and weights predicted for each latent, along each side; between them they are interpolated
REACH = 0.25  # latents that a flow of 1 moves by: a quarter of a patch


class IdentityWarp(nn.Module):
    """The identity frame's pixels, as far as they are linear in its latents, K warped copies of them, and their blend.

    `to_pixels` and `to_latents` go from latents to pixels and back, each latent for its own patch. They start as the
    autoencoder's linear part (`start`), from which training moves them; the blend starts as the identity frame itself.

    Args:
        channels: C of the latents.
        patch: p, pixels that a latent stands for, along each side.
        n_flows: K.
    """

    def __init__(self, channels: int, patch: int, n_flows: int) -> None:
        super().__init__()
        self.patch = patch
        self.n_flows = n_flows
        self.n_flow_channels = 3 * n_flows * FINER**2  # a weight and a flow's x and y for each copy
        self.to_pixels = nn.Conv2d(channels, 3 * patch**2, 1)
        self.to_latents = nn.Conv2d(3 * patch**2, channels, 1)

    def start(self, components: Tensor, mean: Tensor) -> None:
        """Let a latent z stand for the patch components @ z + mean; components (3 p^2, C), mean (3 p^2,)."""
        back = torch.linalg.pinv(components)  # (C, 3 p^2)
        for layer, matrix, bias in ((self.to_pixels, components, mean), (self.to_latents, back, -back @ mean)):
            layer.load_state_dict({"weight": matrix[..., None, None], "bias": bias})

    def blend(self, identity: Tensor, predicted: Tensor) -> Tensor:
        """Warp the identity frame and return the blend of the copies as latents (B, C, h, w).

        Args:
            identity: (B, 3 p^2, h, w), the frame's pixels, patch by patch, as `to_pixels` makes them of its latents.
            predicted: (B, n_flow_channels, h, w) of the UNet: K weights, the first counted from 1 on, then K flows.
        """
        pixels = F.pixel_shuffle(identity, self.patch)  # (B, 3, S, S)
        finer = upsampling(predicted.shape[-1] * FINER, pixels.shape[-1]).to(predicted)
        planes = finer @ F.pixel_shuffle(predicted, FINER) @ finer.T  # (B, 3 K, S, S)
        weights, flows = planes.split([self.n_flows, 2 * self.n_flows], dim=1)
        copies = warp(pixels, flows.unflatten(1, (self.n_flows, 2)) * (REACH * self.patch)).unbind(dim=2)
        blended = copies[0]
        for copy, weight in zip(copies, weights.split(1, dim=1), strict=True):
            blended = blended + weight * copy  # one after the other: their products need not be held at once
        return self.to_latents(F.pixel_unshuffle(blended, self.patch))


def warp(pixels: Tensor, flows: Tensor) -> Tensor:
    """Return K warped copies (B, 3, K, S, S) of pixels (B, 3, S, S).

    flows (B, K, 2, S, S): how many pixels to the right (x) and below (y) a pixel of the copy is taken from. Beyond the
    edge, the edge goes on.
    """
    n_flows, size = flows.shape[1], pixels.shape[-1]
    at = (2 * torch.arange(size, device=pixels.device) + 1) / size - 1  # of the pixels' middles, edges at -1 and 1
    still = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)  # (S, S, 2)
    places = still + flows.movedim(2, -1) * (2 / size)  # (B, K, S, S, 2)
    # K images, one below the other, need no copies of the source.
    warped = F.grid_sample(pixels, places.flatten(1, 2), padding_mode="border", align_corners=False)  # (B, 3, K S, S)
    return warped.unflatten(2, (n_flows, size))


def upsampling(n: int, size: int) -> Tensor:
    """Return bilinear interpolation of a line of n values to `size` as a matrix (size, n).

    On a CPU two products with it are faster than torch's interpolation, forward and back (docs/decisions.md).
    """
    return F.interpolate(torch.eye(n)[None], size=size, mode="linear")[0].T
