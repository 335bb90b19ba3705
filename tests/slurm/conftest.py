"""The test SLURM, and Snakemake on it through the project's profile."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, reason_to_skip

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "workflow/profiles/slurm"
# What one test machine needs beside the profile: no accounts, no accounting, no shared file system, and few cores.
HERE = ["--slurm-no-account", "--slurm-status-command", "squeue", "--latency-wait", "5", "--max-threads", "2"]
HERE += ["--slurm-init-seconds-before-status-checks", "1"]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A SLURM with an idle node, stopped when the tests are over."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def start(cluster: Cluster) -> Iterator[Start]:
    """Start `snakemake --profile workflow/profiles/slurm ARGUMENTS` in a folder, saying what it says into said.txt."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, folder: Path, snakefile: Path = ROOT / "Snakefile") -> subprocess.Popen[str]:
        bin_folder = Path(sys.executable).parent
        environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
        command = [str(bin_folder / "snakemake"), "--profile", str(PROFILE), *HERE, "--snakefile", str(snakefile)]
        (folder / "config.yaml").write_text((ROOT / "config.yaml").read_text())
        with (folder / "said.txt").open("w") as said:
            command += ["--directory", str(folder), *arguments]
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def until(there: Callable[[], bool], seconds: float) -> None:
    """Wait for something, or fail."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, f"not there after {seconds:.0f} s"
        time.sleep(0.1)
