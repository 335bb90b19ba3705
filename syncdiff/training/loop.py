"""The training loop that all three networks share: accelerate, EMA, clipping, checkpoints, curves, resume.

Resuming is running the same command again. Everything random in step k is a function of (seed, k), and a checkpoint
holds all else, so that a run that was stopped and resumed goes on as if it had not been. SIGTERM, which clusters send
before they kill, ends a run after the step in progress, with a checkpoint. Processes that share a run end after the
same step, whichever of them it reaches; the main process alone writes.

What is the same to the bit, and what is not:

- On a CPU, in one process, all of it: the same config, data and number of threads end in the same weights, stopped and
  resumed or not (tests/world/test_devices.py).
- Processes that share a step see together what one would, at the same random numbers, but add up gradients in another
  order: weights agree to rounding, and drift apart with the steps as rounding grows. So does another number of threads.
  That order is all there is: one process that adds up the gradients of each half of a step's samples by itself ends
  with the bits of two (benchmarks/results/processes.json); docs/decisions.md says what that costs.
- On CUDA a checkpoint restores the same bits, but the steps after it need not be the same ones: the backward passes of
  `grid_sample` (the identity warp), of bilinear interpolation (the bottleneck) and of adaptive pools add
  up atomically, in an order that changes from run to run; cuDNN may choose otherwise too. Two runs agree to rounding.
- Between devices, and between fp32 and bf16, only to rounding.
"""

from __future__ import annotations

import csv
import ctypes
import io
import logging
import resource
import signal
import time
from collections.abc import Callable, Iterator
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

from syncdiff.config import Optimizer
from syncdiff.device import autocast
from syncdiff.errors import UserError
from syncdiff.pipeline.files import short_message, write_text
from syncdiff.pipeline.progress import progress
from syncdiff.training import checkpoints
from syncdiff.training.validation import CURVE, Validation

log = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)

LOG_EVERY_STEPS = 10
NORM = "the gradient's norm"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt

Losses = dict[str, Tensor]  # "loss" is minimised, the others are only logged
Batches = Callable[[int], Iterator[Any]]  # from the number of steps already done to an endless iterator


ADAMW: dict[str, Any] = {"betas": (0.9, 0.99), "weight_decay": 1e-3, "fused": True}


