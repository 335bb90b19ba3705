"""The profile for SLURM and the rules ask for the same: needs no SLURM."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.slurm.conftest import PROFILE, ROOT

RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))
ASKED = re.compile(r"^        (mem_mb|runtime|gpu)=(\w+),$", re.MULTILINE)
RULE = re.compile(r"^(?:use rule \w+ as |rule )(\w+)(?: with)?:\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def _asked_by_rules() -> dict[str, dict[str, str]]:
    """The resources of each rule as its text says them."""
    texts = [found for path in RULES for found in RULE.findall(path.read_text())]
    return {
        name: dict(re.findall(r"^        (mem_mb|runtime|gpu)=(\w+),$", text, re.MULTILINE)) for name, text in texts
    }


def _profile() -> dict[str, dict[str, dict[str, str]]]:
    return yaml.safe_load((PROFILE / "config.yaml").read_text())


@pytest.mark.quick
def test_the_profile_asks_for_what_the_rules_ask_and_grows_with_each_attempt() -> None:
    asked = {
        name: {key: f"{value} * attempt" for key, value in resources.items() if key != "gpu"}
        for name, resources in _asked_by_rules().items()
    }
    told = {
        name: {key: value for key, value in resources.items() if key != "slurm_partition"}
        for name, resources in _profile()["set-resources"].items()
    }
    assert told == asked


@pytest.mark.quick
def test_the_jobs_in_the_gpu_partition_are_those_with_a_gpu() -> None:
    table = _profile()["set-resources"]
    assert {name for name, resources in table.items() if "slurm_partition" in resources} == {
        name for name, resources in _asked_by_rules().items() if resources.get("gpu", "FACES_GPU") != "FACES_GPU"
    }  # faces wants one with face_alignment alone: its row of the profile says so


@pytest.mark.slow
def test_a_dry_run_needs_no_slurm(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), "--dry-run"]
    dry = subprocess.run(
        [*command, "--profile", str(PROFILE), "--directory", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert dry.returncode == 0, dry.stderr
    assert "mem_mb=32000" in dry.stdout
    assert "slurm_partition=gpu" in dry.stdout
