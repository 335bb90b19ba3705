"""The training loop that all three networks share: accelerate, EMA, clipping, checkpoints, curves, resume.

Resuming is running the same command again. Everything random in step k is a function of (seed, k), so that a run that
was stopped and resumed ends with the weights of one that was not, on the same device. SIGTERM, which clusters send
before they kill, ends a run after the step in progress, with a checkpoint. Processes that share a run end after the
same step, whichever of them it reaches; the main process alone writes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from syncdiff.artifacts import atomic, progress, write_text
from syncdiff.config import Optimizer
from syncdiff.device import arithmetic
from syncdiff.errors import UserError
from syncdiff.provenance import known_digest

M = TypeVar("M", bound=nn.Module)

LOG_EVERY_STEPS = 10

Losses = dict[str, Tensor]  # "loss" is minimised, the others are only logged
Batches = Callable[[int], Iterator[Any]]  # from the number of steps already done to an endless iterator


ADAMW: dict[str, Any] = {"betas": (0.9, 0.99), "weight_decay": 1e-3, "fused": True}


def adamw(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """Return the optimiser of whatever has no better one."""
    return torch.optim.AdamW(model.parameters(), learning_rate, **ADAMW)


@dataclass(frozen=True)
class Run:
    """What a training run is. A checkpoint with another `fingerprint` is not resumed from."""

    folder: Path
    settings: Optimizer
    seed: int
    fingerprint: str
    device: torch.device
    mixed_precision: str
    ema_decay: float | None = None
    label: str = "train"
    optimizer: Callable[[Any, float], torch.optim.Optimizer] = adamw  # of a model, with a learning rate


def fingerprint(settings: Any, inputs: Iterable[Path]) -> str:
    """Return what a checkpoint and the run that goes on from it must share: the settings, and the files that are read.

    Args:
        settings: anything that JSON can hold.
        inputs: files; shards, and networks that are trained with or started from.
    """
    return hashlib.sha256(json.dumps([settings, *map(known_digest, inputs)]).encode()).hexdigest()


def fit(model: M, loss: Callable[[M, Any], Losses], batches: Batches, run: Run) -> M:
    """Train `model` in place for `run.settings.steps` steps; return it in eval mode, with EMA weights where kept.

    Writes `resume.pt`, `loss.csv` and `tensorboard/` into `run.folder`.
    """
    trainer: Trainer[M] = Trainer(model, run)
    stream = batches(trainer.done)
    with termination_noted() as received:
        for _ in progress(range(trainer.done, run.settings.steps), run.label):
            trainer.step(loss, next(stream))
            if trainer.anywhere(bool(received)):
                trainer.save()
                trainer.accelerator.wait_for_everyone()  # none ends, and takes the others along, before it is written
                raise SystemExit(f"{run.label}: terminated after step {trainer.done}; run again, it goes on from there")
    return trainer.finish()


@contextmanager
def termination_noted() -> Iterator[list[int]]:
    """Yield a list that SIGTERM adds its number to, instead of ending the process."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


