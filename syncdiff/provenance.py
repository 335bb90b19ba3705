"""Provenance: beside each artifact, what it was made from and by what; and the check that all of it still agrees."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from syncdiff.artifacts import sha256, write_text
from syncdiff.config import read_config
from syncdiff.errors import UserError
from syncdiff.stages import STAGES

SUFFIX = ".provenance.json"
PACKAGES = ["av", "diffusers", "mediapipe", "numpy", "opencv-python-headless", "pyarrow", "syncdiff", "torch"]


@contextmanager
def provenance(stage: str, config: str, inputs: Sequence[Path], outputs: Sequence[Path]) -> Iterator[list[Path]]:
    """Run a stage's work and, if it ends well, write its provenance beside the first output.

    The file <output>.provenance.json holds the stage and its version, its slice of the config, sha256 of its inputs
    and outputs, package versions, the machine, the start and the seconds taken.

    Args:
        stage: a key of `stages.STAGES`.
        config: what the command was given as --config: inline JSON or a file's name.
        inputs: files that it reads, as far as its command line names them: a plan reads the corpus's own videos
            (whose sha256 stand in the JSON of the faces), the ledger and the report what lies in a results folder.
        outputs: files that it writes, at least one; a folder stands for all files below it.

    Yields:
        The list of outputs, for those whose names only the work itself knows.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    made = list(outputs)
    yield made
    if os.environ.get("RANK", "0") != "0":  # of the processes that share a training, one writes
        return
    seconds = round(time.monotonic() - clock, 1)
    record = {
        "stage": stage,
        "version": STAGES[stage].version,
        "config": json.loads(config) if config.lstrip().startswith("{") else config,
        "inputs": _digests(inputs, known_digest),
        "outputs": _digests(made, sha256),
        "stats": {str(path): _stat(path) for path in made if path.is_file()},
        "packages": {name: version(name) for name in PACKAGES},
        "machine": {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        "started": started.isoformat(timespec="seconds"),
        "seconds": seconds,
    }
    write_text(f"{outputs[0]}{SUFFIX}", json.dumps(record, indent=2) + "\n")


def _digests(paths: Sequence[Path], digest: Callable[[Path], str]) -> dict[str, str]:
    files = (file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]))
    return {str(file): digest(file) for file in files if not file.is_dir()}


def _stat(path: Path) -> list[int]:
    """Return what tells a file that was written anew: its size in bytes, and its time in nanoseconds."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def config_of(artifact: Path) -> dict[str, Any]:
    """Return the slice of the config that an artifact was made with.

    Raises:
        UserError: it has no provenance beside it.
    """
    beside = Path(f"{artifact}{SUFFIX}")
    if not beside.is_file():
        raise UserError(f"{beside}: no such file; name an artifact of a run, with its provenance beside it")
    config = _read(beside)["config"]
    return config if isinstance(config, dict) else read_config(config)


def refuse_own_teacher(scorer: Path, denoiser: Path) -> None:
    """Let no network score what was trained with it: by its bytes, wherever it lies.

    A denoiser that is not there, as that of an external method, or that has no provenance, is let pass.

    Raises:
        UserError: `scorer` is among the inputs of `denoiser`.
    """
    record = Path(f"{denoiser}{SUFFIX}")
    if record.is_file() and _digest(str(scorer)) in _read(record)["inputs"].values():
        raise UserError(f"{scorer}: {denoiser} was trained with this SyncNet; score it by another one")


def known_digest(path: Path) -> str:
    """Return sha256 of a file: read, or as the provenance beside it has it, if size and time are still those there.

    So a training need not read terabytes for what their own stages have written down. `verify` reads all.
    """
    beside = Path(f"{path}{SUFFIX}")
    if beside.is_file():
        record = _read(beside)
        stats, digests = record.get("stats", {}), record["outputs"]
        own = next((name for name in stats if Path(name).name == path.name and name in digests), None)
        if own and stats[own] == _stat(path):
            return digests[own]
    return sha256(path)


@dataclass(frozen=True)
class Verification:
    """How many artifacts were compared, and a line for each that is not what its provenance says."""

    checked: int
    faults: list[str]


def verify(folder: Path) -> Verification:
    """Hash again every artifact below `folder` that has a provenance, and the inputs that it was made from.

    Raises:
        UserError: no provenance there, or one that cannot be read.
    """
    records = [_read(path) for path in sorted(folder.rglob(f"*{SUFFIX}"))]
    if not records:
        raise UserError(f"{folder}: no {SUFFIX[1:]} below it; name a folder that the workflow has written")
    digest = cache(_digest)
    faults = []
    for record in records:
        for path, expected in record["outputs"].items():
            if (found := digest(path)) != expected:
                faults.append(f"{path}: {found or 'missing'}, its provenance says {expected}")
        for path, expected in record["inputs"].items():
            if (found := digest(path)) != expected:
                fault = "is missing" if found is None else "has changed since"
                faults.append(f"{next(iter(record['outputs']))}: made from {path}, which {fault}")
    return Verification(sum(len(record["outputs"]) for record in records), faults)


def _digest(path: str) -> str | None:
    return sha256(path) if Path(path).is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(record["inputs"], dict) and isinstance(record["outputs"], dict) and "config" in record):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a provenance file; delete it and what it stands beside, and run again") from None
    return record
