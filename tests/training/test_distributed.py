"""Training in two processes: the same curve and weights as in one, and how it ends when one of them is ended."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from tests.training.noise import CONFIG, write_autoencoder, write_noise, write_sync

UNTAUGHT = CONFIG.replace('"steps": 4', '"steps": 0')  # without pretraining


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent and a speech shard of three clips of noise, and an autoencoder."""
    folder = tmp_path_factory.mktemp("shards")
    write_noise(folder / "latents.tar", folder / "speech.tar")
    write_autoencoder(folder / "autoencoder")
    return folder


def _train(
    shards: Path,
    out: Path,
    processes: int,
    program: Sequence[str] = ("-m", "syncdiff"),
    config: str = CONFIG,
    sync: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    options = ["--latents", str(shards / "latents.tar"), "--speech", str(shards / "speech.tar"), "--config", config]
    networks = ["--autoencoder", str(shards / "autoencoder"), *sync]
    command = [sys.executable, *launcher, *program, "train", str(out), *options, *networks, "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("in_two_stages", [False, True])
def test_two_processes_train_like_one(shards: Path, tmp_path: Path, in_two_stages: bool) -> None:
    config, sync = CONFIG, []
    if in_two_stages:
        judged = dict.fromkeys(("adversarial_weight", "feature_weight", "temporal_weight", "sync_weight"), 0.01)
        stage = {"steps": 3, "batch_size": 4, "learning_rate": 1e-4, **judged}
        config = json.dumps(json.loads(UNTAUGHT) | {"second_stage": stage})
        sync = write_sync(tmp_path)
    for processes in (1, 2):
        done = _train(shards, tmp_path / str(processes), processes, config=config, sync=sync)
        assert done.returncode == 0, done.stderr[-3000:]
    curves = [pd.read_csv(tmp_path / str(processes) / "loss.csv") for processes in (1, 2)]
    np.testing.assert_allclose(curves[0]["loss"], curves[1]["loss"], rtol=1e-4)
    if in_two_stages:
        looks = [pd.read_csv(tmp_path / str(processes) / "second_stage/loss.csv") for processes in (1, 2)]
        np.testing.assert_allclose(looks[0], looks[1], rtol=1e-3)
    one, two = (load_file(tmp_path / str(processes) / "denoiser.safetensors") for processes in (1, 2))
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], atol=1e-4, err_msg=name)


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


SIGTERM_TO_ONE = """
import os, signal
from pathlib import Path
from syncdiff.cli import main
from syncdiff.training.loop import Trainer

step, replace = Trainer.step, Path.replace
def signalled_step(self, *arguments):
    if os.environ["RANK"] == "1" and self.done == 5:
        os.kill(os.getpid(), signal.SIGTERM)
    step(self, *arguments)
def told_replace(self, target):
    print(f"rank {os.environ['RANK']} writes {Path(target).name}", flush=True)
    return replace(self, target)
Trainer.step, Path.replace = signalled_step, told_replace
main()
"""


@pytest.mark.slow
def test_sigterm_to_one_process_ends_all_after_the_same_step_and_the_main_one_alone_writes(
    shards: Path, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(SIGTERM_TO_ONE)
    stopped = _train(shards, tmp_path / "out", 2, [str(tmp_path / "program.py")])
    assert stopped.stderr.count("terminated after step 6") == 2
    assert set(re.findall(r"rank \d writes .*", stopped.stdout)) == {
        "rank 0 writes resume.pt",
        "rank 0 writes loss.csv",
    }
    resumed = _train(shards, tmp_path / "out", 2)
    assert "resumed at step 6 in all 2 processes" in resumed.stderr
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert (tmp_path / "out/denoiser.safetensors.provenance.json").exists()


OWN_FOLDERS = """
import os, sys
from syncdiff.cli import main

if os.environ["RANK"] == "1":
    sys.argv[2] += "-elsewhere"
main()
"""


@pytest.mark.slow
def test_processes_that_see_different_checkpoints_do_not_train(shards: Path, tmp_path: Path) -> None:
    """As on nodes that do not share the folder: the second would start afresh."""
    assert _train(shards, tmp_path / "out", 1, config=UNTAUGHT).returncode == 0
    (tmp_path / "program.py").write_text(OWN_FOLDERS)
    done = _train(shards, tmp_path / "out", 2, [str(tmp_path / "program.py")], config=UNTAUGHT)
    assert done.returncode != 0
    assert "not the same for all processes (steps 0 to 12); the folder must lie on a file system" in done.stderr
