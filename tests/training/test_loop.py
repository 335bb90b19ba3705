"""The training loop: a run that was stopped ends with the weights of one that was not."""

import os
import platform
import resource
import signal
from dataclasses import replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from syncdiff.training.loop import Trainer, fit
from tests.training.tiny import tiny_batches, tiny_loss, tiny_model, tiny_run

pytestmark = pytest.mark.quick
CPU = torch.device("cpu")


def test_it_learns_and_writes_its_curve(tmp_path: Path) -> None:
    fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path, steps=200))
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
        return tiny_loss(model, batch)

    run = tiny_run(tmp_path, steps=2)
    trained = fit(tiny_model(), loss, tiny_batches, replace(run, mixed_precision=precision))
    assert set(seen) == {(torch.float32, True) if precision == "no" else (torch.bfloat16, False)}
    assert trained.weight.dtype == torch.float32
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_stopped_run_ends_like_one_that_was_not(tmp_path: Path) -> None:
    whole = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "whole"))
    stopped = Trainer(tiny_model(), tiny_run(tmp_path / "stopped"))
    for batch, _ in zip(tiny_batches(0), range(14), strict=False):  # dies four steps after its last checkpoint
        stopped.step(tiny_loss, batch)
    resumed = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "stopped"))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert (tmp_path / "whole/loss.csv").read_text() == (tmp_path / "stopped/loss.csv").read_text()


def test_a_run_that_was_killed_after_its_last_step_writes_what_else_there_is(tmp_path: Path) -> None:
    """Snakemake has deleted the curve meanwhile: it was an output of a job that did not come to its end."""
    whole = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path))
    curve = (tmp_path / "loss.csv").read_text()
    (tmp_path / "loss.csv").unlink()
    again = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path))
    assert (tmp_path / "loss.csv").read_text() == curve
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_sigterm_ends_a_run_with_a_checkpoint_of_that_step(tmp_path: Path) -> None:
    """Step 14 is none of its regular checkpoints. What SIGTERM does elsewhere is as before, afterwards."""
    whole = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "whole"))
    steps = count(1)

    def warned(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
        if next(steps) == 14:
            os.kill(os.getpid(), signal.SIGTERM)
        return tiny_loss(model, batch)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="after step 14"):
        fit(tiny_model(), warned, tiny_batches, tiny_run(tmp_path / "stopped"))
    assert signal.getsignal(signal.SIGTERM) is handler
    assert Trainer(tiny_model(), tiny_run(tmp_path / "stopped")).done == 14
    resumed = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "stopped"))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_checkpoint_of_another_configuration_is_not_resumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path, fingerprint="a"))
    assert Trainer(tiny_model(), tiny_run(tmp_path, fingerprint="b")).done == 0
    assert "starting afresh" in caplog.text


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries cannot be told")
def _faults(folder: Path) -> list[int]:
    """Train some steps, and return the page faults of this process up to each."""
    faults = []

    def loss(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
        arrays = [torch.zeros(2**22) for _ in range(8)]  # 16 MB each, 33,000 pages together
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        return {"loss": tiny_loss(model, batch)["loss"] + 0 * sum(array[0] for array in arrays)}

    fit(tiny_model(), loss, tiny_batches, tiny_run(folder, steps=9))
    return faults


def test_a_step_asks_for_no_more_memory_than_the_one_before(tmp_path: Path) -> None:
    """In a process of its own, whose heap no other test has left in pieces."""
    with get_context("spawn").Pool(1) as pool:
        faults = pool.apply(_faults, (tmp_path,))
    assert faults[-1] - faults[4] < 5000
