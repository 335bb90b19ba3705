"""Training in two processes: the same curve and weights as in one, and an end with an error when one of them dies."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from syncdiff.shards.tar import npy, to_json, write_shard

CONFIG = (
    '{"train": {"steps": 12, "batch_size": 8, "warmup_steps": 2}, "denoiser": {"channels": [32, 32]},'
    ' "autoencoder": {"latent_channels": 4}, "speech": {"dim": 32, "layers": 1}}'
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent and a speech shard of three clips of noise."""
    folder = tmp_path_factory.mktemp("shards")
    random = np.random.default_rng(0)
    seen, heard = [], []
    for clip in "abc":
        about = {"__key__": clip, "json": to_json({"clip": clip})}
        planes = {name: random.normal(size=(20, 4, 8, 8)).astype(np.float16) for name in ("latents", "masked")}
        pose = random.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
        seen.append(about | {f"{name}.npy": npy(array) for name, array in {**planes, "pose": pose}.items()})
        heard.append(about | {"fbank.npy": npy(random.normal(size=(20, 104)).astype(np.float32))})
    write_shard(folder / "latents.tar", seen)
    write_shard(folder / "speech.tar", heard)
    return folder


def _train(
    shards: Path, out: Path, processes: int, program: Sequence[str] = ("-m", "syncdiff")
) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    options = ["--latents", str(shards / "latents.tar"), "--speech", str(shards / "speech.tar"), "--config", CONFIG]
    command = [sys.executable, *launcher, *program, "train", str(out), *options, "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_two_processes_train_like_one(shards: Path, tmp_path: Path) -> None:
    for processes in (1, 2):
        done = _train(shards, tmp_path / str(processes), processes)
        assert done.returncode == 0, done.stderr[-3000:]
    curves = [pd.read_csv(tmp_path / str(processes) / "loss.csv") for processes in (1, 2)]
    np.testing.assert_allclose(curves[0]["loss"], curves[1]["loss"], rtol=1e-3)
    one, two = (load_file(tmp_path / str(processes) / "denoiser.safetensors") for processes in (1, 2))
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], atol=2e-3, err_msg=name)


DIES = """
import os, sys
from syncdiff.cli import main
from syncdiff.training.loop import Trainer

step = Trainer.step
def dying_step(self, *arguments):
    if os.environ["RANK"] == "1" and self.done == 5:
        os._exit(9)
    step(self, *arguments)
Trainer.step = dying_step
main()
"""


@pytest.mark.slow
def test_a_process_that_dies_ends_the_job(shards: Path, tmp_path: Path) -> None:
    """The second process is gone after step 5; the first must not wait for it for ever."""
    (tmp_path / "dies.py").write_text(DIES)
    done = _train(shards, tmp_path / "out", 2, [str(tmp_path / "dies.py")])
    assert done.returncode != 0
    assert "exitcode  : 9" in done.stderr
    assert not (tmp_path / "out/denoiser.safetensors").exists()
