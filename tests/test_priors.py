"""The three priors: the mask leaks nothing of the jaw, the identity frame is of the usual pose, reducing averages."""

import json
from pathlib import Path

import numpy as np
import pytest

from syncdiff.config import parse_config
from syncdiff.faces.align import template
from syncdiff.faces.shard import file_faces
from syncdiff.media.video import decode_crops
from syncdiff.pipeline.files import read_parquet
from syncdiff.priors import identity_index, masked_frame, mouth_mask, priors_shard, reduce_pose
from syncdiff.shards.tar import clip_key, decode_npy, encode_npy, read_shard, to_json, write_shard
from tests.members import crop_bytes

SIZES = [32, 64, 256]


@pytest.mark.quick
@pytest.mark.parametrize("size", SIZES)
def test_the_mask_hides_lips_and_chin_but_not_the_eyes(size: int) -> None:
    mask = mouth_mask(size)
    assert mask.shape == (size, size)
    assert mask.dtype == np.float32
    assert np.array_equal(mask, mask[:, ::-1])
    eyes_and_nose = np.rint(template(size)[:8]).astype(int)  # corners of the eyes, ridge of the nose
    assert (mask[eyes_and_nose[:, 1], eyes_and_nose[:, 0]] == 0).all()
    rows = (size * np.array([0.6, 0.7, 0.8, 0.95])).astype(int)  # upper lip, lower lip, chin, chin of an open mouth
    assert (mask[rows, size // 2] == 1).all()
    assert mask[-1, size // 2] > 0


@pytest.mark.quick
@pytest.mark.parametrize("size", SIZES)
def test_the_mask_falls_gently_inside_its_edge(size: int) -> None:
    steps = np.abs(np.diff(mouth_mask(size), axis=0)).max()
    assert steps <= max(1 / (0.04 * size), 0.4) + 1e-6


@pytest.mark.quick
def test_the_masked_frame_does_not_depend_on_what_is_hidden() -> None:
    random = np.random.default_rng(0)
    mask = mouth_mask(64)
    frames = random.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    changed = np.where(mask[..., None] > 0, random.integers(0, 256, frames.shape, dtype=np.uint8), frames)
    assert not np.array_equal(frames, changed)
    assert np.array_equal(masked_frame(frames, mask), masked_frame(changed, mask))
    assert np.array_equal(masked_frame(frames, mask)[:, :20], frames[:, :20])


@pytest.mark.quick
def test_the_identity_frame_is_that_of_the_most_usual_pose() -> None:
    """Neither what the mouth does nor where in the picture the face is matters."""
    random = np.random.default_rng(0)
    turns = np.array([-9, 4, 1, -3, 0.5, 12, -0.2], np.float32)  # of the head, in pixels of the crop; the median is 0.5
    still = random.uniform(10, 50, (68, 2)).astype(np.float32)
    crop = still + turns[:, None, None] * np.linspace(0.5, 1, 68, dtype=np.float32)[:, None]
    crop[4, 48:] += 20  # a mouth like no other
    transforms = np.zeros((7, 2, 3), np.float32)  # source to crop: half the size, elsewhere in each frame
    transforms[:, [0, 1], [0, 1]], transforms[:, :, 2] = 0.5, random.uniform(-90, 90, (7, 2))
    source = (crop - transforms[:, None, :, 2]) / 0.5
    assert identity_index(source, transforms) == 4


@pytest.mark.quick
def test_the_reduction_averages_areas() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    reduced = reduce_pose(frames, 8)
    expected = frames.reshape(3, 8, 8, 8, 8, 3).mean(axis=(2, 4))
    assert reduced.dtype == np.uint8
    assert np.abs(reduced - expected).max() <= 0.5 + 1e-6


def test_a_damaged_clip_is_a_row_and_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    config = parse_config({"priors": {"pose_size": 4}})
    random = np.random.default_rng(0)
    crops = random.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    landmarks, transforms = random.normal(size=(6, 68, 2)), random.normal(size=(6, 2, 3))
    geometry = {"landmarks.npy": encode_npy(landmarks), "transform.npy": encode_npy(transforms)}
    faces = [
        {"__key__": clip_key(clip), "json": to_json({"clip": clip}), "crop.mp4": mp4, **geometry}
        for clip, mp4 in (("a", b"no mp4"), ("b", crop_bytes(crops)))
    ]
    write_shard(tmp_path / "faces.tar", faces)
    priors_shard(config, tmp_path / "faces.tar", tmp_path / "priors.tar", tmp_path / "priors.parquet")
    [sample] = read_shard(tmp_path / "priors.tar")
    assert json.loads(sample["json"]) == {"clip": "b", "identity": identity_index(landmarks, transforms)}
    assert np.array_equal(decode_npy(sample["pose.npy"]), reduce_pose(decode_crops(faces[1]["crop.mp4"]), 4))
    rows = read_parquet(tmp_path / "priors.parquet").set_index("clip")
    assert rows["status"].to_dict() == {"a": "rejected", "b": "ok"}
    assert "priors: 2 in, 1 ok, 1 rejected, 0 failed" in caplog.text


def test_the_mask_hides_lips_and_jaw_of_real_speakers(shared: Path, tmp_path: Path) -> None:
    config = parse_config({})
    mask = mouth_mask(config.faces.size)
    for video in sorted(shared.glob("clips/lrs2_mini/mvlrs_v1/main/*/*.mp4"))[:3]:
        row = {"clip": "a", "video": str(video), "width": 160, "height": 160, "text": "", "split": "test"}
        sample = file_faces(config.faces, "largest", "cpu", tmp_path, row)[0].sample
        assert sample
        transform, landmarks = np.load(sample["transform.npy"]), np.load(sample["landmarks.npy"])
        points = np.einsum("tij,tkj->tki", transform[..., :2], landmarks) + transform[:, None, :, 2]
        moving = np.rint(points[:, [*range(4, 13), *range(48, 68)]]).astype(int)  # jaw line below the ears, lips
        assert (mask[moving[..., 1], moving[..., 0]] == 1).all()
