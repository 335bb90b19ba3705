"""Training over two nodes: what it asks for, what it says without SLURM, and, on the one machine there is, how it ends.

Debian's SLURM cannot make two nodes of a machine. `--set-resources train:nodes=1` alone differs from the real thing:
both tasks, each with its own torch.distributed.run, are put on one node.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from tests.slurm.cluster import jobs_of, slurm
from tests.slurm.conftest import PROFILE, ROOT, Start, until
from tests.training.noise import CONFIG, write_autoencoder, write_noise

pytestmark = pytest.mark.slow
RUN = "results/demo/runs/syncdiff"
AUTOENCODER = "results/demo/autoencoder"
SMALL = json.loads(CONFIG)
SMALL["train"] |= {"steps": 24, "checkpoint_every": 5}
TARGET = [f"{RUN}/denoiser.safetensors", "--allowed-rules", "train"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with config.yaml, and the shards and the autoencoder that a training reads."""
    write_noise(*_shards(tmp_path))
    write_autoencoder(tmp_path / AUTOENCODER)
    (tmp_path / "results/demo/latents.parquet").touch()  # the ledger that must have passed before
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    return tmp_path


def _shards(folder: Path) -> tuple[Path, Path]:
    """Where the latent and the speech shard lie."""
    train = folder / "results/demo/train"
    return train / "latents/00000.tar", train / "speech/fbank/00000.tar"


def _config(**changes: int) -> list[str]:
    """The options of Snakemake for the small training over two nodes."""
    small = SMALL | {"train": SMALL["train"] | {"nodes": 2} | changes}
    one_shard = "corpus={demo: {identities: 4, seconds: 1.2}}"
    return ["--config", one_shard, *(f"{section}={json.dumps(keys)}" for section, keys in small.items())]


def _snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), *arguments]
    return subprocess.run([*command, "--directory", str(folder)], capture_output=True, text=True, check=False)


def test_a_training_over_nodes_asks_for_all_of_their_gpus(folder: Path) -> None:
    """Read from a dry run, which needs no SLURM."""
    config = _config(processes=4)
    dry = _snakemake(folder, *TARGET, "--profile", str(PROFILE), "--dry-run", "--printshellcmds", *config)
    assert dry.returncode == 0, dry.stderr
    for asked in ("mpi=srun", "nodes=2", "tasks=2", "tasks_per_gpu=0", "gpu=8", "slurm_extra=--gpus-per-node=4"):
        assert asked in dry.stdout
    assert "srun --nodes=2 --ntasks=2" in dry.stdout
    assert "--nproc-per-node=4 --nnodes=2" in dry.stdout
    on_cpus = _snakemake(folder, *TARGET, "--profile", str(PROFILE), "--dry-run", *config, "device=cpu")
    assert "gpu=0" in on_cpus.stdout
    assert "gpus-per-node" not in on_cpus.stdout


def test_without_slurm_more_than_one_node_is_an_error_that_says_what_to_do(folder: Path) -> None:
    done = _snakemake(folder, *TARGET, "--cores", "1", *_config())
    assert done.returncode != 0
    assert (
        "config: train.nodes: 2 nodes need SLURM; add --profile workflow/profiles/slurm, or set it to 1" in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.slurm
def test_two_tasks_of_a_job_train_like_one_process(folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is put back into the queue in the middle: both tasks go on from the same checkpoint."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rows = ["nodes=1", "slurm_partition=gpu", "mem_mb=2000", "runtime=10"]
    resources = ["--set-resources", *(f"train:{row}" for row in rows)]
    process = start(*TARGET, *resources, *_config(), "device=cpu", folder=folder)
    until(lambda: (folder / RUN / "resume.pt").exists() or process.poll() is not None, 300)
    slurm("scontrol", "requeue", jobs_of("train", folder)[-1]["JobId"])
    assert process.wait(600) == 0, (folder / "said.txt").read_text()[-6000:]
    job = jobs_of("train", folder)[-1]
    assert (job["JobState"], job["Restarts"], job["NumTasks"]) == ("COMPLETED", "1", "2")
    log = (folder / "results/demo/logs/train-syncdiff.log").read_text()
    assert re.search(r"train: resumed at step \d+ in all 2 processes", log)

    one = _train_alone(folder)
    curves = [pd.read_csv(run / "loss.csv") for run in (one, folder / RUN)]
    np.testing.assert_allclose(curves[0]["loss"], curves[1]["loss"], rtol=1e-4)
    weights = [load_file(run / "denoiser.safetensors") for run in (one, folder / RUN)]
    for name, value in weights[0].items():
        np.testing.assert_allclose(value, weights[1][name], atol=1e-4, err_msg=name)


def _train_alone(folder: Path) -> Path:
    """The same training in one process, without Snakemake."""
    latents, speech = _shards(folder)
    options = ["--latents", str(latents), "--speech", str(speech), "--config", json.dumps(SMALL), "--device", "cpu"]
    options += ["--autoencoder", str(folder / AUTOENCODER)]
    command = [sys.executable, "-m", "syncdiff", "train", str(folder / "one"), *options]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "one"
