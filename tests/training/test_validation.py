"""Validation: which step it keeps, when it stops, and that training goes its way as if nobody looked."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from syncdiff.config import Validation as Settings
from syncdiff.training.loop import Trainer, fit
from syncdiff.training.validation import CURVE, Validation, lip_losses
from tests.training.tiny import STEPS, tiny_batches, tiny_loss, tiny_model, tiny_run

CPU = torch.device("cpu")


def _validation(**settings: object) -> Validation[nn.Linear]:
    """Look every seven steps; best where the averaged bias is nearest to -0.27, which it passes before the end."""

    def losses(model: nn.Linear) -> dict[str, float]:
        assert not model.training
        torch.manual_seed(99)  # whoever looks may use random numbers
        return {"loss_train": 0.0, "loss_val": float(torch.rand(()))}

    def scores(model: nn.Linear) -> dict[str, float]:
        return {"mouth_corr": -abs(model.bias.item() + 0.27)}

    return Validation(Settings(every=7, **settings), STEPS, losses, scores)  # type: ignore[arg-type]


def _rows(values: list[float], **settings: object) -> Validation[nn.Linear]:
    validation: Validation[nn.Linear] = Validation(Settings(every=10, **settings), 100, lambda _: {}, lambda _: {})  # type: ignore[arg-type]
    for number, value in enumerate(values, 1):
        validation.rows.append({"step": 10 * number, "mouth_corr": value, "loss_val": value})
    return validation


@pytest.mark.quick
@pytest.mark.parametrize(
    ("values", "by", "kept"),
    [
        ([0.1, 0.5, 0.3], "mouth_corr", 20),
        ([0.5, 0.5, 0.3], "mouth_corr", 10),
        ([float("nan"), 0.1, float("nan")], "mouth_corr", 20),
        ([0.3, 0.1, 0.5], "loss_val", 20),
    ],
)
def test_the_best_step_is_kept_and_of_equal_ones_the_first(values: list[float], by: str, kept: int) -> None:
    validation = _rows(values, by=by)
    assert validation.chosen["step"] == kept
    assert [row["step"] for row in validation.curve() if row["kept"]] == [kept]
    assert f"step {kept} of 100, by {by}" in validation.summary()


@pytest.mark.quick
def test_training_is_over_when_so_many_looks_were_not_better() -> None:
    assert not _rows([0.5, 0.4], stop_after=2).over
    assert _rows([0.5, 0.4, 0.5], stop_after=2).over
    assert not _rows([0.5, 0.4, 0.6, 0.1], stop_after=2).over
    assert not _rows([0.5] * 9).over
    assert not _rows([], stop_after=1).over


@pytest.mark.quick
def test_there_is_a_look_at_every_so_many_steps_and_at_the_last_each_once() -> None:
    validation = _rows([0.5, 0.5])
    assert [step for step in range(101) if validation.due(step)] == [30, 40, 50, 60, 70, 80, 90, 100]
    validation.last_step = 97
    assert validation.due(97)


@pytest.mark.quick
def test_training_is_the_same_with_validation_and_without_and_the_best_weights_come_back(tmp_path: Path) -> None:
    last = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "without"))
    seen: dict[float, Tensor] = {}
    validation = _validation()
    look = validation.scores

    def noting(model: nn.Linear) -> dict[str, float]:
        figures = look(model)
        seen[figures["mouth_corr"]] = model.weight.detach().clone()
        return figures

    validation.scores = noting
    best = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "with"), validation)
    states = [torch.load(tmp_path / name / "resume.pt", weights_only=True) for name in ("without", "with")]
    for part in ("model", "optimizer", "ema"):
        assert repr(states[0][part]) == repr(states[1][part]), part
    assert (tmp_path / "with/loss.csv").read_text() == (tmp_path / "without/loss.csv").read_text()
    rows = pd.read_csv(tmp_path / "with" / CURVE)
    assert rows["step"].tolist() == [7, 14, 21, 28, 30]
    assert 0 < rows["kept"].tolist().index(1) < 4  # neither the first nor the last, as this is meant
    assert torch.equal(best.weight, seen[max(seen)])
    assert not torch.equal(best.weight, last.weight)
    assert not best.training
    assert list((tmp_path / "with/tensorboard").iterdir())


@pytest.mark.quick
@pytest.mark.parametrize("dies_after", [6, 7, 9, 14, 24, 30])
@pytest.mark.parametrize("checkpoint_every", [3, 7])
def test_a_stopped_run_ends_with_the_weights_and_rows_of_one_that_was_not(
    tmp_path: Path, dies_after: int, checkpoint_every: int
) -> None:
    """It dies before it looks at a step, or after, or steps later."""
    run = tiny_run(tmp_path / "stopped", checkpoint_every=checkpoint_every)
    undisturbed = replace(run, folder=tmp_path / "whole")
    whole = fit(tiny_model(), tiny_loss, tiny_batches, undisturbed, _validation())
    stopped = Trainer(tiny_model(), run, _validation())
    for batch, step in zip(tiny_batches(0), range(1, dies_after + 1), strict=False):
        stopped.step(tiny_loss, batch)
        if step < dies_after:
            stopped.validate()
    resumed = fit(tiny_model(), tiny_loss, tiny_batches, run, _validation())
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    for name in ("loss.csv", CURVE):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "stopped" / name).read_text()


@pytest.mark.quick
def test_a_run_that_was_ended_early_stays_ended(tmp_path: Path) -> None:
    first = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path), _validation(stop_after=1))
    rows = (tmp_path / CURVE).read_text()
    ended = pd.read_csv(tmp_path / CURVE)["step"].max()
    assert ended < STEPS
    (tmp_path / CURVE).unlink()
    again = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path), _validation(stop_after=1))
    assert (tmp_path / CURVE).read_text() == rows
    assert torch.equal(first.weight, again.weight)
    assert Trainer(tiny_model(), tiny_run(tmp_path), _validation()).done == ended


@pytest.mark.quick
def test_without_validation_no_rows_of_an_earlier_run_stay(tmp_path: Path) -> None:
    (tmp_path / CURVE).write_text("step,kept\n7,1\n")
    fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path))
    assert not (tmp_path / CURVE).exists()


@pytest.mark.quick
def test_every_look_sees_the_same_noise() -> None:
    def loss(model: nn.Linear, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        noisy = batch["latents"] + torch.randn_like(batch["latents"])
        return {"loss_lips": model(noisy).square().mean()}

    windows = {name: [{"latents": torch.full((2, 3), value)} for value in (0.0, 1.0)] for name in ("a", "b")}
    model = tiny_model()
    one, other = (lip_losses(loss, windows, "no", model) for _ in range(2))
    assert one == other
    assert one["a"] == one["b"]  # the same windows under two names
    nn.init.zeros_(model.weight)
    assert lip_losses(loss, windows, "no", model) != one


SHARED = """
import sys, torch
from pathlib import Path
from accelerate import PartialState
from tests.training import test_validation as one
from syncdiff.training.loop import fit
from tests.training.tiny import tiny_batches, tiny_loss, tiny_model, tiny_run

PartialState(cpu=True)
validation, asked = one._validation(stop_after=1), []
scores = validation.scores
validation.scores = lambda model: (asked.append(1), scores(model))[1]
trained = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(Path(sys.argv[1])), validation)
state = PartialState()
print(f"rank {state.process_index}", len(asked), len(validation.rows), trained.weight.tolist(), flush=True)
"""


@pytest.mark.slow
def test_of_two_processes_one_scores_and_both_end_with_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SHARED)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *launcher, str(tmp_path / "program.py"), str(tmp_path / "out")]
    found = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=found)
    assert done.returncode == 0, done.stderr[-3000:]
    said = dict(line.split(" ", 2)[1:] for line in sorted(done.stdout.splitlines()) if line.startswith("rank "))
    rows = len(pd.read_csv(tmp_path / "out" / CURVE))
    assert rows < 5  # ended early, both after the same look
    assert said["0"].split(" ", 2)[:2] == [str(rows), str(rows)]
    assert said["1"].split(" ", 2)[:2] == ["0", str(rows)]
    assert said["0"].split(" ", 2)[2] == said["1"].split(" ", 2)[2]
