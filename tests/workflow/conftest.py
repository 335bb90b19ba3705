"""Running the workflow from a test."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = str(ROOT / "config/tiny.yaml")
RESULTS = "my 'best' $results"  # of the workflow that has run: a name that only quoting gets through a shell
Snakemake = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def snakemake() -> Snakemake:
    """Run `snakemake ARGUMENTS` on the project's Snakefile, which lies elsewhere, and return what it printed."""
    return run_snakemake


def run_snakemake(*arguments: str, folder: Path, project: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `snakemake ARGUMENTS` on the Snakefile of `project`, in a `folder` that needs no config.yaml."""
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": os.defpath}  # an environment that nobody has activated
    command = [str(bin_folder / "snakemake"), "--cores", "2", "--snakefile", str(project / "Snakefile")]
    return subprocess.run(
        [*command, "--directory", str(folder), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Path:
    """A folder in which the tiny workflow has run. Its results are in `RESULTS`; `results` is a link to them."""
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "config.yaml").write_text(f'results: "{RESULTS}"\n')
    (folder / "results").symlink_to(RESULTS)
    done = snakemake("--configfile", TINY, folder=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder
