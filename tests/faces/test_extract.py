"""The stage: every planned clip has a row, samples hold what the next stages need, bytes repeat."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncdiff.config import Config, parse_config
from syncdiff.faces.align import ANCHORS, template
from syncdiff.faces.shard import faces_shard
from syncdiff.media.audio import read_audio, read_wav
from syncdiff.media.video import decode_crops, read_frames, write_video
from syncdiff.shards.tar import clip_key, decode_npy, read_shard


@pytest.fixture
def config() -> Config:
    return parse_config({"faces": {"size": 64}})


def plan_of(folder: Path, videos: dict[str, Path]) -> Path:
    rows = [
        {"clip": clip, "video": str(path), "width": 160, "height": 160, "text": "A"} for clip, path in videos.items()
    ]
    plan = folder / "clips.parquet"
    table = pd.DataFrame(rows).assign(status="ok", split="test", shard="00000")
    other = table.assign(clip=table["clip"] + "/other", shard="00001")
    refused = table.assign(clip=table["clip"] + "/refused", status="rejected")
    pd.concat([table, other, refused]).to_parquet(plan)
    return plan


def run(config: Config, plan: Path, name: str, workers: int = 1) -> tuple[list[dict], pd.DataFrame]:
    tar, ledger = plan.with_name(f"{name}.tar"), plan.with_name(f"{name}.parquet")
    faces_shard(config, plan, "test", "00000", tar, ledger, workers)
    return list(read_shard(tar)), pd.read_parquet(ledger)


def test_sample_of_a_good_clip(shared: Path, tmp_path: Path, config: Config) -> None:
    video = next((shared / "clips" / "lrs2_mini").rglob("*.mp4"))
    (sample,), ledger = run(config, plan_of(tmp_path, {"main/6000/1": video}), "a")
    assert ledger.to_dict("records") == [
        {"clip": "main/6000/1", "stage": "faces", "status": "ok", "reason": "", "file": "main/6000/1"}
        | {"first_frame": 0, "n_frames": 75}
    ]
    facts = json.loads(sample["json"])
    assert sample["__key__"] == clip_key("main/6000/1")
    assert facts["source_sha256"] == hashlib.sha256(video.read_bytes()).hexdigest()
    assert (facts["n_frames"], facts["first_frame"], facts["split"], facts["text"]) == (75, 0, "test", "A")
    landmarks, transforms = decode_npy(sample["landmarks.npy"]), decode_npy(sample["transform.npy"])
    assert (landmarks.shape, landmarks.dtype) == ((75, 68, 2), np.float32)
    assert (transforms.shape, transforms.dtype) == ((75, 2, 3), np.float32)
    assert decode_crops(sample["crop.mp4"]).shape == (75, 64, 64, 3)
    assert len(read_wav(sample["audio.wav"])) == 75 * 640
    aligned = np.einsum("tij,tpj->tpi", transforms[..., :2], landmarks[:, ANCHORS]) + transforms[:, None, :, 2]
    assert np.abs(aligned - template(64)).max() < 5
    assert np.abs(np.diff(aligned, axis=0)).max() < 1.5  # steady


def test_trimmed_clip_keeps_sound_and_picture_together(shared: Path, tmp_path: Path, config: Config) -> None:
    """Half a second without a face first: the crops and the sound begin where the face does."""
    video = next((shared / "clips" / "lrs2_mini").rglob("*.mp4"))
    frames, audio = list(read_frames(video)), read_audio(video)
    blank = [np.zeros_like(frames[0])] * 12
    sound = np.concatenate([np.full(12 * 640, 500, np.int16), audio])
    write_video(tmp_path / "late.mp4", [*blank, *frames], [sound])
    (sample,), ledger = run(config, plan_of(tmp_path, {"late": tmp_path / "late.mp4"}), "a")
    assert ledger["reason"].item().startswith("kept frames 12 to 86 of 87")
    assert ledger["first_frame"].item() == 12
    (whole,), _ = run(config, plan_of(tmp_path, {"whole": video}), "b")
    back = read_wav(sample["audio.wav"]).astype(float)
    assert np.corrcoef(back, read_wav(whole["audio.wav"]))[0, 1] > 0.95
    crops, expected = decode_crops(sample["crop.mp4"]), decode_crops(whole["crop.mp4"])
    assert np.abs(crops.astype(int) - expected).mean() < 4


def test_bad_clips_become_rows(shared: Path, tmp_path: Path, config: Config) -> None:
    raw = shared / "clips" / "raw"
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    videos = {
        "broken": tmp_path / "broken.mp4",
        "good": next((shared / "clips" / "lrs3_mini").rglob("*.mp4")),
        "missing": tmp_path / "missing.mp4",
        "mute": raw / "face_noaudio_stream_256.mp4",
        "noface": raw / "noface_office_1s.mp4",
        "sound": raw / "audio_only_container.avi",
    }
    samples, ledger = run(config, plan_of(tmp_path, videos), "a")
    assert [sample["__key__"] for sample in samples] == ["good"]
    statuses = dict.fromkeys(videos, "rejected") | {"good": "ok", "missing": "failed"}
    assert dict(zip(ledger["clip"], ledger["status"], strict=True)) == statuses
    reasons = dict(zip(ledger["clip"], ledger["reason"], strict=True))
    assert reasons["broken"].startswith("cannot be decoded")
    assert "No such file" in reasons["missing"]
    assert reasons["mute"] == "no audio stream"
    assert reasons["noface"].startswith("no face in any of 30 frames (not seen are faces under about 25 pixels")
    assert reasons["sound"] == "no video stream"


def test_same_bytes_with_any_number_of_workers(shared: Path, tmp_path: Path, config: Config) -> None:
    videos = {str(index): path for index, path in enumerate(sorted((shared / "clips" / "lrs3_mini").rglob("*.mp4")))}
    plan = plan_of(tmp_path, videos)
    run(config, plan, "one", workers=1)
    run(config, plan, "two", workers=2)
    for suffix in (".tar", ".parquet"):
        assert plan.with_name(f"one{suffix}").read_bytes() == plan.with_name(f"two{suffix}").read_bytes()
