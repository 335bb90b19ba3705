"""The pictures of Wav2Lip's protocols."""

from itertools import repeat
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from syncdiff.config import Faces
from syncdiff.errors import ClipRejected
from syncdiff.evaluation.crops import aligned_crops, crop_face, face_boxes, scored_pictures, through_jpeg
from syncdiff.faces.shard import KEPT, file_faces
from syncdiff.media.video import decode_crops, read_frames, write_video
from syncdiff.shards.tar import metadata


@pytest.mark.quick
def test_crop_is_the_square_of_run_pipeline() -> None:
    """Half side 50, crop scale 0.4: from 50 above the centre to 90 below it, 70 to each side."""
    y, x = np.mgrid[:300, :400]
    frame = np.stack([x % 256, y % 256, x // 256], axis=-1).astype(np.uint8)
    crop = crop_face(frame, np.array([200.0, 150.0, 50.0]), 140)  # 140 pixels wide and high: not resized
    np.testing.assert_array_equal(crop, frame[100:240, 130:270])


@pytest.mark.quick
def test_crop_beyond_the_edge_is_grey() -> None:
    crop = crop_face(np.zeros((100, 100, 3), np.uint8), np.array([0.0, 0.0, 50.0]), 140)
    assert (crop[:40] == 110).all()
    assert (crop[:, :60] == 110).all()
    assert (crop[60:, 80:] == 0).all()


@pytest.mark.quick
@pytest.mark.parametrize("pixel_format", ["yuvj420p", "yuvj444p"])
def test_jpeg_streams_and_loses_little(pixel_format: str) -> None:
    y, x = np.mgrid[:64, :96]
    frames = [np.stack([x + i, y + i, 255 - x], axis=-1).astype(np.uint8) for i in range(4)]
    out = list(through_jpeg(frames, pixel_format))
    errors = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, out, strict=True)]
    assert 0 < max(errors) < 3


@pytest.mark.quick
@pytest.mark.parametrize("crop", ["face", "aligned"])
def test_no_face_is_rejected(crop: Literal["face", "aligned"], tmp_path: Path) -> None:
    write_video(tmp_path / "black.mp4", repeat(np.zeros((64, 64, 3), np.uint8), 8), [np.zeros(8 * 640, np.int16)])
    with pytest.raises(ClipRejected, match="no face"):
        scored_pictures(tmp_path / "black.mp4", 224, crop, jpeg=False)


def test_face_protocol_shows_the_lower_face_large(shared: Path, tmp_path: Path) -> None:
    video = sorted((shared / "clips/grid/mvlrs_v1/main").glob("*/*.mp4"))[0]
    audio, pictures = scored_pictures(video, 224, "face", jpeg=False)
    crops = list(pictures)
    n_frames = sum(1 for _ in read_frames(video))
    assert len(crops) == n_frames
    assert abs(len(audio) - n_frames * 640) < 3 * 640
    write_video(tmp_path / "crops.mp4", crops)
    start, boxes = face_boxes(tmp_path / "crops.mp4")
    assert start == 0
    x, y, half = np.median(boxes, axis=0)
    assert abs(x - 112) < 15  # centred
    assert y < 112  # more below the face than above it
    assert half == pytest.approx(224 / 2.8, rel=0.15)


def test_aligned_crops_are_those_of_the_stage_faces(shared: Path, tmp_path: Path) -> None:
    """But for the stage's encoding. The clip's first scenes have no speaker for long enough."""
    video = shared / "clips/raw/cuts_multi_noface_stage.mp4"
    row = dict.fromkeys(KEPT, "x") | {"video": str(video)}
    sample = file_faces(Faces(min_track_frames=6), "largest", "cpu", tmp_path, row)[0].sample
    assert sample
    start, crops = aligned_crops(video)
    assert start == metadata(sample)["first_frame"] > 0
    stored = decode_crops(sample["crop.mp4"].read_bytes())
    made = np.stack(list(crops))
    assert made.shape == stored.shape
    assert np.abs(made.astype(int) - stored).mean() < 3


def test_whole_frame_is_resized_as_opencv_does(shared: Path) -> None:
    clip = shared / "golden/syncnet/clip.mkv"
    _, pictures = scored_pictures(clip, 112, "none", jpeg=False)
    first = next(iter(read_frames(clip)))
    np.testing.assert_array_equal(next(pictures), cv2.resize(first, (112, 112)))
