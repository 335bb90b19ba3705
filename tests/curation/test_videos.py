"""`syncdiff curate` on videos: a clip for each face, a row for each video that could not be read."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncdiff import curate
from syncdiff.cli import main
from syncdiff.curation import videos as module
from syncdiff.errors import UserError
from syncdiff.faces.track import AllFaces, Segment
from syncdiff.media.video import read_frames, write_video
from syncdiff.models.syncnet import SyncNet, save_syncnet
from tests.evaluation.drawn import drawing, landmarks_of, sound

N_FRAMES = 12


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drawn videos, of which the second shows two faces, and a file that is none."""
    for name, seed in (("a", 0), ("b", 1)):
        frames = [drawing(4 + t % 5, seed) for t in range(N_FRAMES)]
        write_video(tmp_path / f"videos/{name}.mp4", frames, [sound(seed)[: 640 * N_FRAMES]])
    (tmp_path / "videos/broken.mp4").write_bytes(b"no video")

    def find_clips(frames: Iterable[np.ndarray], *_: object) -> AllFaces:
        brightness = float(np.mean(list(frames)))
        found = np.stack([landmarks_of(4)] * N_FRAMES)
        found[:, [36, 39, 42, 45, *range(27, 31), 33], 0] += np.arange(9)  # not all in one place
        segment = Segment(0, found, N_FRAMES, "")
        return AllFaces([segment, segment], [range(3)]) if brightness in two else AllFaces([segment], [])

    two = {float(np.mean(list(read_frames(tmp_path / "videos/b.mp4"))))}
    monkeypatch.setattr(module, "find_clips", find_clips)
    return tmp_path / "videos"


def test_each_face_has_a_row_and_so_has_a_file_that_is_no_video(folder: Path) -> None:
    rows = curate(folder, min_face_px=1).set_index("clip")
    assert [Path(clip).name for clip in rows.index] == [
        "a.mp4",
        *("b.mp4@000000", "b.mp4@000000+1", "b.mp4@000000+2"),
        "broken.mp4",
    ]
    assert rows["status"].tolist() == ["ok", "ok", "ok", "rejected", "rejected"]
    assert rows["reason"].iloc[3] == "a face that is seen too briefly; faces.min_track_frames is 25"
    assert rows["reason"].iloc[-1].startswith("cannot be decoded")
    assert rows["face_px"].notna().tolist() == [True, True, True, False, False]
    assert rows["confidence"].isna().all()


def test_of_two_faces_one_speaks(folder: Path, tmp_path: Path) -> None:
    save_syncnet(SyncNet(0.125, 64), tmp_path / "syncnet.safetensors", "drawings")
    rows = curate([folder / "b.mp4"], syncnet=tmp_path / "syncnet.safetensors")
    assert rows["status"].tolist() == ["ok", "rejected", "rejected"]
    assert rows["reason"][1] == f"another face speaks ({folder}/b.mp4@000000)"


def test_an_unknown_threshold_or_an_empty_folder_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean curate\.min_face_px"):
        curate(folder, min_face=1)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no video in this folder"):
        curate(tmp_path / "none")


def test_a_file_counts_once_whatever_leads_to_it_and_what_is_left_out_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "again").symlink_to(folder)
    (folder / ".hidden.mp4").write_bytes(b"")
    os.mkfifo(folder / "pipe.MOV")
    (folder / "c\udcff.mp4").write_bytes(b"no video")
    rows = curate([folder / "a.mp4", folder, folder / "../videos/a.mp4"], min_face_px=1).set_index("video")
    assert [Path(video).name for video in rows.index] == [
        "a.mp4",
        *["b.mp4"] * 3,
        "broken.mp4",
        "c\\xff.mp4",
        "pipe.MOV",
    ]
    assert "a pipe or a device" in rows["reason"].iloc[-1]
    assert "hidden or made by the system: left out: '.hidden.mp4'" in caplog.text
    assert "read once: 'again'" in caplog.text


@pytest.mark.parametrize("name", ["a.mp4", "page.html", "", "folder.parquet"])
def test_nothing_but_a_parquet_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (folder / "folder.parquet").mkdir()
    before = (folder / "a.mp4").read_bytes()
    monkeypatch.setattr(sys, "argv", ["syncdiff", "curate", str(folder), "--out", str(folder / name)])
    with pytest.raises(SystemExit):
        main()
    assert (folder / "a.mp4").read_bytes() == before
    assert not (folder / "page.html").exists()


def test_the_command_prints_a_line_a_clip_and_writes_file_and_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out.parquet"
    command = ["syncdiff", "curate", str(folder), "--out", str(out), "--config", '{"curate": {"min_face_px": 1e4}}']
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as left:
        main()
    said, warned = capsys.readouterr()
    assert left.value.code == 1  # none is fit
    assert said.count("is below curate.min_face_px 10000") == 3
    assert "no SyncNet was given" in said + warned
    assert pd.read_parquet(out)["status"].tolist() == ["rejected"] * 5
    assert "Face: 3 clips" in out.with_suffix(".html").read_text()
