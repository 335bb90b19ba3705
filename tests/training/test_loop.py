"""The training loop: a run that was stopped ends with the weights of one that was not."""

import os
import platform
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from syncdiff.config import Optimizer
from syncdiff.training.loop import Run, Trainer, fit

pytestmark = pytest.mark.quick
CPU = torch.device("cpu")


def _run(folder: Path, steps: int = 30, fingerprint: str = "a") -> Run:
    settings = Optimizer(steps=steps, batch_size=4, learning_rate=0.05, warmup_steps=2, checkpoint_every=10)
    return Run(folder, settings, seed=3, fingerprint=fingerprint, device=CPU, mixed_precision="no", ema_decay=0.9)


def _model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def _loss(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
    noisy = batch + 0.1 * torch.randn_like(batch)  # the loop's own randomness must be resumed too
    return {"loss": (model(noisy).squeeze(1) - batch.sum(dim=1)).square().mean()}


def _batches(done: int) -> Iterator[Tensor]:
    return (torch.randn(4, 3, generator=torch.Generator().manual_seed(step)) for step in count(done))


def test_it_learns_and_writes_its_curve(tmp_path: Path) -> None:
    fit(_model(), _loss, _batches, _run(tmp_path, steps=200))
    curve = pd.read_csv(tmp_path / "loss.csv")
    assert list(curve.columns) == ["step", "learning_rate", "loss"]
    assert curve["loss"].iloc[-1] < 0.2 * curve["loss"].iloc[0]
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_it_computes_in_the_precision_that_is_asked_for(tmp_path: Path, precision: str) -> None:
    """The weights stay fp32; bf16 on a CPU does without the fused attention, which is slow there."""
    seen = []

    def loss(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
        seen.append((model(batch).dtype, torch.backends.cuda.flash_sdp_enabled()))
        return _loss(model, batch)

    run = _run(tmp_path, steps=2)
    trained = fit(_model(), loss, _batches, replace(run, mixed_precision=precision))
    assert set(seen) == {(torch.float32, True) if precision == "no" else (torch.bfloat16, False)}
    assert trained.weight.dtype == torch.float32
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_stopped_run_ends_like_one_that_was_not(tmp_path: Path) -> None:
    whole = fit(_model(), _loss, _batches, _run(tmp_path / "whole"))
    stopped = Trainer(_model(), _run(tmp_path / "stopped"))
    for batch, _ in zip(_batches(0), range(14), strict=False):  # dies four steps after its last checkpoint
        stopped.step(_loss, batch)
    resumed = fit(_model(), _loss, _batches, _run(tmp_path / "stopped"))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert (tmp_path / "whole/loss.csv").read_text() == (tmp_path / "stopped/loss.csv").read_text()


def test_a_run_that_was_killed_after_its_last_step_writes_what_else_there_is(tmp_path: Path) -> None:
    """Snakemake has deleted the curve meanwhile: it was an output of a job that did not come to its end."""
    whole = fit(_model(), _loss, _batches, _run(tmp_path))
    curve = (tmp_path / "loss.csv").read_text()
    (tmp_path / "loss.csv").unlink()
    again = fit(_model(), _loss, _batches, _run(tmp_path))
    assert (tmp_path / "loss.csv").read_text() == curve
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_sigterm_ends_a_run_with_a_checkpoint_of_that_step(tmp_path: Path) -> None:
    """Step 14 is none of its regular checkpoints. What SIGTERM does elsewhere is as before, afterwards."""
    whole = fit(_model(), _loss, _batches, _run(tmp_path / "whole"))
    steps = count(1)

    def warned(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
        if next(steps) == 14:
            os.kill(os.getpid(), signal.SIGTERM)
        return _loss(model, batch)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="after step 14"):
        fit(_model(), warned, _batches, _run(tmp_path / "stopped"))
    assert signal.getsignal(signal.SIGTERM) is handler
    assert Trainer(_model(), _run(tmp_path / "stopped")).done == 14
    resumed = fit(_model(), _loss, _batches, _run(tmp_path / "stopped"))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_checkpoint_of_another_configuration_is_not_resumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(_model(), _loss, _batches, _run(tmp_path, fingerprint="a"))
    assert Trainer(_model(), _run(tmp_path, fingerprint="b")).done == 0
    assert "starting afresh" in caplog.text


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries cannot be told")
def _faults(folder: Path) -> list[int]:
    """Train some steps, and return the page faults of this process up to each."""
    faults = []

    def loss(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
        arrays = [torch.zeros(2**22) for _ in range(8)]  # 16 MB each, 33,000 pages together
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        return {"loss": _loss(model, batch)["loss"] + 0 * sum(array[0] for array in arrays)}

    fit(_model(), loss, _batches, _run(folder, steps=9))
    return faults


def test_a_step_asks_for_no_more_memory_than_the_one_before(tmp_path: Path) -> None:
    """In a process of its own, whose heap no other test has left in pieces."""
    with get_context("spawn").Pool(1) as pool:
        faults = pool.apply(_faults, (tmp_path,))
    assert faults[-1] - faults[4] < 5000
