"""The smallest training: a line through noisy points."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import torch
from torch import Tensor, nn

from syncdiff.config import Optimizer
from syncdiff.training.loop import Run

STEPS = 30


def tiny_run(folder: Path, fingerprint: str = "a", **settings: int) -> Run:
    values = {"steps": STEPS, "batch_size": 4, "learning_rate": 0.05, "warmup_steps": 2, "checkpoint_every": 10}
    return Run(folder, Optimizer(**values | settings), 3, fingerprint, torch.device("cpu"), "no", ema_decay=0.9)


def tiny_model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def tiny_loss(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
    noisy = batch + 0.1 * torch.randn_like(batch)  # the loop's own randomness must be resumed too
    return {"loss": (model(noisy).squeeze(1) - batch.sum(dim=1)).square().mean()}


def tiny_batches(done: int) -> Iterator[Tensor]:
    return (torch.randn(4, 3, generator=torch.Generator().manual_seed(step)) for step in count(done))