def adamw(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """Return the optimiser of whatever has no better one."""
    return torch.optim.AdamW(model.parameters(), learning_rate, **ADAMW)


@dataclass(frozen=True)
class Run:
    """What a training run is.

    fingerprint: as `checkpoints.fingerprint` makes it; a checkpoint with another one is not resumed from.
    device: this process's own.
    label: the section of the config that `settings` is.
    """

    folder: Path
    settings: Optimizer
    seed: int
    fingerprint: str
    device: torch.device
    mixed_precision: str
    ema_decay: float | None = None
    label: str = "train"
    optimizer: Callable[[Any, float], torch.optim.Optimizer] = adamw  # of a model, with a learning rate


def fit(
    model: M,
    loss: Callable[[M, Any], Losses],
    batches: Batches,
    run: Run,
    validation: Validation[M] | None = None,
) -> M:
    """Train `model` in place for `run.settings.steps` steps; return it in eval mode, with EMA weights where kept.

    With `validation`, a new one for each call, it gets the weights that this has chosen, and training may end early.

    Writes checkpoints, `loss.csv`, `tensorboard/` and, with validation, `validation.csv` into `run.folder`.

    Raises:
        UserError: the loss is not a number any more, or the GPU has too little memory.
    """
    if run.device.type == "cpu":
        keep_memory()
    trainer: Trainer[M] = Trainer(model, run, validation)
    stream = batches(trainer.done)
    with termination_noted() as received, memory_faults_named(run):
        trainer.validate()  # where a run was stopped before it came to it
        for _ in progress(range(trainer.done, run.settings.steps), run.label):
            if validation and validation.over:
                break
            trainer.step(loss, next(stream))
            if trainer.anywhere(bool(received)):
                trainer.save()
                trainer.accelerator.wait_for_everyone()  # none ends, and takes the others along, before it is written
                raise SystemExit(f"{run.label}: terminated after step {trainer.done}; run again, it goes on from there")
            trainer.validate()
    return trainer.finish()


def keep_memory() -> None:
    """Let a step's arrays lie where those of the step before lay; arrays above 256 MB come and go as ever.

    glibc hands memory back as it is freed, and the next step's first touch of each page costs time (docs/decisions.md).
    Other C libraries have no such settings.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, 2**30)
        libc.mallopt(M_MMAP_THRESHOLD, 2**28)


@contextmanager
def termination_noted() -> Iterator[list[int]]:
    """Yield a list that SIGTERM adds its number to, instead of ending the process."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def memory_faults_named(run: Run) -> Iterator[None]:
    """Say in one line that a step does not fit into the GPU's memory, and what would."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        name, size = f"{run.label}.batch_size", run.settings.batch_size
        raise UserError(
            f"{run.label}: {run.device} has too little memory for a step of {name} {size} ({short_message(error)}); "
            "lower it, or use more GPUs (train.processes)"
        ) from None


class Speed:
    """How fast steps are, from one checkpoint to the next, and how much memory they have taken at most."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.restart(0)

    def restart(self, done: int) -> None:
        """Begin to count time, from step `done` on."""
        self.done, self.time = done, time.monotonic()

    def leave_out(self, seconds: float) -> None:
        """Let seconds in which no step was taken not count."""
        self.time += seconds

    def line(self, done: int) -> str:
        """Say in one line what the steps since `restart`, or since the last line, took."""
        settings, n_steps = self.run.settings, done - self.done
        seconds = (time.monotonic() - self.time) / max(n_steps, 1)
        self.restart(done)
        return (
            f"{self.run.label}: step {done} of {settings.steps}, {settings.batch_size / seconds:.3g} samples/s,"
            f" {seconds:.3g} s a step, {peak_memory(self.run.device) / 1e9:.3g} GB at most"
        )


def peak_memory(device: torch.device) -> int:
    """Return the bytes that this process has taken at most: of a GPU's memory, or of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB on Linux


class Trainer(Generic[M]):
    """Model, optimiser, schedule, EMA and curve of one run: all that a checkpoint holds."""

    def __init__(self, model: M, run: Run, validation: Validation[M] | None = None) -> None:
        self.run = run
        self.validation = validation
        settings = run.settings
        self.accelerator = Accelerator(cpu=run.device.type != "cuda", device_placement=False)
        model.to(run.device)
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
        self.done = self.saved = 0  # steps
        self.speed = Speed(run)
        self.faults: dict[str, Tensor] = {}  # by the name of a loss, the first step at which it was not finite
        self._resume()
        self._check_agreement()
        self.writer = (
            SummaryWriter(str(run.folder / "tensorboard"), purge_step=self.done + 1)
            if self.accelerator.is_main_process
            else None
        )

    def step(self, loss: Callable[[M, Any], Losses], batch: Any) -> None:
        """Take one optimiser step; log and save when it is time."""
        torch.manual_seed(self.run.seed * 1_000_003 + self.done)  # the same in all processes
        with autocast(self.run.mixed_precision, self.run.device):
            losses = loss(self.wrapped, batch)
        self.accelerator.backward(losses["loss"])
        norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.run.settings.grad_clip)
        self._look_for_faults(losses | {NORM: norm})
        with autocast(self.run.mixed_precision, self.run.device):
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

    def validate(self) -> None:
        """Look at the averaged weights if it is time to, and save what was seen; all processes must come here."""
        if not self.validation or not self.validation.due(self.done):
            return
        if self.faults:
            self._end_if_faulty()
        began = time.monotonic()
        with self._averaged() as model:
            row = self.validation.look(model, self.done)
        self.speed.leave_out(time.monotonic() - began)
        self.saved = self.done
        if self.writer:  # in the main process only
            figures = {name: value for name, value in row.items() if name != "step"}
            for name, value in figures.items():
                self.writer.add_scalar(f"validation/{name}", value, self.done)
            said = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            log.info(f"{self.run.label}: step {self.done}: {said}; {self.validation.summary()}")
            self._write()

    @contextmanager
    def _averaged(self) -> Iterator[M]:
        """Yield the model in eval mode, with the averaged weights where the run has some; then it is as before."""
        if self.ema:
            self.ema.store(self.model.parameters())
            self.ema.copy_to(self.model.parameters())
        try:
            yield self.model.eval()
        finally:
            self.model.train()
            if self.ema:
                self.ema.restore(self.model.parameters())

    def finish(self) -> M:
        """Write the curves and return the model in eval mode, with the weights that are kept.

        Those that validation has chosen; without it the averaged ones, where the run has some, else the last.
        """
        if self.writer:  # in the main process only
            self.writer.close()
            self._write_curves()
            if self.validation:
                log.info(f"{self.run.label}: {self.validation.summary()}")
        if self.validation:
            self.model.load_state_dict(self.validation.best)
        elif self.ema:
            self.ema.copy_to(self.model.parameters())
        return self.model.eval()

    def _write_curves(self) -> None:
        write_curve(self.run.folder / "loss.csv", self.curve)
        if self.validation:
            write_curve(self.run.folder / CURVE, self.validation.curve())
        else:
            (self.run.folder / CURVE).unlink(missing_ok=True)  # of a run before this one, which it would not tell of

    def _log(self, losses: Losses) -> None:
        if self.done % LOG_EVERY_STEPS and self.done != self.run.settings.steps:
            return
        self._end_if_faulty()
        row = {name: float(self.accelerator.reduce(value.detach(), "mean")) for name, value in losses.items()}
        self.curve.append({"step": self.done, "learning_rate": self.schedule.get_last_lr()[0], **row})
        if self.writer:
            for name, value in row.items():
                self.writer.add_scalar(name, value, self.done)

    def _look_for_faults(self, values: Losses) -> None:
        """Note, without making the GPU wait, which losses are not finite for the first time in this step."""
        for name, value in values.items():
            before = self.faults.get(name, torch.full((), -1, device=self.run.device))
            self.faults[name] = torch.where((before < 0) & ~value.detach().isfinite(), self.done + 1, before)

    def _end_if_faulty(self) -> None:
        """End all processes if the loss of one was not finite: what comes after such a step is not worth keeping."""
        seen = self.accelerator.gather(torch.stack(list(self.faults.values()))[None]).amax(dim=0).tolist()
        faults = {name: step for name, step in zip(self.faults, seen, strict=True) if step >= 0}
        if not {"loss", NORM} & faults.keys():
            return
        first = min(faults.values())
        names = " and ".join(name for name, step in faults.items() if step == first)
        last = f"{self.run.folder / checkpoints.RESUME} is of step {self.saved}" if self.saved else "there is none"
        raise UserError(
            f"{self.run.label}: in step {first}, {names} was not a finite number: stopped, nothing of it is saved; the"
            f" last good checkpoint: {last}. Run again; if it comes to the same step, lower {self.run.label}."
            "learning_rate or set mixed_precision: no, with which training starts afresh"
        )

    def _state(self) -> dict[str, Any]:
        always = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        perhaps = {"ema": self.ema, "validation": self.validation}
        return always | {name: part for name, part in perhaps.items() if part}

    def save(self) -> None:
        """Write the checkpoint and the curve, in the main process only; all processes must come here."""
        if self.faults:
            self._end_if_faulty()
        self.saved = self.done
        if not self.accelerator.is_main_process:
            return
        log.info(self.speed.line(self.done))
        self._write()

    def _write(self) -> None:
        state = {name: part.state_dict() for name, part in self._state().items()}
        more = {"done": self.done, "curve": self.curve, "fingerprint": self.run.fingerprint}
        checkpoints.write(self.run.folder, {**state, **more})
        self._write_curves()

    def _resume(self) -> None:
        """Restore all of the run's state, on its device, from its newest checkpoint, if there is one."""
        if self.accelerator.is_main_process:
            for line in checkpoints.settle(self.run.folder, self.run.fingerprint):
                log.warning(f"{self.run.label}: {line}")
        self.accelerator.wait_for_everyone()
        if not (saved := checkpoints.read(self.run.folder, self.run.fingerprint)):
            return
        for name, part in self._state().items():
            part.load_state_dict(saved[name])
        if self.ema:
            self.ema.to(self.run.device)  # the others go to where the weights are; it keeps what it is given
        self.done, self.curve = saved["done"], saved["curve"]
        self.saved = self.done
        self.speed.restart(self.done)

    def _check_agreement(self) -> None:
        """Say where all processes go on; from different checkpoints they would train different weights."""
        steps = self.accelerator.gather(torch.tensor([self.done], device=self.run.device)).tolist()
        if len(set(steps)) > 1:
            raise UserError(
                f"{self.run.folder / 'resume.pt'}: not the same for all processes (steps {min(steps)} to {max(steps)});"
                " the folder must lie on a file system that all nodes share; if it does, run again"
            )
        if self.done and self.accelerator.is_main_process:
            everywhere = f" in all {len(steps)} processes" if len(steps) > 1 else ""
            log.info(f"{self.run.label}: resumed at step {self.done}{everywhere}")


def write_curve(path: Path, curve: list[dict[str, float]]) -> None:
    """Write the logged losses as CSV, atomically."""
    text = io.StringIO()
    rows = csv.DictWriter(text, fieldnames=list(curve[0]) if curve else ["step"], lineterminator="\n")
    rows.writeheader()
    rows.writerows(curve)
    write_text(path, text.getvalue())
