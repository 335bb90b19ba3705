"""Pack: join the faces, priors and speech of each clip into one shard, with an index and statistics."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from syncdiff.config import Config
from syncdiff.errors import ClipRejected
from syncdiff.media.video import FPS
from syncdiff.pipeline.files import sha256, write_text
from syncdiff.pipeline.ledger import LEDGER_COLUMNS, Ledger
from syncdiff.pipeline.parallel import attempt
from syncdiff.shards.tar import Sample, decode_npy, metadata, read_shard, to_json, write_shard

log = logging.getLogger(__name__)

INDEX_COLUMNS = [*LEDGER_COLUMNS, "key", "n_frames"]
VERSIONED = ["av", "mediapipe", "numpy", "opencv-python-headless", "syncdiff", "webdataset"]


def pack_shard(
    config: Config, faces_tar: Path, priors_tar: Path, speech_tar: Path, out_tar: Path, out_index: Path, out_stats: Path
) -> None:
    """Join three tars by key into `out_tar`, in the order of the faces.

    `out_index` is the ledger with the columns key and n_frames: a clip that one of the inputs lacks, or has with
    another number of frames, is left out with a row that says so. `out_stats` (JSON) is written last: where it
    exists, the shard is whole.

    Raises:
        UserError: an input is missing or damaged.
    """
    ledger = Ledger("shards")
    priors, speech = _by_key(priors_tar), _by_key(speech_tar)
    features = _widths(next(iter(speech.values()), {}))
    write_shard(out_tar, _join(faces_tar, priors, speech, ledger))
    ledger.write(out_index, ledger.frame().reindex(columns=INDEX_COLUMNS))
    stats = _stats(config, out_tar, ledger) | {"features": features}
    write_text(out_stats, json.dumps(stats, indent=2, sort_keys=True) + "\n")
    log.info(ledger.summary())


def join_clip(parts: dict[str, Sample | None]) -> Sample:
    """Return one sample with the members of all parts, their JSON merged.

    Args:
        parts: stage name -> the clip's sample there, None where that stage has none. The JSON of one of them holds
            n_frames, and each .npy member has a row a frame.

    Raises:
        ClipRejected: a part is missing, or an array has another number of rows.
    """
    lacking = [stage for stage, part in parts.items() if part is None]
    if lacking:
        raise ClipRejected(f"missing in {' and '.join(lacking)}; see the ledger there")
    joined: Sample = {}
    facts: dict[str, Any] = {}
    for part in parts.values():
        joined |= part or {}
        facts |= metadata(joined)
    for name, data in joined.items():
        if name.endswith(".npy") and (rows := len(decode_npy(data))) != facts["n_frames"]:
            raise ClipRejected(f"{name} has {rows} rows for {facts['n_frames']} frames")
    return joined | {"json": to_json(facts)}


def _join(faces_tar: Path, priors: dict[str, Sample], speech: dict[str, Sample], ledger: Ledger) -> Iterator[Sample]:
    """Yield the joined samples and fill the ledger; the crops, which are large, pass through one at a time."""
    for face in read_shard(faces_tar):
        key = face["__key__"]
        outcome = attempt(join_clip, {"faces": face, "priors": priors.pop(key, None), "speech": speech.pop(key, None)})
        n_frames = metadata(outcome.value)["n_frames"] if outcome.value else metadata(face).get("n_frames", 0)
        ledger.record(metadata(face)["clip"], outcome, key=key, n_frames=n_frames)
        if outcome.value is not None:
            yield outcome.value
    for key, stray in (priors | speech).items():
        ledger.add(metadata(stray)["clip"], "rejected", "missing in faces", key=key, n_frames=0)


def _by_key(tar: Path) -> dict[str, Sample]:
    return {sample["__key__"]: sample for sample in read_shard(tar)}


def _widths(sample: Sample) -> dict[str, int]:
    """Return the width of each feature set in a speech sample."""
    arrays = {name.removesuffix(".npy"): decode_npy(data) for name, data in sample.items() if name.endswith(".npy")}
    return {name: array.shape[1] for name, array in arrays.items() if array.ndim == 2}


def _stats(config: Config, tar: Path, ledger: Ledger) -> dict[str, Any]:
    """Count what went in, and say how it was made."""
    frames = [row["n_frames"] for row in ledger.rows if row["status"] == "ok"]
    return {
        "clips": len(frames),
        "frames": sum(frames),
        "hours": round(sum(frames) / FPS / 3600, 6),
        "bytes": tar.stat().st_size,
        "sha256": sha256(tar),
        "config": config.model_dump(mode="json", include={"faces", "priors", "speech"}),
        "versions": {name: version(name) for name in VERSIONED},
    }
