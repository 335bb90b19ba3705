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

from syncdiff.config import read_config
from syncdiff.errors import UserError
from syncdiff.pipeline.files import sha256, write_text
from syncdiff.pipeline.stages import STAGES

SUFFIX = ".provenance.json"
RECORDED = (".tar", ".parquet", ".safetensors")  # what is written with a provenance, always
MISSING, UNREADABLE = "missing", "not readable"
UNREAD = (MISSING, UNREADABLE)
PACKAGES = ["av", "diffusers", "mediapipe", "numpy", "opencv-python-headless", "pyarrow", "syncdiff", "torch"]


@contextmanager
def provenance(stage: str, config: str, inputs: Sequence[Path], outputs: Sequence[Path]) -> Iterator[list[Path]]:
    """Run a stage's work and, if it ends well, write its provenance beside the first output.

    The file <output>.provenance.json holds the stage and its version, its slice of the config, sha256 of its inputs
    and outputs, package versions, the machine, the start and the seconds taken. Files are named from the record's own
    folder, so that a results folder may be moved; `place` is where that folder was.

    Args:
        stage: a key of `stages.STAGES`.
        config: what the command was given as --config: inline JSON or a file's name; its contents are recorded.
        inputs: files that it reads, as far as its command line names them: a plan reads the corpus's own videos
            (whose sha256 stand in the JSON of the faces), the ledger and the report what lies in a results folder.
        outputs: files that it writes, at least one; a folder stands for all files below it.

    Yields:
        The list of outputs, for those whose names only the work itself knows.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    given, made = read_config(config), list(outputs)
    place = Path(os.path.abspath(outputs[0].parent))  # noqa: PTH100 (a link in the path stays one)
    yield made
    if os.environ.get("RANK", "0") != "0":  # of the processes that share a training, one writes
        return
    seconds = round(time.monotonic() - clock, 1)
    record = {
        "stage": stage,
        "version": STAGES[stage].version,
        "config": given,
        "place": str(place),
        "inputs": _digests(inputs, place, known_digest),
        "outputs": _digests(made, place, sha256),
        "stats": {os.path.relpath(path, place): _stat(path) for path in made if path.is_file()},
        "packages": {name: version(name) for name in PACKAGES},
        "machine": {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        "started": started.isoformat(timespec="seconds"),
        "seconds": seconds,
    }
    write_text(f"{outputs[0]}{SUFFIX}", json.dumps(record, indent=2, default=str) + "\n")


def _digests(paths: Sequence[Path], place: Path, digest: Callable[[Path], str]) -> dict[str, str]:
    """Return the sha256 of files, and of those below folders, by their paths from `place`."""
    files = (file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]))
    return {os.path.relpath(file, place): digest(file) for file in files if not file.is_dir()}


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
    return _read(beside)["config"]


def refuse_own_expert(scorer: Path, denoiser: Path) -> None:
    """Let no network score what was trained with it: by its bytes, wherever it lies.

    A denoiser that is not there, as that of an external method, or that has no provenance, is let pass.

    Raises:
        UserError: `scorer` is among the inputs of `denoiser`.
    """
    record = Path(f"{denoiser}{SUFFIX}")
    if record.is_file() and sha256(scorer) in _read(record)["inputs"].values():
        raise UserError(f"{scorer}: {denoiser} was trained with this SyncNet; score it by another one")


def known_digest(path: Path) -> str:
    """Return sha256 of a file: read, or as the provenance beside it has it, if size and time are still those there.

    So a training need not read terabytes for what their own stages have written down. `verify` reads all.
    """
    beside = Path(f"{path}{SUFFIX}")
    if beside.is_file():
        record = _read(beside)
        if path.name in record["outputs"] and record.get("stats", {}).get(path.name) == _stat(path):
            return record["outputs"][path.name]
    return sha256(path)


@dataclass(frozen=True)
class Verification:
    """How many artifacts were compared, and a line for each file that is not what its provenance says."""

    checked: int
    faults: list[str]


def verify(folder: Path) -> Verification:
    """Hash again every artifact below `folder` that has a provenance, and the inputs that it was made from.

    Files are looked for where they lie from their record, so that a moved or copied folder is judged by itself. Only an
    input from outside `folder` that is not there is looked for where it was when the record was written.

    A fault is an artifact that has changed, is missing, or has no provenance; an input that has changed or is missing;
    and a record that cannot be read. Each is one line, however many artifacts were made from it.

    Raises:
        UserError: no such folder, or no provenance in it.
    """
    root = Path(os.path.abspath(folder))  # noqa: PTH100
    files = _files(root)
    paths = [path for path in files if path.name.endswith(SUFFIX)]
    if not paths:
        raise UserError(f"{folder}: no {SUFFIX[1:]} below it; name a folder that the workflow has written")
    records, faults = _read_all(paths)
    outputs = {path: _at(path.parent, record["outputs"]) for path, record in records.items()}
    inputs = {path: _inputs(root, path.parent, record) for path, record in records.items()}
    digest = cache(_digest)
    for path, recorded in outputs.items():
        faults |= _changed_outputs(path, recorded, digest)
    own = {file: expected for recorded in outputs.values() for file, expected in recorded.items()}
    for path, recorded in inputs.items():
        told_of = {file for file in recorded if digest(file) != own.get(file, digest(file))}
        faults |= _changed_inputs(path, {file: recorded[file] for file in recorded.keys() - told_of}, digest)
    if len(records) == len(paths):  # else nobody knows what stood in the others
        known = own.keys() | {file for recorded in inputs.values() for file in recorded}
        for file in files:
            if file.suffix in RECORDED and file not in known:
                faults[file] = f"{file}: no provenance says what it was made from; run the workflow again"
    return Verification(sum(map(len, outputs.values())), [faults[file] for file in sorted(faults)])


def _read_all(paths: Sequence[Path]) -> tuple[dict[Path, dict[str, Any]], dict[Path, str]]:
    """Read records; return those that can be verified, and a line for each other, one for all of an earlier version."""
    records, faults = {}, {}
    for path in paths:
        try:
            records[path] = _read(path)
        except UserError as error:
            faults[path] = str(error)
    if old := [path for path, record in records.items() if "place" not in record]:
        rest = f"this and {len(old) - 1} other records are of an earlier version and cannot be verified"
        faults[old[0]] = f"{old[0]}: {rest}"
    return {path: record for path, record in records.items() if path not in old}, faults


def _files(root: Path) -> list[Path]:
    """Return all files below a folder, through links to folders as well, each folder once; hidden ones are left out."""
    found, seen = [], set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


def _at(place: Path, recorded: dict[str, str]) -> dict[Path, str]:
    """Name files from `place`, as it is written: `..` leads back out of a link."""
    return {Path(os.path.normpath(place / name)): digest for name, digest in recorded.items()}


def _inputs(root: Path, place: Path, record: dict[str, Any]) -> dict[Path, str]:
    """Name the inputs of a record that lies in `place`, below `root`."""
    here, there = _at(place, record["inputs"]), _at(Path(record["place"]), record["inputs"])
    return {
        file if file.is_relative_to(root) or file.exists() else before: digest
        for (file, digest), before in zip(here.items(), there, strict=True)
    }


def _changed_outputs(record: Path, recorded: dict[Path, str], digest: Callable[[Path], str]) -> dict[Path, str]:
    """Return a line for each output that is not what `record` says, or one for all where nothing is left of them."""
    found = {file: digest(file) for file in recorded}
    if len(found) > 1 and set(found.values()) == {MISSING}:
        return {record: f"{record}: none of its {len(found)} artifacts is there; delete it and run the workflow again"}
    return {
        file: f"{file}: {found[file]}, its provenance says {expected}"
        for file, expected in recorded.items()
        if found[file] != expected
    }


def _changed_inputs(record: Path, recorded: dict[Path, str], digest: Callable[[Path], str]) -> dict[Path, str]:
    """Return a line for each input that is not what it was when the artifact of `record` was made from it."""
    artifact = str(record).removesuffix(SUFFIX)
    found = {file: digest(file) for file in recorded}
    return {
        file: f"{file}: {'is ' + found[file] if found[file] in UNREAD else 'has changed'}; {artifact} was made from it"
        for file, expected in recorded.items()
        if found[file] != expected
    }


def _digest(file: Path) -> str:
    try:
        return sha256(file)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError:
        return UNREADABLE


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(record[key], dict) for key in ("config", "inputs", "outputs")):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a provenance file; delete it and what it stands beside, and run again") from None
    return record
