"""Checkpoints of a training run: which one it goes on from, and what becomes of those that do not fit it.

In a run's folder lie at most

- `resume.pt` and `resume.previous.pt`, its last two; the second is read where the first cannot be,
- `resume.<8 digits>.pt`, the last one of another run in this folder (another config, other data, another version of
  the stage), set aside; a run that it fits goes on from it. The `KEPT_ASIDE` newest of them are kept,
- `resume.damaged.pt`, the last one that could not be read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from syncdiff.config import Config
from syncdiff.pipeline.files import atomic, short_message
from syncdiff.pipeline.provenance import known_digest
from syncdiff.pipeline.stages import STAGES, config_slice

RESUME, PREVIOUS, DAMAGED = "resume.pt", "resume.previous.pt", "resume.damaged.pt"
ASIDE = "resume.[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f].pt"
KEPT_ASIDE = 3

# Keys of a stage's slice of the config that change neither what a training sees nor what it makes of it.
FREE = {
    *(f"{section}.checkpoint_every" for section in ("autoencoder", "syncnet", "pretraining", "train", "second_stage")),
    *("train.nodes", "train.processes"),
    # Names of files, whose contents count.
    *("speech.checkpoint", "autoencoder.pretrained", "syncnet.weights", "train.init", "second_stage.vgg"),
}
FREE_SECTIONS = {"corpus"}  # whose shards are files too
STEPS = ": the learning rate falls over all of its steps, so that the first ones would be others too"


def fingerprint(stage: str, config: Config, inputs: Iterable[Path]) -> str:
    """Return what a checkpoint and the run that goes on from it must share, as JSON.

    The version of the stage's code, what it reads of the config but for `FREE` keys, and the files that it reads, as
    one sha256 over theirs. Devices, nodes, processes and names of files do not count.

    Args:
        stage: a key of `stages.STAGES`.
        inputs: files; shards, and networks that are trained with or started from.
    """
    values = {key: value for key, value in json.loads(config_slice(config, stage)).items() if key not in FREE_SECTIONS}
    settings = {key: value for key, value in sorted(_flat(values)) if key not in FREE}
    read = hashlib.sha256("".join(map(known_digest, inputs)).encode()).hexdigest()
    return json.dumps({"version": STAGES[stage].version, "config": settings, "inputs": read})


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def write(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Write `resume.pt`; the one before it becomes `resume.previous.pt`."""
    pickled = io.BytesIO()  # writing to a file itself, torch hides why it cannot
    torch.save(checkpoint, pickled)
    newest = folder / RESUME
    with atomic(newest) as temporary:
        temporary.write_bytes(pickled.getbuffer())
        if newest.exists():
            newest.replace(folder / PREVIOUS)


def read(folder: Path, wanted: str) -> dict[str, Any] | None:
    """Return `resume.pt`, its tensors on the CPU, if it is there and has the fingerprint `wanted`."""
    path = folder / RESUME
    saved = torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
    return saved if saved and saved["fingerprint"] == wanted else None


def settle(folder: Path, wanted: str) -> list[str]:
    """Let `resume.pt` be the newest checkpoint with the fingerprint `wanted`, or no file; set aside what does not fit.

    Returns:
        A line on each checkpoint that is set aside, damaged or deleted.
    """
    fitting: dict[int, Path] = {}
    others: dict[Path, str] = {}
    said = []
    for path in filter(Path.exists, (folder / RESUME, folder / PREVIOUS, _aside(folder, wanted))):
        try:
            found, done = _peek(path)
        except Exception as error:  # a damaged file can raise anything
            path.replace(folder / DAMAGED)
            said.append(f"{path} is damaged ({short_message(error)}); it is kept as {DAMAGED}")
            continue
        if found == wanted:
            fitting[done] = path
        elif found not in others.values() and (path.name == RESUME or not _aside(folder, found).exists()):
            others[path] = found
    for path, found in others.items():
        path.replace(_aside(folder, found))
        next_ = f"going on from {fitting[max(fitting)].name}" if fitting else "starting afresh"
        why = f"{_difference(found, wanted)}; it is kept as {_aside(folder, found).name}"
        said.append(f"{path} is of another config or other data; {next_} ({why})")
    if fitting:
        fitting[max(fitting)].replace(folder / RESUME)
    return said + _prune(folder)


def _peek(path: Path) -> tuple[str, int]:
    """Return the fingerprint and the steps of a checkpoint, without reading its tensors."""
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return saved["fingerprint"], saved["done"]


def _aside(folder: Path, of: str) -> Path:
    return folder / f"resume.{hashlib.sha256(of.encode()).hexdigest()[:8]}.pt"


def _prune(folder: Path) -> list[str]:
    newest_first = sorted(folder.glob(ASIDE), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in newest_first[KEPT_ASIDE:]:
        path.unlink()
    return [f"{path} is deleted: {KEPT_ASIDE} newer ones are set aside there" for path in newest_first[KEPT_ASIDE:]]


def _difference(found: str, wanted: str) -> str:
    """Say what is other in a checkpoint's fingerprint than in that of this run."""
    try:
        before, now = json.loads(found), json.loads(wanted)
        if before["version"] != now["version"]:
            return f"version {before['version']} of the stage, this is {now['version']}"
        keys = sorted(before["config"].keys() | now["config"].keys())
        changes = [(key, before["config"].get(key), now["config"].get(key)) for key in keys]
    except (ValueError, KeyError, TypeError, AttributeError):  # of an older version, which had a sum only
        return "another config or other data"
    changes = [change for change in changes if change[1] != change[2]]
    if not changes:
        return "other shards or networks were read"
    said = ", ".join(f"{key} was {json.dumps(old)} and is {json.dumps(new)}" for key, old, new in changes[:3])
    return said + (STEPS if any(key.endswith(".steps") for key, *_ in changes) else "")
