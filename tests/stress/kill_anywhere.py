"""Kill the tiny workflow at random moments of every stage, run it again each time, and compare with an undisturbed run.

python -m tests.stress.kill_anywhere [--kills 30] [--cores 2] [--seed 0]; writes benchmarks/results/kill.json.
To kill some stages alone: --stages measures curation --target results/demo/curation.parquet --name kill_curation.
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
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from machine import save  # benchmarks/machine.py, on the path that the Makefile sets

from syncdiff.pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
# Laid over config/tiny.yaml: each face of a film of two people is a clip, and clips are curated.
OVERLAY = "{corpus: {demo: {faults: 0.4}}, faces: {tracks: all}, curate: {min_face_px: 24}}\n"
LATEST_S = 6.0  # from when a stage is seen to run to the kill
COMPARED = {".tar", ".parquet", ".safetensors", ".mp4", ".csv"}
Run = Callable[[Path], subprocess.Popen[bytes]]  # starts the workflow in a folder
LEFT_OUT = {"logs", "benchmarks", "tensorboard", "figures"}  # they hold times


def main() -> None:
    """Run both, compare, write the result; exit code 1 if a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", nargs="+", default=sorted(STAGES.keys() - {"ablation"}), help="where it is killed")
    parser.add_argument("--target", default="eval", help="a rule or file that needs these stages")
    parser.add_argument("--name", default="kill", help="of the result")
    arguments = parser.parse_args()
    run = partial(start, arguments.target, arguments.cores)
    with tempfile.TemporaryDirectory() as folder:
        calm, harried = Path(folder, "calm"), Path(folder, "harried")
        for place in (calm, harried):
            place.mkdir()
            (place / "config.yaml").write_text((ROOT / "config.yaml").read_text())
            (place / "overlay.yaml").write_text(OVERLAY)
        finish(run, calm)
        random = np.random.default_rng(arguments.seed)
        stages = kill_often(run, harried, set(arguments.stages), arguments.kills, random)
        finish(run, harried)
        differing = compare(calm, harried)
        n_compared = len(digests(calm))
    result = {"kills": sum(stages.values()), "killed_during": dict(stages.most_common())}
    save(arguments.name, {**result, "artifacts_compared": n_compared, "differing": differing})
    sys.exit(1 if differing else 0)


def start(target: str, cores: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start the tiny workflow as the leader of a process group of its own."""
    command = ["snakemake", target, "--cores", str(cores), "--snakefile", str(ROOT / "Snakefile")]
    overlays = [str(ROOT / "config/tiny.yaml"), str(folder / "overlay.yaml")]
    options = ["--directory", str(folder), "--configfile", *overlays, "--rerun-incomplete", "--nolock"]
    log = (folder / "snakemake.log").open("ab")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.Popen([*command, *options], stdout=log, stderr=log, start_new_session=True, env=environment)


def finish(run: Run, folder: Path) -> None:
    """Run the workflow to its end."""
    process = run(folder)
    process.wait()
    check(process, folder)


def check(process: subprocess.Popen[bytes], folder: Path) -> None:
    """A run that ends by itself must have succeeded."""
    if process.returncode:
        raise RuntimeError((folder / "snakemake.log").read_text()[-6000:])


def kill_often(run: Run, folder: Path, stages: set[str], kills: int, random: np.random.Generator) -> Counter[str]:
    """Kill the workflow with all its jobs in each of the stages once, then again; return how often what was running."""
    killed: Counter[str] = Counter()
    left: set[str] = set()
    while sum(killed.values()) < kills:
        left = left or set(stages)
        seen, during = kill_in(run, left, folder, random.uniform(0, LATEST_S))
        if during:
            left -= seen
            killed[during] += 1
            print(f"kill {sum(killed.values())} of {kills}, after {'+'.join(seen)} began: {during}", flush=True)
        else:  # it had got to its end: begin anew
            shutil.rmtree(folder / "results")
    return killed


def kill_in(run: Run, stages: set[str], folder: Path, delay_s: float) -> tuple[set[str], str]:
    """Start the workflow and kill it so long after one of the stages was seen; return that, and what was running then.

    Returns:
        Empty ones, where it got to its end before.
    """
    process = run(folder)
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
