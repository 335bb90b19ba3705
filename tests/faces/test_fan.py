"""face-alignment: weights from a folder, missing ones named, the code path on random weights."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from syncdiff.config import Faces
from syncdiff.errors import UserError
from syncdiff.faces import fan
from syncdiff.faces.fan import FanLandmarker
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.media.video import read_frames


def settings(detector: str, weights: Path) -> Faces:
    return Faces(backend="face_alignment", detector=detector, weights=str(weights))


@pytest.mark.quick
@pytest.mark.parametrize(
    ("detector", "name"), [("sfd", "s3fd-619a316812.pth"), ("blazeface", "blazeface.pth"), ("yunet", "2023mar.onnx")]
)
def test_missing_weights_are_named(tmp_path: Path, detector: str, name: str) -> None:
    with pytest.raises(UserError, match=r"2DFAN4-11f355bf06.pth.tar: no such file") as error:
        open_landmarker(settings(detector, tmp_path))
    assert name in str(error.value)


@pytest.mark.quick
def test_weights_that_cannot_be_loaded(tmp_path: Path) -> None:
    for name in ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth"):
        (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot load its weights"):
        open_landmarker(settings("sfd", tmp_path))


@pytest.fixture(scope="module")
def landmarker(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> FanLandmarker:
    """YuNet with its weights, and a 2DFAN-4 with random ones."""
    from face_alignment.models import FAN

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), folder / "2DFAN4-11f355bf06.pth.tar")
    shutil.copy(shared / "weights" / "face_detection_yunet_2023mar.onnx", folder)
    hub = torch.hub.get_dir()
    made = open_landmarker(settings("yunet", folder))
    assert torch.hub.get_dir() == hub
    assert isinstance(made, FanLandmarker)
    return made


@pytest.mark.slow
def test_many_frames_at_a_time_give_what_each_alone_does(
    shared: Path, landmarker: FanLandmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan, "TOGETHER", 3)
    one = next(iter(read_frames(next((shared / "clips" / "lrs2_mini").rglob("*.mp4")))))
    two = cv2.resize(np.concatenate([one, one[:, ::-1]], axis=1), one.shape[1::-1], interpolation=cv2.INTER_AREA)
    frames = [one, np.zeros_like(one), two, two, np.roll(one, 5, axis=0)]
    found = list(landmarker.track(frames))
    assert [len(faces) for faces in found] == [1, 0, 2, 2, 1]
    assert {(face.shape, face.dtype.name) for faces in found for face in faces} == {((68, 2), "float32")}
    for frame, faces in zip(frames, found, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "No faces were detected."
            alone = landmarker._network.get_landmarks_from_image(frame) or []
        differences = [np.abs(face - other).max(axis=1) for face, other in zip(faces, alone, strict=True)]
        assert all((difference <= 1).mean() > 0.95 for difference in differences)  # random maps have near ties


def test_large_frames_go_a_few_at_a_time() -> None:
    def batches(height: int, width: int) -> list[int]:
        return [len(batch) for batch in fan._batches(iter([np.zeros((height, width, 3), np.uint8)] * 20))]

    assert batches(160, 160) == [16, 4]
    assert batches(360, 640) == [9, 9, 2]
    assert batches(1080, 1920) == batches(2160, 3840) == [1] * 20
    assert list(fan._batches(iter([]))) == []
