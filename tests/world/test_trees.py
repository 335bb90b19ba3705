"""Trees as people have them: linked, hidden, half unpacked, changed between two runs."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from syncdiff.config import Config, load_config, parse_config
from syncdiff.corpus.check import check_corpus, print_report
from syncdiff.corpus.folder import folder_clips
from syncdiff.corpus.kind import recognise
from syncdiff.corpus.listing import clip_counts, digest, list_clips, read_listing, refresh, shard_counts
from syncdiff.corpus.lrs import lrs2_clips, lrs3_clips
from syncdiff.corpus.plan import plan_corpus
from syncdiff.errors import UserError
from syncdiff.evaluation.metrics.fidelity import _pictures
from syncdiff.media.audio import write_wav
from syncdiff.media.video import write_video
from syncdiff.pipeline.stages import config_slice

SPLITS = ["pretrain", "train", "val", "test"]


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


def ids(root: Path) -> list[str]:
    return [listed.clip for listed in folder_clips(root, 0, 0.1)]


# ---- links, hidden names, folders that may not be read ----------------------------------------------------------


@pytest.mark.quick
def test_a_linked_folder_is_read_once_and_a_loop_ends(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/b/1.mp4", "corpus/a/1.mp4")
    root = tmp_path / "corpus"
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "twice").symlink_to(tmp_path / "elsewhere")
    (root / "a/loop").symlink_to(root)
    (root / "a/0_before").symlink_to(root / "a")
    (root / "a/2.mp4").symlink_to(root / "a/1.mp4")
    listing = folder_clips(root, 0, 0.1)
    assert [listed.clip for listed in listing] == ["a/1.mp4", "a/2.mp4", "link/b/1.mp4"]
    [linked] = [paths for note, paths in listing.notes.items() if "link to a folder" in note]
    assert linked == ["a/0_before", "a/loop", "twice"]


@pytest.mark.quick
def test_hidden_names_and_folders_of_the_system_are_left_out_and_counted(tmp_path: Path) -> None:
    root = tmp_path / ".cache"  # the root itself may be hidden
    left_out = [".ipynb_checkpoints/x.mp4", "a/._1.mp4", ".Trash-1000/files/1.mp4", "a/.1.tmp.mp4", "@eaDir/1.mp4"]
    touch(root, "a/1.mp4", "b/1.mp4", "a/.DS_Store", "__MACOSX/a/1.mp4", "lost+found/1.mp4", *left_out)
    listing = folder_clips(root, 0, 0.1)
    assert [listed.clip for listed in listing] == ["a/1.mp4", "b/1.mp4"]
    [hidden] = [paths for note, paths in listing.notes.items() if "hidden" in note]
    assert len(hidden) == 7
    assert "a/.DS_Store" not in hidden


@pytest.mark.quick
def test_a_folder_that_may_not_be_read_has_a_row_and_is_no_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, real = touch(tmp_path, "a/1.mp4", "b/1.mp4", "c/1.mp4"), os.scandir
    (root / "disk").symlink_to("/not/mounted")
    (root / "self").symlink_to(root / "self")

    def refuse(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("syncdiff.corpus.tree.os.scandir", refuse)
    faults = {listed.clip: listed.fault for listed in folder_clips(root, 0, 0.1) if listed.fault}
    assert faults["b/"] == "the folder cannot be read: Permission denied"
    assert faults["disk/"] == "the folder cannot be read: a link that leads nowhere"
    assert set(faults) == {"b/", "disk/", "self/"}
    assert sum(clip_counts(folder(root)).values()) == 2


@pytest.mark.quick
def test_fidelity_walks_as_the_corpus_does(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "real").mkdir()
    (tmp_path / "root").mkdir()
    for name in ("real/1.png", "real/._2.png"):
        cv2.imwrite(str(tmp_path / name), np.full((40, 40, 3), 9, np.uint8))
    (tmp_path / "root/link").symlink_to(tmp_path / "real")
    assert [name for (name, _), _ in _pictures(tmp_path / "root")] == ["link/1"]


@pytest.mark.quick
def test_names_of_all_kinds_stay_apart(tmp_path: Path) -> None:
    names = ["é.mp4", "e\u0301.mp4", "a b.mp4", 'it\'s "x".mp4', "-x.mp4", "x\ny.mp4", "A.mp4", "a.mp4", "a.avi"]
    touch(tmp_path, *names, "n" * 251 + ".mp4")
    listing = {listed.clip: listed.reason for listed in folder_clips(tmp_path, 0, 0.1)}
    assert set(names) < set(listing)
    assert [reason for reason in listing.values() if reason] == [
        "its name of 255 bytes leaves no room for what is put behind it; shorten it to 241"
    ]


# ---- splits -----------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_one_person_s_folder_is_split_by_file_and_says_so(tmp_path: Path) -> None:
    root = touch(tmp_path, *(f"videos/me/{i}.mp4" for i in range(10)))
    listing = folder_clips(root, 0, 0.1)
    assert sum(listed.split == "test" for listed in listing) == 1
    assert listing.notes == {"all videos lie in one folder: split by what lies in it, not by speaker": ["videos/me/"]}


def folder(root: Path, **corpus: object) -> Config:
    return parse_config({"corpus": {"kind": "folder", "root": str(root), **corpus}, "plan": {"min_seconds": 0.2}})


# ---- LRS as it really lies --------------------------------------------------------------------------------------


@pytest.mark.quick
def test_lrs_under_another_name_is_recognised_by_what_is_in_it(tmp_path: Path) -> None:
    touch(tmp_path / "2", "LRS2-BBC/main/1/00001.mp4", "LRS2-BBC/train.txt")
    touch(tmp_path / "3", "ted/trainval/s/00001.mp4", "ted/test/t/00001.mp4")
    assert [recognise(tmp_path / name) for name in ("2", "3")] == ["lrs2", "lrs3"]
    (tmp_path / "2/LRS2-BBC/train.txt").write_text("1/00001\n")
    assert [listed.clip for listed in lrs2_clips(tmp_path / "2", ["train"])] == ["main/1/00001"]
    assert len(lrs3_clips(tmp_path / "3", SPLITS, 0)) == 2


@pytest.mark.quick
def test_lrs3_as_its_archives_unpack_says_what_lies_where(tmp_path: Path) -> None:
    touch(tmp_path, "lrs3_v0.4/trainval/s/00001.txt", "pretrain/s/00001.mp4", "test/t/00001.mp4")
    assert recognise(tmp_path) == "lrs3"
    with pytest.raises(UserError) as error:
        check_corpus(tmp_path)
    assert "half unpacked" in str(error.value)
    assert f"{tmp_path}/lrs3_v0.4/trainval has no video" in str(error.value)
    assert f"{tmp_path}/test has videos" in str(error.value)


@pytest.mark.quick
@pytest.mark.parametrize(
    "lines",
    [
        b"1/00001.mp4\n1/00002.mp4",
        b"main/1/00001\r\nmain/1/00002\r\n",
        b"/data/lrs2/mvlrs_v1/main/1/00001.mp4\n./1/00002",
        b'1\\00001,NF\n"1/00002",MV',
        "1/00001\tNF\n1/00002\tMV".encode("utf-16"),
    ],
)
def test_other_people_s_lists_are_read_right(tmp_path: Path, lines: bytes) -> None:
    base = touch(tmp_path, "mvlrs_v1/main/1/00001.mp4", "mvlrs_v1/main/1/00002.mp4") / "mvlrs_v1"
    (base / "train.txt").write_bytes(lines)
    assert [listed.clip for listed in lrs2_clips(tmp_path, ["train"])] == ["main/1/00001", "main/1/00002"]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n<!DOCTYPE html><html><body>401</body></html>", "a web page, not a list"),
        ("1/00001\n".encode("utf-16-le"), "UTF-16 without its mark"),
        (b"\x1f\x8b\x08\xff\xff", "not a list"),
        (b"1/7\n", "none of its 1 clips exists"),
    ],
)
def test_what_is_no_list_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    base = touch(tmp_path, "mvlrs_v1/main/1/00001.mp4") / "mvlrs_v1"
    (base / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=said):
        lrs2_clips(tmp_path, ["train"])


@pytest.mark.quick
def test_a_header_line_of_a_list_is_a_refused_row(tmp_path: Path) -> None:
    base = touch(tmp_path, "mvlrs_v1/main/1/00001.mp4") / "mvlrs_v1"
    (base / "train.txt").write_text("id,flag\n1/00001,NF\n")
    rows = {listed.clip: listed.reason for listed in lrs2_clips(tmp_path, ["train"])}
    assert rows == {"main/1/00001": "", "main/id": "not `<programme id>/<clip>`: correct this line of the list"}


# ---- a corpus that changes between two runs ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of half a second with sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    frames = [np.full((64, 64, 3), 7 * t, np.uint8) for t in range(13)]
    write_video(path, frames, [(np.arange(13 * 640) % 99 * 100).astype(np.int16)])
    return path


@pytest.fixture
def planned(clip: Path, tmp_path: Path) -> tuple[Path, Path, str]:
    """A corpus of four videos with its plan: (root, results folder, name of the listing)."""
    root, results = tmp_path / "corpus", tmp_path / "results"
    for name in "abcd":
        (root / name).mkdir(parents=True)
        shutil.copy(clip, root / name / "1.mp4")
    listing = refresh(folder(root), results / "listing", results / "plan.parquet")
    plan_corpus(folder(root), results / "plan.parquet", listing=listing)
    return root, results, listing.name


def listed_again(root: Path, results: Path) -> str:
    return refresh(folder(root), results / "listing", results / "plan.parquet").name


def test_nothing_changed_touched_moved_and_copied_are_the_same_listing(planned: tuple[Path, Path, str]) -> None:
    root, results, name = planned
    assert listed_again(root, results) == name
    os.utime(root / "a/1.mp4", (1, 1))
    assert listed_again(root, results) == name
    root = root.rename(root.with_name("moved"))
    assert listed_again(root, results) == name
    copied = root.with_name("copied")
    shutil.copytree(root, copied, copy_function=shutil.copyfile)  # as `cp -r`: new times
    assert listed_again(copied, results) == name
    before = (results / "plan.parquet").read_bytes()
    plan_corpus(folder(copied), results / "plan.parquet", listing=results / "listing" / name)
    assert (results / "plan.parquet").read_bytes() == before


@pytest.mark.parametrize("change", ["added", "removed", "replaced", "renamed", "transcript"])
def test_what_changes_the_corpus_makes_another_listing(planned: tuple[Path, Path, str], change: str) -> None:
    root, results, name = planned
    video = root / "a/1.mp4"
    if change == "added":
        shutil.copy(video, root / "a/2.mp4")
    elif change == "removed":
        video.unlink()
    elif change == "replaced":  # by as many bytes
        data = bytearray(video.read_bytes())
        data[len(data) // 2] ^= 1
        video.write_bytes(data)
    elif change == "renamed":
        video.rename(root / "a/3.mp4")
    else:
        (root / "a/1.txt").write_text("Text: HELLO\n")
    assert listed_again(root, results) != name
    assert listed_again(root, results) == listed_again(root, results)


def test_a_listing_is_read_as_it_was_written_and_hidden_files_are_not_part_of_it(
    planned: tuple[Path, Path, str],
) -> None:
    root, results, name = planned
    touch(root, "a/._1.mp4", ".Trash/1.mp4")
    assert listed_again(root, results) == name
    listing = results / "listing" / name
    assert list(read_listing(listing, root)) == list(list_clips(folder(root)))
    assert shard_counts(folder(root), listing) == shard_counts(folder(root))
    with pytest.raises(UserError, match="no such listing"):
        read_listing(results / "none.parquet", root)


@pytest.mark.quick
def test_a_large_file_is_known_by_its_beginning_its_end_and_between(tmp_path: Path) -> None:
    video = tmp_path / "large.mkv"
    with video.open("wb") as file:
        file.truncate(40 << 20)
    before = digest(video)
    for place in (0, (40 << 20) - 1):
        with video.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        assert digest(video) != before
        before = digest(video)


@pytest.mark.quick
def test_where_the_corpus_lies_is_no_parameter_of_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = folder(Path("/here")), folder(Path("/there"))
    assert config_slice(here, "plan") == config_slice(there, "plan")
    monkeypatch.setenv("SYNCDIFF_CORPUS_ROOT", "/there")
    assert load_config(config_slice(here, "plan")).corpus_root == Path("/there")
    assert load_config(config_slice(here, "faces")).corpus_root == Path("/there")


# ---- corpus check -----------------------------------------------------------------------------------------------


def test_check_counts_what_the_plan_then_has_and_names_the_fix(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    root = tmp_path / "corpus"
    for index in range(4):
        (root / f"p{index}").mkdir(parents=True)
        shutil.copy(clip, root / f"p{index}/1.mp4")
    (root / "p0/bad.mp4").write_bytes(b"")
    write_wav(root / "p1/sound.avi", [np.zeros(8000, np.int16)])
    touch(root, ".Trash/1.mp4")
    report = check_corpus(root, config='{"plan": {"min_seconds": 0.2}}')
    plan_corpus(folder(root), tmp_path / "plan.parquet")
    printed = caplog.text
    for split, n_good in report.good.items():
        assert f"  {split}: {n_good} clips, {report.seconds[split] / 3600:.3f} h" in printed
    assert sum(report.good.values()) == 4
    assert set(report.problems) == {"cannot be decoded: empty file", "no video stream"}
    print_report(report)
    printed = capsys.readouterr().out
    assert "1 x cannot be decoded: empty file: p0/bad.mp4 -> play it" in printed
    assert "note: 1 x hidden or made by the system: left out: .Trash/" in printed
    assert "looked at 4 of 4 clips" in printed


class SecondFaceLate:
    """Sees a second face in bright pictures, but not while it follows the first: like a real tracker."""

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        for index, frame in enumerate(frames):
            yield [np.zeros((68, 2), np.float32)] * (2 if frame.mean() > 200 and index == 0 else 1)


def test_check_sees_several_faces_that_come_late_in_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.full((64, 64, 3), 250 if index > 80 else 9, np.uint8) for index in range(100)]
    for name in ("1", "2"):
        write_video(tmp_path / f"{name}.mp4", frames, [np.ones(64000, np.int16)])
    monkeypatch.setattr("syncdiff.corpus.check.open_landmarker", lambda *_: SecondFaceLate())
    notes = check_corpus(tmp_path).notes
    assert [clips for note, clips in notes.items() if note.startswith("several faces")] == [["1.mp4", "2.mp4"]]


def test_check_says_that_there_is_no_test_split(clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "one.mp4")
    [problem] = check_corpus(tmp_path, config='{"plan": {"min_seconds": 0.2}}').problems
    assert problem.startswith("corpus.test_fraction: 0.1 leaves none: there is one video or folder only")
