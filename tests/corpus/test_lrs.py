"""LRS2's lists and LRS3's folders, as they really come, and as they come when something is wrong."""

from pathlib import Path

import pytest

from syncdiff.corpus.lrs import Transcript, lrs2_clips, lrs3_clips, read_transcript
from syncdiff.errors import UserError

pytestmark = pytest.mark.quick

SPLITS = ["pretrain", "train", "val", "test"]


def ids(clips) -> dict[str, list[str]]:
    by_split: dict[str, list[str]] = {}
    for listed in clips:
        by_split.setdefault(listed.split, []).append(listed.clip)
    return by_split


def test_lrs2_lists_point_into_main_and_pretrain(lrs2) -> None:
    root = lrs2(pretrain=["7/00009"], train=["2/00001 NF", "1/00002"], val=["3/00001"], test=["4/00001 MV"])
    clips = list(lrs2_clips(root, SPLITS))
    assert ids(clips) == {
        "pretrain": ["pretrain/7/00009"],
        "train": ["main/1/00002", "main/2/00001"],
        "val": ["main/3/00001"],
        "test": ["main/4/00001"],
    }
    assert all(Path(listed.video).is_file() for listed in clips)
    assert clips[0].transcript == root / "mvlrs_v1/pretrain/7/00009.txt"


def test_lrs2_takes_the_corpus_folder_itself_too(lrs2) -> None:
    root = lrs2(train=["1/1"])
    assert list(lrs2_clips(root / "mvlrs_v1", ["train"])) == list(lrs2_clips(root, ["train"]))


def test_lrs2_needs_no_pretrain_list(lrs2) -> None:
    assert ids(lrs2_clips(lrs2(train=["1/1"]), SPLITS)) == {"train": ["main/1/1"]}


def test_lrs2_list_of_another_editor(lrs2) -> None:
    root = lrs2(train=["1/1", "1/2"])
    (root / "mvlrs_v1/train.txt").write_bytes(b"\xef\xbb\xbf1/2\r\n\r\n  1/1  \r\n1/2")
    assert ids(lrs2_clips(root, ["train"])) == {"train": ["main/1/1", "main/1/2"]}


def test_lrs2_lists_a_missing_clip_beside_one_that_exists(lrs2) -> None:
    root = lrs2(train=["1/1"])
    (root / "mvlrs_v1/train.txt").write_text("1/1\n9/9\n")
    assert ids(lrs2_clips(root, ["train"])) == {"train": ["main/1/1", "main/9/9"]}


def test_lrs2_mistakes_name_the_file_and_the_fix(lrs2, tmp_path: Path) -> None:
    def message(root: Path) -> str:
        with pytest.raises(UserError) as error:
            list(lrs2_clips(root, SPLITS))
        return str(error.value)

    assert message(tmp_path / "typo").endswith("typo: no such folder; name the folder that holds mvlrs_v1/")
    assert message(tmp_path).endswith("no mvlrs_v1/main/ in it; name the folder that holds mvlrs_v1/")
    root = lrs2(train=["1/1"])
    (root / "mvlrs_v1/val.txt").write_text("9/9\n8/8\n")
    assert "val.txt: none of its 2 clips exists" in message(root)
    (root / "mvlrs_v1/val.txt").write_bytes(b"\xff\xfe\x00")
    assert "val.txt: not a list" in message(root)
    (root / "mvlrs_v1/val.txt").unlink()
    assert "val.txt: no such list" in message(root)


def lrs3_tree(tree) -> Path:
    trainval = [f"lrs3_v0.4/trainval/speaker{i}/{j:05d}.mp4" for i in range(20) for j in range(3)]
    pretrain = [f"lrs3_v0.4/pretrain/speaker{i}/00001.mp4" for i in range(25)]
    return tree(*trainval, *pretrain, "lrs3_v0.4/test/other/00001.mp4", "lrs3_v0.4/trainval/speaker0/00000.txt")


def speakers(clips: list[str]) -> set[str]:
    return {clip.split("/")[1] for clip in clips}


def test_lrs3_validation_is_whole_speakers(tree) -> None:
    clips = ids(lrs3_clips(lrs3_tree(tree), SPLITS, val_fraction=0.2))
    assert len(speakers(clips["val"])) == 4
    assert not speakers(clips["val"]) & speakers(clips["train"])
    assert len(clips["val"]) + len(clips["train"]) == 60
    assert clips["test"] == ["test/other/00001"]
    assert clips == ids(lrs3_clips(lrs3_tree(tree), SPLITS, val_fraction=0.2))


def test_lrs3_pretrain_leaves_out_the_speakers_held_out(tree) -> None:
    clips = list(lrs3_clips(lrs3_tree(tree), SPLITS, val_fraction=0.2))
    refused = {listed.clip for listed in clips if listed.reason}
    assert speakers(refused) == speakers(ids(clips)["val"])
    assert all(clip.startswith("pretrain/") for clip in refused)


@pytest.mark.parametrize(("n_speakers", "fraction", "n_val"), [(1, 0.5, 0), (2, 0.05, 1), (2, 0.9, 1), (9, 0.0, 0)])
def test_lrs3_validation_of_few_speakers(tree, n_speakers: int, fraction: float, n_val: int) -> None:
    root = tree(*(f"lrs3_v0.4/trainval/s{i}/00001.mp4" for i in range(n_speakers)))
    clips = ids(lrs3_clips(root, ["train", "val", "test"], fraction))
    assert len(clips.get("val", [])) == n_val
    assert len(clips["train"]) == n_speakers - n_val


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Text:  HELLO THERE\nConf:  3\n", "HELLO THERE"),
        ("Text: A\nConf: 3\n\nWORD START END ASDSCORE\nA 0.1 0.2 5.0\nText: 0.3 0.4 5.0\n", "A"),
        ("Text:  HI\nConf:  4\nRef: xyz\n\nFRAME X Y W H\n0001 .1 .2 .3 .4\n\nWORD START END\nHI 0.0 0.2\n", "HI"),
        ("Text:\n", ""),
        ("", ""),
        ("free notes\n", ""),
    ],
)
def test_transcripts(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "1.txt").write_text(content)
    assert read_transcript(tmp_path / "1.txt").text == text


def test_no_transcript_is_no_text(tmp_path: Path) -> None:
    assert read_transcript(tmp_path / "none.txt") == Transcript()


@pytest.mark.parametrize(
    ("content", "conf", "asd"),
    [
        ("Text: A B\nConf:  3\n\nWORD START END ASDSCORE\nA 0.1 0.2 5.0\nB 0.3 0.4 -1.0\n", 3.0, 2.0),
        ("Text: A\nConf: 4\nRef: x\n\nFRAME X Y W H\n0001 .1 .2 .3 .4\n\nWORD START END\nA 0.0 0.2\n", 4.0, None),
        ("Text: A\nConf: nan\n\nWORD START END ASDSCORE\nA 0.1 0.2 inf\ntoo short\n", None, None),
    ],
)
def test_the_corpus_own_scores(tmp_path: Path, content: str, conf: float | None, asd: float | None) -> None:
    (tmp_path / "1.txt").write_text(content)
    found = read_transcript(tmp_path / "1.txt")
    assert (found.conf, found.asd) == (conf, asd)
