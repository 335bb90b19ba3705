"""The stage `faces`: from planned clips to aligned crops, landmarks, transforms and audio, one tar per shard."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from syncdiff.config import Config, Faces
from syncdiff.faces.align import align
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.faces.track import find_speaker
from syncdiff.media.audio import pad_or_trim, stream_audio, write_wav
from syncdiff.media.container import FPS
from syncdiff.media.video import write_crops
from syncdiff.pipeline.files import read_parquet, scratch, sha256
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import each_clip
from syncdiff.shards.tar import Sample, clip_key, metadata, to_json, write_npy, write_shard

log = logging.getLogger(__name__)

KEPT = ("clip", "video", "width", "height", "text", "split")  # columns of the plan that go into a sample's JSON


def faces_shard(
    config: Config,
    plan: Path,
    split: str,
    shard: str,
    out_tar: Path,
    out_ledger: Path,
    workers: int = 1,
    device: str = "cpu",
) -> None:
    """Write the samples of one planned shard, and a ledger row for each of its clips.

    Args:
        plan: plan/clips.parquet; its rows with status `ok`, this split and this shard are the clips.
        workers: processes, over clips.
        device: of a landmarker that can use one, as `choose_device` takes it.

    Raises:
        UserError: no such landmarker's weights or device; the disk is full.
    """
    table = read_parquet(plan, "status", "split", "shard", *KEPT)
    rows = table[(table["status"] == "ok") & (table["split"] == split) & (table["shard"] == shard)].to_dict("records")
    ledger = Ledger("faces")

    def samples() -> Iterator[Sample]:
        with scratch(out_tar) as folder:
            work = partial(clip_faces, config.faces, device, folder, root=config.corpus_root)
            for row, outcome in each_clip(work, rows, workers, f"faces {split}/{shard}"):
                if outcome.value is None:
                    ledger.record(row["clip"], outcome, first_frame=0, n_frames=0)
                    continue
                sample, note = outcome.value
                facts = metadata(sample)
                ledger.add(row["clip"], reason=note, first_frame=facts["first_frame"], n_frames=facts["n_frames"])
                yield sample

    write_shard(out_tar, samples())
    ledger.write(out_ledger)
    log.info(ledger.summary())


def clip_faces(
    faces: Faces, device: str, folder: Path, row: Mapping[str, Any], root: Path = Path()
) -> tuple[Sample, str]:
    """Make the sample of one row of the plan, in two passes over its frames so that none is kept.

    Args:
        folder: where the members other than json go (crop.mp4, landmarks.npy, transform.npy, audio.wav), as files.
        root: of the corpus, below which the row's video lies.

    Returns:
        The sample, and the note of its segment.

    Raises:
        ClipRejected: unreadable, without sound, or without one face for long enough.
    """
    video = root / row["video"]
    segment = find_speaker(video, open_landmarker(faces, device), faces)
    n_frames = len(segment.landmarks)
    parts = folder / uuid4().hex  # made with the first file in it
    write_wav(parts / "audio.wav", pad_or_trim(stream_audio(video, segment.start / FPS), n_frames))
    transforms, crops = align(video, segment, faces)
    write_crops(parts / "crop.mp4", crops)
    write_npy(parts / "landmarks.npy", segment.landmarks)
    write_npy(parts / "transform.npy", transforms.astype(np.float32))
    facts = {key: row[key] for key in KEPT} | {"n_frames": n_frames, "first_frame": segment.start}
    facts["source_sha256"] = sha256(video)
    members = {part.name: part for part in parts.iterdir()}
    return {"__key__": clip_key(row["clip"]), "json": to_json(facts), **members}, segment.note
