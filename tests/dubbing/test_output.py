"""An output that cannot be written is refused before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncdiff.dubbing.output import check_out
from syncdiff.errors import UserError


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("out.gif", "the suffix .gif; videos are written as .mp4, .m4v, .mov, .mkv, .webm: name it out.mp4"),
        ("out.avi", "the suffix .avi; videos"),
        ("out", "no suffix; videos"),
        ("folder", "is a folder; name a file in it"),
        ("folder.mp4", "is a folder; name a file in it"),
        ("in.mp4", "is the same file as .*in.mp4, which would be lost"),
        ("folder/../in.mp4", "is the same file as .*in.mp4"),
        ("symlink.mp4", "is the same file as .*in.mp4"),
        ("hard.mp4", "is the same file as .*in.mp4"),
        ("sound.mp4", "is the same file as .*sound.mp4"),
        ("in.mp4/out.mp4", "in.mp4 is no folder; choose another"),
        ("pipe.mp4", "is no ordinary file"),
        ("left.mp4", "is the same file as .*left.tmp.mp4"),
        ("n" * 252 + ".mp4", "cannot be written .File name too long"),
        ("", "is a folder"),
    ],
)
@pytest.mark.quick
def test_an_output_that_cannot_be_is_refused_before_any_work(tmp_path: Path, name: str, complaint: str) -> None:
    """The inputs are no videos: nothing looks into them."""
    video, sound = tmp_path / "in.mp4", tmp_path / "sound.mp4"
    for path in (video, sound):
        path.write_bytes(b"mine")
    for folder in ("folder", "folder.mp4"):
        (tmp_path / folder).mkdir()
    (tmp_path / "symlink.mp4").symlink_to(video)
    (tmp_path / "hard.mp4").hardlink_to(video)
    (tmp_path / ".left.tmp.mp4").write_bytes(b"left by a killed process, and a source")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UserError, match=complaint):
        check_out(tmp_path / name, video, sound, tmp_path / ".left.tmp.mp4")
    assert video.read_bytes() == sound.read_bytes() == b"mine"


@pytest.mark.quick
def test_an_output_in_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="cannot be written to; choose another folder"):
        check_out(tmp_path / "new" / "out.mp4")


@pytest.mark.quick
@pytest.mark.parametrize("name", ["out.mp4", "new/deep/OUT.MKV", "out.mov", "out.m4v", "out.webm"])
def test_an_output_that_can_be_is_not_made_by_the_check(tmp_path: Path, name: str) -> None:
    check_out(tmp_path / name, tmp_path / "in.mp4", tmp_path / "none.wav")
    assert list(tmp_path.iterdir()) == []
