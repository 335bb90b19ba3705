"""Kill the tiny workflow at random moments of every stage, run it again each time, and compare with an undisturbed run.

python -m tests.stress.kill_anywhere [--kills 30] [--cores 2] [--seed 0]; writes benchmarks/results/kill.json.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from machine import save  # benchmarks/machine.py, on the path that the Makefile sets

from syncdiff.pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
LATEST_S = 6.0  # from when a stage is seen to run to the kill
COMPARED = {".tar", ".parquet", ".safetensors", ".mp4", ".csv"}
LEFT_OUT = {"logs", "benchmarks", "tensorboard", "figures"}  # they hold times


def main() -> None:
    """Run both, compare, write the result; exit code 1 if a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        calm, harried = Path(folder, "calm"), Path(folder, "harried")
        for place in (calm, harried):
            place.mkdir()
            (place / "config.yaml").write_text((ROOT / "config.yaml").read_text())
        finish(calm, arguments.cores)
        random = np.random.default_rng(arguments.seed)
        stages = kill_often(harried, arguments.cores, arguments.kills, random)
        finish(harried, arguments.cores)
        differing = compare(calm, harried)
        n_compared = len(digests(calm))
    result = {"kills": sum(stages.values()), "killed_during": dict(stages.most_common())}
    save("kill", {**result, "artifacts_compared": n_compared, "differing": differing})
    sys.exit(1 if differing else 0)


def start(folder: Path, cores: int) -> subprocess.Popen[bytes]:
    """Start the tiny workflow as the leader of a process group of its own."""
    command = ["snakemake", "--cores", str(cores), "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    options = ["--configfile", str(ROOT / "config/tiny.yaml"), "--rerun-incomplete", "--nolock"]
    log = (folder / "snakemake.log").open("ab")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.Popen([*command, *options], stdout=log, stderr=log, start_new_session=True, env=environment)


def finish(folder: Path, cores: int) -> None:
    """Run the workflow to its end."""
    process = start(folder, cores)
    process.wait()
    check(process, folder)


def check(process: subprocess.Popen[bytes], folder: Path) -> None:
    """A run that ends by itself must have succeeded."""
    if process.returncode:
        raise RuntimeError((folder / "snakemake.log").read_text()[-6000:])


def kill_often(folder: Path, cores: int, kills: int, random: np.random.Generator) -> Counter[str]:
    """Kill the workflow with all its jobs in each stage once, then again; return how often what was running."""
    killed: Counter[str] = Counter()
    left: set[str] = set()
    while sum(killed.values()) < kills:
        left = left or STAGES.keys() - {"ablation"}  # which `eval` does not ask for
        seen, during = kill_in(left, folder, cores, random.uniform(0, LATEST_S))
        if during:
            left -= seen
            killed[during] += 1
            print(f"kill {sum(killed.values())} of {kills}, after {'+'.join(seen)} began: {during}", flush=True)
        else:  # it had got to its end: begin anew
            shutil.rmtree(folder / "results")
    return killed


def kill_in(stages: set[str], folder: Path, cores: int, delay_s: float) -> tuple[set[str], str]:
    """Start the workflow and kill it so long after one of the stages was seen; return that, and what was running then.

    Returns:
        Empty ones, where it got to its end before.
    """
    process = start(folder, cores)
    while process.poll() is None and not (seen := stages_running(process.pid) & stages):
        time.sleep(0.1)
    time.sleep(delay_s)
    if process.poll() is not None:
        check(process, folder)
        return set(), ""
    during = "+".join(sorted(stages_running(process.pid))) or "between jobs"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return seen, during


def stages_running(group: int) -> set[str]:
    """Return the syncdiff commands that run in a process group."""
    listed = subprocess.run(["ps", "-eo", "pgid,args"], capture_output=True, text=True, check=True).stdout
    lines = (line.split() for line in listed.splitlines()[1:])
    running = (words for words in lines if words[0] == str(group) and words[2:4] == ["-m", "syncdiff"])
    return {words[4] for words in running if len(words) > 4}


def digests(folder: Path) -> dict[str, str]:
    """Return sha256 of every artifact below a folder, by its path there."""
    files = (path for path in (folder / "results").rglob("*") if path.suffix in COMPARED)
    kept = (path for path in files if not LEFT_OUT.intersection(path.parts))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(kept)}


def compare(calm: Path, harried: Path) -> list[str]:
    """Return the artifacts that differ, or that only one of the two has."""
    first, second = digests(calm), digests(harried)
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


if __name__ == "__main__":
    main()