class Trainer(Generic[M]):
    """Model, optimiser, schedule, EMA and curve of one run: all that a checkpoint holds."""

    def __init__(self, model: M, run: Run) -> None:
        self.run = run
        settings = run.settings
        self.accelerator = Accelerator(cpu=run.device.type == "cpu")
        optimizer = run.optimizer(model, settings.learning_rate)
        self.schedule = get_cosine_schedule_with_warmup(optimizer, settings.warmup_steps, settings.steps)
        self.model = model
        self.wrapped, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.ema = (
            EMAModel(model.parameters(), run.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
            if run.ema_decay
            else None
        )
        self.curve: list[dict[str, float]] = []
        self.done = 0
        self._resume()
        self._check_agreement()
        self.writer = (
            SummaryWriter(str(run.folder / "tensorboard"), purge_step=self.done)
            if self.accelerator.is_main_process
            else None
        )

    def step(self, loss: Callable[[M, Any], Losses], batch: Any) -> None:
        """Take one optimiser step; log and save when it is time."""
        torch.manual_seed(self.run.seed * 1_000_003 + self.done)  # the same in all processes
        with arithmetic(self.run.mixed_precision, self.run.device):
            losses = loss(self.wrapped, batch)
        self.accelerator.backward(losses["loss"])
        self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.run.settings.grad_clip)
        with arithmetic(self.run.mixed_precision, self.run.device):
            self.optimizer.step()  # Muon multiplies matrices
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.step(self.model.parameters())
        self.done += 1
        self._log(losses)
        if self.done % self.run.settings.checkpoint_every == 0 or self.done == self.run.settings.steps:
            self.save()

    def anywhere(self, flag: bool) -> bool:
        """Return whether `flag` is set in any process, asked by all of them: they must end after the same step."""
        if self.accelerator.num_processes == 1:
            return flag
        if flag:
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def finish(self) -> M:
        """Write the curve and return the model in eval mode, with the averaged weights where the run keeps them."""
        if self.writer:  # in the main process only
            self.writer.close()
            write_curve(self.run.folder / "loss.csv", self.curve)
        if self.ema:
            self.ema.copy_to(self.model.parameters())
        return self.model.eval()

    def _log(self, losses: Losses) -> None:
        if self.done % LOG_EVERY_STEPS and self.done != self.run.settings.steps:
            return
        row = {name: float(self.accelerator.reduce(value.detach(), "mean")) for name, value in losses.items()}
        self.curve.append({"step": self.done, "learning_rate": self.schedule.get_last_lr()[0], **row})
        if self.writer:
            for name, value in row.items():
                self.writer.add_scalar(name, value, self.done)

    def _state(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule, **self._ema_state()}

    def _ema_state(self) -> dict[str, Any]:
        return {"ema": self.ema} if self.ema else {}

    def save(self) -> None:
        """Write the checkpoint and the curve, in the main process only."""
        if not self.accelerator.is_main_process:
            return
        state = {name: part.state_dict() for name, part in self._state().items()}
        checkpoint = {**state, "done": self.done, "curve": self.curve, "fingerprint": self.run.fingerprint}
        pickled = io.BytesIO()  # writing to a file itself, torch hides why it cannot
        torch.save(checkpoint, pickled)
        with atomic(self.run.folder / "resume.pt") as temporary:
            temporary.write_bytes(pickled.getbuffer())
        write_curve(self.run.folder / "loss.csv", self.curve)

    def _resume(self) -> None:
        checkpoint = self.run.folder / "resume.pt"
        if not checkpoint.exists():
            return
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if saved["fingerprint"] != self.run.fingerprint:
            self.accelerator.print(
                f"{self.run.label}: {checkpoint} is of another config or other data; starting afresh"
            )
            return
        for name, part in self._state().items():
            part.load_state_dict(saved[name])
        self.done, self.curve = saved["done"], saved["curve"]
        self.accelerator.print(f"{self.run.label}: resumed at step {self.done}")

    def _check_agreement(self) -> None:
        """Going on from different checkpoints, or one from none, the processes would train different weights."""
        steps = self.accelerator.gather(torch.tensor([self.done], device=self.accelerator.device)).tolist()
        if len(set(steps)) > 1:
            raise UserError(
                f"{self.run.folder / 'resume.pt'}: not the same for all processes (steps {min(steps)} to {max(steps)});"
                " the folder must lie on a file system that all nodes share; if it does, run again"
            )


def write_curve(path: Path, curve: list[dict[str, float]]) -> None:
    """Write the logged losses as CSV, atomically."""
    text = io.StringIO()
    rows = csv.DictWriter(text, fieldnames=list(curve[0]) if curve else ["step"], lineterminator="\n")
    rows.writeheader()
    rows.writerows(curve)
    write_text(path, text.getvalue())
