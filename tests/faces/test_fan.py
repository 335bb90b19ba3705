"""face-alignment: weights from a folder, missing ones named, the code path on random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.config import Faces
from syncdiff.errors import UserError
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


@pytest.mark.slow
def test_yunet_and_random_2dfan(shared: Path, tmp_path: Path) -> None:
    from face_alignment.models import FAN

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / "2DFAN4-11f355bf06.pth.tar")
    shutil.copy(shared / "weights" / "face_detection_yunet_2023mar.onnx", tmp_path)
    hub = torch.hub.get_dir()
    landmarker = open_landmarker(settings("yunet", tmp_path))
    assert torch.hub.get_dir() == hub
    frame = next(iter(read_frames(next((shared / "clips" / "lrs2_mini").rglob("*.mp4")))))
    with_face, without = landmarker.track([frame, np.zeros_like(frame)])
    assert [face.shape for face in with_face] == [(68, 2)]
    assert with_face[0].dtype == np.float32
    assert without == []
