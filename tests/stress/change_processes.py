"""Stop a training ten times at random steps, go on with one process and two in turn, and compare with undisturbed ones.

Once as it is, and once with one process adding up gradients as two do: each half of the samples by itself, then the two
sums. What differs in the first and not in the second comes of that order alone.

python -m tests.stress.change_processes [--changes 10] [--steps 60] [--seed 0]; writes
benchmarks/results/processes.json.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from machine import save  # benchmarks/machine.py, on the path that the Makefile sets
from safetensors.torch import load_file
from torch import Tensor

from syncdiff.training.checkpoints import RESUME
from syncdiff.training.loop import Losses, Trainer
from tests.training.noise import CONFIG, write_autoencoder, write_noise

STOP_AT, IN_HALVES = "STOP_AT", "IN_HALVES"  # of the environment of a training


def main() -> None:
    """Train all, compare, write the result; exit code 1 if bits differ although the order of sums does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    stops = sorted(random.Random(arguments.seed).sample(range(1, arguments.steps), arguments.changes))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_noise(folder / "latents.tar", folder / "speech.tar")
        write_autoencoder(folder / "autoencoder")
        runs = {
            "one": train(folder, "one", arguments.steps, [], in_halves=False),
            "two": train(folder, "two", arguments.steps, [], in_halves=False, first=2),
            "changed": train(folder, "changed", arguments.steps, stops, in_halves=False),
            "one, in halves": train(folder, "halves", arguments.steps, [], in_halves=True),
            "changed, in halves": train(folder, "changed-halves", arguments.steps, stops, in_halves=True),
        }
        pairs = [("changed", "one"), ("changed", "two"), ("one", "two")]
        pairs += [("one, in halves", "two"), ("changed, in halves", "two")]
        found = {f"{a} / {b}": differences(runs[a], runs[b]) for a, b in pairs}
    save("processes", {"steps": arguments.steps, "changed_after_steps": stops, "greatest_difference": found})
    sys.exit(any(any(each.values()) for name, each in found.items() if "halves" in name))


def train(folder: Path, name: str, steps: int, stops: Sequence[int], in_halves: bool, first: int = 1) -> Path:
    """Train into a folder of its own with `first` processes; after each of the stops, with two for one or one for two.

    Returns:
        That folder.
    """
    out, processes = folder / name, first
    config = CONFIG.replace('"steps": 12', f'"steps": {steps}')
    files = {"--latents": "latents.tar", "--speech": "speech.tar", "--autoencoder": "autoencoder"}
    options = [word for option, file in files.items() for word in (option, str(folder / file))]
    options += ["--config", config, "--device", "cpu"]
    for stop in [*stops, None]:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *(launcher if processes > 1 else []), "-m", __spec__.name, "train", str(out)]
        told = os.environ | {STOP_AT: str(stop or ""), IN_HALVES: "yes" if in_halves and processes == 1 else ""}
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, env=told)
        if f"terminated after step {stop}" not in done.stderr if stop else done.returncode:
            raise RuntimeError(done.stderr[-6000:])
        print(f"{name}: to step {stop or steps} in processes: {processes}", flush=True)
        processes = 3 - processes
    return out


def train_and_stop() -> None:
    """Be `syncdiff train`, in a process of `train`."""
    from syncdiff.cli import main as syncdiff

    own_step = Trainer.step

    def step(self: Trainer[Any], loss: Callable[..., Losses], batch: Any) -> None:
        last = os.environ.get("LOCAL_WORLD_SIZE", "1") == str(int(os.environ.get("RANK", "0")) + 1)
        if last and self.run.label == "train" and str(self.done + 1) == os.environ[STOP_AT]:
            os.kill(os.getpid(), signal.SIGTERM)
        own_step(self, halved(loss) if os.environ[IN_HALVES] else loss, batch)

    with patch.object(Trainer, "step", step):
        syncdiff()


def halved(loss: Callable[..., Losses]) -> Callable[..., Losses]:
    """Return a loss that takes a step's samples in two halves, as two processes would, from the same random numbers.

    The gradient of the first half is there when it returns; that of the second is added when the caller goes back.
    """

    def of_halves(model: Any, batch: dict[str, Tensor]) -> Losses:
        state, halves = torch.get_rng_state(), []
        for rank in range(2):
            torch.set_rng_state(state)
            process = SimpleNamespace(process_index=rank, num_processes=2)
            with patch("syncdiff.diffusion.loss.PartialState", lambda process=process: process):
                losses = loss(model, {name: rows[rank::2].contiguous() for name, rows in batch.items()})
            halves.append({name: value / 2 for name, value in losses.items()})
            if rank == 0:
                halves[0]["loss"].backward()
        return {name: halves[0][name].detach() + halves[1][name] for name in losses}

    return of_halves


def differences(a: Path, b: Path) -> dict[str, float]:
    """Return the greatest difference of a weight, of an averaged weight and of a logged loss (as a share of it)."""
    resumed = [torch.load(run / RESUME, weights_only=True)["model"] for run in (a, b)]
    averaged = [load_file(run / "denoiser.safetensors") for run in (a, b)]
    curves = [pd.read_csv(run / "loss.csv")["loss"] for run in (a, b)]
    return {
        "weight": greatest(*resumed),
        "averaged_weight": greatest(*averaged),
        "loss": float((curves[0] / curves[1] - 1).abs().max()),
    }


def greatest(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Return the greatest absolute difference between two sets of weights."""
    return max(float((a[name] - b[name]).abs().max()) for name in a)


if __name__ == "__main__":
    train_and_stop() if sys.argv[1:2] == ["train"] else main()
