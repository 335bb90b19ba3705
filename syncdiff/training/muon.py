"""Muon for the weights inside a network, AdamW for all else.

A step of Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) goes along the momentum of a weight's gradient
with all singular values brought towards 1, so that directions that are rare in it count as much as those that dominate.
torch.optim.Muon takes matrices only (torch 2.13); here a convolution is one too, (out, in * height * width), and the
weights of one shape go through the iteration together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
# Of the Newton-Schulz iteration, a x + b x^3 + c x^5 in each step: the first three of the five steps that Y. Jiacheng
# fitted (2025, as in Dion and Megatron). On the demo, five steps trained no better than three and took longer.
COEFFICIENTS = ((4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037))
MARGIN = 1.02  # by which singular values are kept below 1 at first: the iteration diverges soon above it
ADAMW_RMS = 0.2  # of AdamW's steps, about: one learning rate fits both (Liu et al. 2025, arXiv 2502.16982, eq. 4)
WEIGHT_DECAY = 0.01
ADAMW: dict[str, Any] = {"betas": (0.9, 0.99), "weight_decay": 1e-3, "fused": True}


class Muon(torch.optim.AdamW):
    """Steps of Muon for `inner` weights (out, in, ...), of AdamW for the `others`.

    A weight's momentum is kept where AdamW keeps its first moment. Autocast sets the precision of the iteration.
    """

    def __init__(self, inner: Sequence[nn.Parameter], others: Sequence[nn.Parameter], lr: float) -> None:
        super().__init__([{"params": inner, "muon": True}, {"params": others, "muon": False}], lr, **ADAMW)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step."""
        for group in self.param_groups:
            if group["muon"]:
                for weights in _of_one_shape(group["params"]):
                    self._orthogonal_step(weights, group["lr"])
        super().step(closure)

    def _orthogonal_step(self, weights: Sequence[nn.Parameter], lr: float) -> None:
        directions = orthogonalised(torch.stack([self._momentum(weight).flatten(1) for weight in weights]))
        size = ADAMW_RMS * math.sqrt(max(directions.shape[1:]))
        for weight, direction in zip(weights, directions, strict=True):
            weight.mul_(1 - lr * WEIGHT_DECAY).add_(direction.view_as(weight), alpha=-lr * size)
            weight.grad = None  # AdamW leaves out what has none

    def _momentum(self, weight: nn.Parameter) -> Tensor:
        """Return Nesterov's momentum with the present gradient in it."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state |= {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(weight)}
        state["exp_avg"].lerp_(weight.grad, 1 - MOMENTUM)
        return torch.lerp(weight.grad, state["exp_avg"], MOMENTUM)


def _of_one_shape(weights: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return the weights that have a gradient, those of one shape together."""
    shapes = defaultdict(list)
    for weight in weights:
        if weight.grad is not None:
            shapes[weight.flatten(1).shape].append(weight)
    return list(shapes.values())


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices (n, rows, columns) with their singular values, but the very smallest, brought towards 1."""
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = wide / (wide.norm(dim=(1, 2), keepdim=True) * MARGIN + 1e-7)
    for a, b, c in COEFFICIENTS:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if wide is not matrices else x
