"""The stage `faces`: from planned files to clips of one face each, one tar per shard.

A file gives one clip or several (`faces.tracks`, `faces.max_track_seconds`): aligned crops, landmarks, transforms and
audio.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

from syncdiff.config import Config, Faces
from syncdiff.faces.align import alignment, warp
from syncdiff.faces.clips import clip_names, find_clips, too_brief
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.faces.track import Segment
from syncdiff.media.audio import SAMPLES_PER_FRAME, pad_or_trim, read_wav, stream_audio, write_wav
from syncdiff.media.replay import Replay
from syncdiff.media.video import write_crops
from syncdiff.pipeline.files import read_parquet, scratch, sha256
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import each_clip
from syncdiff.shards.tar import Sample, clip_key, to_json, write_npy, write_shard

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
    """Write the samples of one planned shard, and its ledger: a row for each clip, one for a file that gave none.

    The ledger has further columns: `file`, the clip's row in the plan, and `first_frame` and `n_frames` in that file.

    Args:
        plan: plan/clips.parquet; its rows with status `ok`, this split and this shard are the files.
        workers: processes, over files.
        device: of a landmarker that can use one, as `choose_device` takes it.

    Raises:
        UserError: no such landmarker's weights or device; the disk is full.
    """
    table = read_parquet(plan, "status", "split", "shard", *KEPT)
    rows = table[(table["status"] == "ok") & (table["split"] == split) & (table["shard"] == shard)].to_dict("records")
    ledger = Ledger("faces")

    def samples() -> Iterator[Sample]:
        with scratch(out_tar) as folder:
            work = partial(file_faces, config.faces, config.tracks, device, folder, root=config.corpus_root)
            for row, outcome in each_clip(work, rows, workers, f"faces {split}/{shard}"):
                if outcome.value is None:
                    ledger.record(row["clip"], outcome, file=row["clip"], first_frame=0, n_frames=0)
                for face in outcome.value or []:
                    frames = {"first_frame": face.frames.start, "n_frames": len(face.frames)}
                    ledger.add(face.clip, "ok" if face.sample else "rejected", face.note, file=row["clip"], **frames)
                    if face.sample:
                        yield face.sample

    write_shard(out_tar, samples())
    ledger.write(out_ledger)
    log.info(_summary(ledger, len(rows)))


class FoundFace(NamedTuple):
    """A face of a file, in all frames of a clip or in too few for one."""

    clip: str
    frames: range  # of the file
    note: str  # what to know of the clip; of a face without a sample, why that is so
    sample: Sample | None = None


def file_faces(
    faces: Faces, tracks: str, device: str, folder: Path, row: Mapping[str, Any], root: Path = Path()
) -> list[FoundFace]:
    """Make the samples of one row of the plan.

    Args:
        tracks: `largest`, or `all` faces of the file.
        folder: where the members other than json go (crop.mp4, landmarks.npy, transform.npy, audio.wav), as files.
        root: of the corpus, below which the row's video lies.

    Returns:
        The clips in the order of their first frames, then the faces that were seen too briefly for one.

    Raises:
        ClipRejected: unreadable, without sound, or without one face for long enough.
    """
    video = root / row["video"]
    frames = Replay(video)
    found = find_clips(frames, open_landmarker(faces, device), faces, tracks)
    segments, names = found.long, clip_names(row["clip"], found)
    parts = [folder / uuid4().hex for _ in segments]
    _write_audio(video, segments, parts)
    _write_crops(frames, segments, parts, faces)
    facts = {key: row[key] for key in KEPT} | {"source_sha256": sha256(video)}
    if len(segments) > 1:
        facts["text"] = ""  # the transcript does not say which of its words are whose
    clips = [
        FoundFace(clip, segment.frames, segment.note, _sample(clip, segment, part, facts))
        for clip, segment, part in zip(names, segments, parts, strict=False)
    ]
    others = zip(names[len(clips) :], found.brief, strict=True)
    return clips + [FoundFace(clip, shown, too_brief(faces)) for clip, shown in others]


def _write_audio(video: Path, segments: Sequence[Segment], parts: Sequence[Path]) -> None:
    """Write the sound of each clip, 640 samples a frame; that of the file is decoded once."""
    whole = parts[0] / "whole.wav"
    write_wav(whole, pad_or_trim(stream_audio(video), segments[0].clip_frames))
    for segment, part in zip(segments, parts, strict=True):
        samples = read_wav(whole, segment.start * SAMPLES_PER_FRAME, segment.stop * SAMPLES_PER_FRAME)
        write_wav(part / "audio.wav", [samples])
    whole.unlink()


def _write_crops(frames: Replay, segments: Sequence[Segment], parts: Sequence[Path], faces: Faces) -> None:
    """Write landmarks, transforms and crops of each clip, in as many passes as there are faces at the same time."""
    waiting = list(zip(segments, parts, strict=True))
    while waiting:
        passing, shown, later = iter(frames), 0, []
        for segment, part in waiting:
            if segment.start < shown:
                later.append((segment, part))
                continue
            transforms = alignment(segment.landmarks, faces)
            own = islice(passing, segment.start - shown, segment.stop - shown)
            write_crops(part / "crop.mp4", (warp(*pair, faces.size) for pair in zip(own, transforms, strict=True)))
            write_npy(part / "landmarks.npy", segment.landmarks)
            write_npy(part / "transform.npy", transforms.astype(np.float32))
            shown = segment.stop
        waiting = later


def _sample(clip: str, segment: Segment, part: Path, facts: Mapping[str, Any]) -> Sample:
    own = {"clip": clip, "n_frames": len(segment.frames), "first_frame": segment.start}
    return {
        "__key__": clip_key(clip),
        "json": to_json({**facts, **own}),
        **{path.name: path for path in part.iterdir()},
    }


def _summary(ledger: Ledger, n_files: int) -> str:
    """Return the ledger's counts, and those of files where there are not as many."""
    used = {row["file"] for row in ledger.rows if row["status"] == "ok"}
    return ledger.summary() + (f"; {n_files} files in, {len(used)} used" if len(ledger.rows) != n_files else "")
