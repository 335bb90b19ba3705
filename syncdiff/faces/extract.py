"""The stage `faces`: from planned clips to aligned crops, landmarks, transforms and sound, one tar per shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from syncdiff.artifacts import Ledger, each_clip, read_parquet, sha256
from syncdiff.config import Config, Faces
from syncdiff.faces.align import similarity, steady, warp
from syncdiff.faces.landmarks import Landmarker, open_landmarker
from syncdiff.faces.track import Segment, is_cut, speaker, thumbnail
from syncdiff.media.audio import fit_audio, read_audio, wav_bytes
from syncdiff.media.container import FPS
from syncdiff.media.video import encode_crops, read_frames
from syncdiff.shards.tar import clip_key, npy, to_json, write_shard

Sample = dict[str, Any]
KEPT = ("clip", "video", "width", "height", "text", "split")  # columns of the plan that go into a sample's JSON


def extract_shard(
    config: Config, plan: Path, split: str, shard: str, out_tar: Path, out_ledger: Path, workers: int = 1
) -> None:
    """Write the samples of one planned shard, and a ledger row for each of its clips.

    Args:
        plan: plan/clips.parquet; its rows with status `ok`, this split and this shard are the clips.
        workers: processes, over clips.
    """
    table = read_parquet(plan, "status", "split", "shard", *KEPT)
    rows = table[(table["status"] == "ok") & (table["split"] == split) & (table["shard"] == shard)].to_dict("records")
    ledger = Ledger("faces")
    work = partial(extract_clip, config.faces, config.device)

    def samples() -> Iterator[Sample]:
        for row, outcome in each_clip(work, rows, workers, f"faces {split}/{shard}"):
            if outcome.value is None:
                ledger.add(row["clip"], outcome.status, outcome.reason, first_frame=0, n_frames=0)
                continue
            sample, segment = outcome.value
            n_frames = len(segment.landmarks)
            ledger.add(row["clip"], reason=segment.note, first_frame=segment.start, n_frames=n_frames)
            yield sample

    write_shard(out_tar, samples())
    ledger.write(out_ledger)
    print(ledger.summary())


def extract_clip(faces: Faces, device: str, row: Mapping[str, Any]) -> tuple[Sample, Segment]:
    """Make the sample of one row of the plan, in two passes over its pictures so that none is kept.

    Returns:
        The sample (members json, crop.mp4, landmarks.npy, transform.npy, audio.wav) and the segment it shows.

    Raises:
        ClipRejected: unreadable, without sound, or without one face for long enough.
    """
    video = row["video"]
    segment = find_speaker(video, open_landmarker(faces, device), faces)
    n_frames = len(segment.landmarks)
    transforms, crops = align(video, segment, faces)
    facts = {key: row[key] for key in KEPT} | {"n_frames": n_frames, "first_frame": segment.start}
    facts["source_sha256"] = sha256(video)
    return {
        "__key__": clip_key(row["clip"]),
        "json": to_json(facts),
        "crop.mp4": encode_crops(crops),
        "landmarks.npy": npy(segment.landmarks),
        "transform.npy": npy(transforms.astype(np.float32)),
        "audio.wav": wav_bytes(fit_audio(read_audio(video, segment.start / FPS), n_frames)),
    }, segment


def align(video: Path | str, segment: Segment, faces: Faces) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Align the speaker's face: transforms (T, 2, 3) from the source to crops, and the crops (S, S, 3) uint8."""
    transforms = similarity(steady(segment.landmarks, faces.smoothing_frames), faces.size)
    frames = islice(read_frames(video), segment.start, segment.start + len(transforms))
    return transforms, (warp(*pair, faces.size) for pair in zip(frames, transforms, strict=True))


def find_speaker(video: Path | str, landmarker: Landmarker, faces: Faces) -> Segment:
    """Find the frames of a video that show its speaker, and the landmarks there.

    Raises:
        ClipRejected: unreadable, or without one face for long enough.
    """
    cuts: list[bool] = []

    def watched() -> Iterator[np.ndarray]:
        before: np.ndarray | None = None
        for frame in read_frames(video):
            after = thumbnail(frame)
            cuts.append(before is not None and is_cut(before, after))
            before = after
            yield frame

    found = list(landmarker.track(watched()))
    return speaker(found, np.array(cuts), faces.max_gap_frames, faces.min_track_frames)
