"""Muon for the weights inside a network, AdamW for all else.

A step of Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) goes along the momentum of a weight's gradient
with all singular values brought towards 1, so that directions that are rare in it count as much as those that dominate.
torch.optim.Muon takes matrices only (torch 2.13); here a convolution is one too, (out, in * height * width), and the
weights of one shape go through the iteration together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
# Of the Newton-Schulz iteration, a x + b x^3 + c x^5 in each step: the first three of the five steps that You Jiacheng
# fitted (2025, as in Dion and Megatron): they bring values to about 0.4 to 1.1, and do no worse on the demo.
COEFFICIENTS = ((4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037))
MARGIN = 1.02  # keeps singular values below 1 at first, however norms are rounded
ADAMW_RMS = 0.2  # of AdamW's steps, about: one learning rate fits both (Liu et al. 2025, arXiv 2502.16982)


class Muon(torch.optim.AdamW):
    """Steps of Muon for `inner` weights (out, in, ...), of AdamW for the `others`.

    Each inner group of parameters holds the weights of one shape. Their momenta are one array, kept with the first of
    them where AdamW keeps its first moment. Autocast sets the precision of the iteration.
    """

    def __init__(self, inner: Iterable[nn.Parameter], others: Sequence[nn.Parameter], lr: float, **adamw: Any) -> None:
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for weight in inner:
            shapes.setdefault(weight.flatten(1).shape, []).append(weight)
        groups = [{"params": weights, "muon": True} for weights in shapes.values()]
        super().__init__([*groups, {"params": others, "muon": False}], lr, **adamw)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step."""
        for group in self.param_groups:
            if group["muon"]:
                self._orthogonal_step(group["params"], group["lr"])
        super().step(closure)

    def _orthogonal_step(self, weights: Sequence[nn.Parameter], lr: float) -> None:
        gradients = torch.stack([weight.grad.flatten(1) for weight in weights if weight.grad is not None])
        state = self.state[weights[0]]
        if not state:
            # The step is not counted, but AdamW, when it loads a state, looks for one.
            state |= {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(gradients)}
        momenta = state["exp_avg"].lerp_(gradients, 1 - MOMENTUM)
        directions = orthogonalised(gradients.lerp_(momenta, MOMENTUM))  # Nesterov's
        size = lr * ADAMW_RMS * math.sqrt(max(directions.shape[1:]))
        for weight, direction in zip(weights, directions, strict=True):
            weight.add_(direction.view_as(weight), alpha=-size)
            weight.grad = None  # AdamW leaves out what has none


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices (n, rows, columns) with their singular values, but the very smallest, brought towards 1."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(_precision(matrices)).contiguous()
    x = x / (x.norm(dim=(1, 2), keepdim=True) * MARGIN + 1e-7)
    for a, b, c in COEFFICIENTS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def _precision(like: Tensor) -> torch.dtype:
    """Return that of autocast where it is on, cast to once instead of in each product."""
    device = like.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else like.dtype
