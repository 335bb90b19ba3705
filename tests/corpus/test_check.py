"""`syncdiff check`: what is wrong with a tree, before it costs a night."""

import shutil
from pathlib import Path

import pytest

from syncdiff.corpus.check import check_corpus, print_report, recognise
from syncdiff.errors import UserError


def test_kinds_are_recognised(shared: Path, tmp_path: Path) -> None:
    found = [recognise(shared / "clips" / name) for name in ("grid", "lrs2_mini", "lrs3_mini", "raw")]
    assert found == ["lrs2", "lrs2", "lrs3", "folder"]
    with pytest.raises(UserError, match="no such folder"):
        recognise(tmp_path / "typo")


def test_pretraining_on_other_talks_of_a_speaker_is_no_fault(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "clips/lrs3_mini/lrs3_v0.4", tmp_path / "lrs3_v0.4")
    shutil.copytree(tmp_path / "lrs3_v0.4/trainval", tmp_path / "lrs3_v0.4/pretrain")
    report = check_corpus(tmp_path)
    assert report.clips == {"pretrain": 2, "train": 1, "val": 1, "test": 1}
    assert len(report.notes["its speaker is held out for validation"]) == 1
    assert not report.problems


def test_good_corpora_have_no_problems(shared: Path) -> None:
    lrs2, lrs3 = (check_corpus(shared / "clips" / name) for name in ("lrs2_mini", "lrs3_mini"))
    assert lrs2.clips == {"train": 6, "val": 1, "test": 1}
    assert lrs2.seconds["train"] == pytest.approx(18)
    assert not lrs2.problems
    assert lrs3.clips == {"train": 1, "val": 1, "test": 1}
    assert not lrs3.problems


def test_each_fault_is_found(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(shared / "clips/lrs2_mini", root)
    base = root / "mvlrs_v1"
    entries = (base / "train.txt").read_text().split()
    clips = [f"main/{entry}" for entry in entries]
    (base / f"{clips[0]}.mp4").unlink()
    (base / f"{clips[1]}.mp4").write_bytes(b"")
    (base / f"{clips[2]}.txt").write_text("Text:\n")
    shutil.copy(shared / "clips/raw/face_noaudio_stream_256.mp4", base / f"{clips[3]}.mp4")
    (base / "train.txt").write_text("\n".join(entries[:5]))
    (base / "val.txt").write_text(entries[4])
    unlisted = sorted({path.parent.name for path in base.glob("main/*/*.mp4")} - {e.split("/")[0] for e in entries})
    report = check_corpus(root)
    problems = {what: sorted(which) for what, which in report.problems.items()}
    assert problems["listed but the file is missing"] == [clips[0]]
    assert problems["cannot be decoded: empty file"] == [clips[1]]
    assert problems["empty or missing transcript"] == [clips[2]]
    assert problems["no audio stream"] == problems["30 fps instead of 25"] == [clips[3]]
    assert problems["256x256 pixels, unlike most (160x160)"] == [clips[3]]
    assert problems["in more than one list"] == [clips[4]]
    assert clips[5] in problems["in no list"]
    assert len(problems["in no list"]) == len(unlisted)  # the old val clip and clips[5]; test is still listed
    print_report(report)
    printed = capsys.readouterr().out
    assert f"1 x no audio stream: {clips[3]}" in printed
    assert "kinds of problems: 8" in printed


def test_a_folder_is_held_against_the_filters(shared: Path) -> None:
    report = check_corpus(shared / "clips/raw")
    assert report.problems["no video stream"] == ["audio_only_container.avi"]
    assert len(report.problems["no audio stream"]) == 2
