"""docs/extending.md, A landmarker: what is shown finds the face of a clip as the stage `faces` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncdiff.config import parse_config
from syncdiff.faces.shard import faces_shard
from syncdiff.media.video import write_video
from syncdiff.pipeline.files import read_parquet
from syncdiff.registry.landmarkers import LANDMARKERS
from syncdiff.registry.part import Part
from syncdiff.shards.tar import decode_npy, read_shard
from tests.docs.blocks import install


def test_the_landmarker_shown_goes_through_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    install("A landmarker", "syncdiff.faces.fixed", LANDMARKERS, Part, monkeypatch)
    write_video(tmp_path / "a.mp4", [np.full((96, 96, 3), 90, np.uint8)] * 30, [np.full(30 * 640, 900, np.int16)])
    row = {"clip": "a", "video": str(tmp_path / "a.mp4"), "width": 96, "height": 96, "text": ""}
    pd.DataFrame([row | {"status": "ok", "split": "test", "shard": "00000"}]).to_parquet(tmp_path / "plan.parquet")
    config = parse_config({"faces": {"backend": "fixed"}})
    faces_shard(config, tmp_path / "plan.parquet", "test", "00000", tmp_path / "f.tar", tmp_path / "l.parquet")
    assert read_parquet(tmp_path / "l.parquet")["status"].tolist() == ["ok"]
    assert "faces: 1 in, 1 ok, 0 rejected, 0 failed" in caplog.text
    [sample] = read_shard(tmp_path / "f.tar")
    assert decode_npy(sample["landmarks.npy"]).shape == (30, 68, 2)
