"""A critic that is trained beside a network, to tell the network's mouths from real ones, patch by patch.

Patches as of Isola et al. 2017 (pix2pix, section 3.2.2), the hinge loss of Miyato et al. 2018 (eq. 16, 17) with their
spectral norm, and features matched as by Wang et al. 2018 (pix2pixHD, eq. 4).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm

from syncdiff.priors import mouth_mask

N = TypeVar("N", bound=nn.Module)

WIDTHS = (3, 32, 64, 128)  # channels in front of, between and behind the layers that halve the side
SLOPE = 0.2  # of the leaky ReLU


class Critic(nn.Module):
    """Convolutions from pictures (N, 3, H, W) to a score for each patch of 22 pixels, 8 apart: more is more real."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(*widths, kernel_size=4, stride=2, padding=1) for widths in pairwise(WIDTHS)]
        self.layers = nn.ModuleList(map(spectral_norm, layers))
        self.score = spectral_norm(nn.Conv2d(WIDTHS[-1], 1, kernel_size=1))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the features behind each layer, and at last the scores (N, 1, h, w)."""
        found = [pictures]
        for layer in self.layers:
            found.append(F.leaky_relu(layer(found[-1]), SLOPE))
        return [*found[1:], self.score(found[-1])]


class WithCritic(nn.Module, Generic[N]):
    """A network and, where it is wanted, its critic, trained in the same steps: one backward pass has both gradients.

    The critic's own loss does not reach the network, and the network's does not reach the critic.
    """

    def __init__(self, network: N, wanted: bool) -> None:
        super().__init__()
        self.network = network
        self.critic = Critic() if wanted else None  # processes that share a step wait for gradients of all there is

    def forward(self, compute: Callable[..., dict[str, Tensor]], *inputs: Any) -> dict[str, Tensor]:
        """Return `compute(self, *inputs)`: what processes share in training must begin here."""
        return compute(self, *inputs)

    def criticise(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Compare pictures that the network made with the real ones that they should be, both (N, 3, H, W) in [-1, 1].

        Returns:
            scalars: "adversarial" and "features", for the network; "critic", for the critic.
        """
        assert self.critic is not None
        on_real, on_made = self.critic(torch.cat([real, made.detach()]))[-1].chunk(2)
        still = {name: weights.detach() for name, weights in self.critic.named_parameters()}
        *features, score = functional_call(self.critic, still, torch.cat([real, made]))
        errors = [(a - b).abs().mean() for a, b in (layer.chunk(2) for layer in features)]
        return {
            "adversarial": -score[len(real) :].mean(),
            "features": torch.stack(errors).mean(),
            "critic": F.relu(1 - on_real).mean() + F.relu(1 + on_made).mean(),
        }


def mouth_window(size: int) -> tuple[slice, slice]:
    """Return rows and columns of a crop of `size` pixels around its mouth region: what a critic is shown."""
    hidden = mouth_mask(size) > 0
    rows, columns = (torch.from_numpy(hidden.any(axis=axis)).nonzero()[:, 0] for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
