"""Copying from the identity frame: at each place a mixture of learned linear filters over its latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALL = 0.3  # of the filters' random start, relative to a convolution's


class IdentityCopy(nn.Module):
    """K linear filters over the identity frame, and their mixture.

    Nothing here bends a value, so that people and backgrounds unlike those of the training come through as they are,
    and a filter of 3 x 3 latents can shift what it copies: heads turn. The first filter starts as "the same place",
    the others at random.

    Args:
        channels: C of the latents.
        n_filters: K.
    """

    def __init__(self, channels: int, n_filters: int) -> None:
        super().__init__()
        self.n_filters = n_filters
        self.filters = nn.Conv2d(channels, n_filters * channels, 3, padding=1, bias=False)
        with torch.no_grad():
            self.filters.weight *= SMALL
            self.filters.weight[:channels, :, 1, 1] += torch.eye(channels)

    def filtered(self, identity: Tensor) -> Tensor:
        """Return what each filter makes of identity latents (B, C, h, w): (B, K C, h, w)."""
        return self.filters(identity)

    def mix(self, filtered: Tensor, shares: Tensor) -> Tensor:
        """Add up the filters' planes (B, K C, h, w) by their shares (B, K, h, w) of each place: (B, C, h, w)."""
        planes = filtered.unflatten(1, (self.n_filters, -1))  # (B, K, C, h, w)
        return (shares[:, :, None] * planes).sum(dim=1)
