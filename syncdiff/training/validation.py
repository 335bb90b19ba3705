"""Validation: what the averaged weights do with clips of val, every so many steps; whose are kept, and when to stop.

Each look is a row of `validation.csv`: the loss at the lips on windows of training clips and on windows of val, the
same windows, noise and timesteps each time, and scores of some val clips, sampled and scored as test clips are
(`evaluation.validation`). Where the loss on val rises while that on training clips falls, faces are learned by heart.

What is trained is the same with validation and without: nothing here draws from the training's random numbers, and a
look leaves weights, optimiser and average as they are. Which weights are kept follows from the rows alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, reduce
from torch import Tensor, nn

from syncdiff.config import Validation as Settings
from syncdiff.device import autocast
from syncdiff.models.denoiser import Denoiser
from syncdiff.training.source import Shard

M = TypeVar("M", bound=nn.Module)
Figures = dict[str, float]
Batch = dict[str, Tensor]

CURVE = "validation.csv"
LESS_IS_BETTER = ("loss_val",)


class Val(NamedTuple):
    """What a denoiser is validated on.

    shards: of val: joined ones, each with the shard of its clips' speech.
    scores: of a denoiser on some of their clips, by name.
    scorer: the SyncNet that is behind one of these. It only looks: by no figure of it are weights chosen.
    """

    shards: Sequence[Shard]
    scores: Callable[[Denoiser], Figures]
    scorer: Path


@dataclass
class Validation(Generic[M]):
    """The looks at one training.

    Attributes:
        settings: `every`, `by` and `stop_after`.
        last_step: of the training, at which there is a look too.
        losses: of a model in eval mode; all processes take part.
        scores: the same, in the main process alone; the others wait.
        rows: the figures of each look, with its step, oldest first.
        best: the weights of the best look so far, on the CPU.
    """

    settings: Settings
    last_step: int
    losses: Callable[[M], Figures]
    scores: Callable[[M], Figures]
    rows: list[Figures] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    def due(self, step: int) -> bool:
        """Whether there is a look at this step that has not been taken."""
        at_step = bool(self.settings.every) and step % self.settings.every == 0  # type: ignore[operator]
        return step > 0 and (at_step or step == self.last_step) and all(row["step"] != step for row in self.rows)

    def look(self, model: M, step: int) -> Figures:
        """Take a look; all processes get its row, and keep the weights if none before were better."""
        row: Figures = {"step": step, **self.losses(model)}
        if PartialState().is_main_process:
            row |= self.scores(model)
        [row] = broadcast_object_list([row])
        self.rows.append(row)
        if self.chosen is row:
            self.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        return row

    @property
    def chosen(self) -> Figures:
        """The row of the best look so far, of equal ones the first."""
        return max(self.rows, key=self._merit)

    @property
    def over(self) -> bool:
        """Whether training ends here: `stop_after` looks have not been better than one before them."""
        patience = self.settings.stop_after
        return bool(patience and self.rows) and len(self.rows) - self.rows.index(self.chosen) > patience  # type: ignore[operator]

    def curve(self) -> list[Figures]:
        """Return the rows with a column `kept`, 1 in that of the step whose weights are kept, else 0."""
        return [row | {"kept": int(row is self.chosen)} for row in self.rows]

    def summary(self) -> str:
        """Say in a line which weights are kept."""
        by, row = self.settings.by, self.chosen
        return f"keeps the weights of step {row['step']:,} of {self.last_step:,}, by {by} ({row[by]:.3f})"

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows, self.best = state["rows"], state["best"]

    def _merit(self, row: Figures) -> float:
        value = row[self.settings.by]
        if math.isnan(value):
            return -math.inf
        return -value if self.settings.by in LESS_IS_BETTER else value


@torch.no_grad()
def lip_losses(
    loss: Callable[[M, Batch], dict[str, Tensor]],
    batches: Mapping[str, Sequence[Batch]],
    mixed_precision: str,
    model: M,
) -> Figures:
    """Return the mean `loss_lips` of each list of batches, over all processes, which have a share of every batch each.

    Batch k of each list sees the same noise and timesteps, at every call. Every training step seeds anew, so that it
    does not see that this has seeded too.
    """
    found = {}
    for name, several in batches.items():
        values = []
        for number, batch in enumerate(several):
            torch.manual_seed(number)
            with autocast(mixed_precision, batch["latents"].device):
                values.append(reduce(loss(model, batch)["loss_lips"], "mean"))
        found[name] = float(torch.stack(values).mean())
    return found
