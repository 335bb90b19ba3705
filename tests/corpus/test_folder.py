"""A tree of videos: what counts as a clip, and splits by top folder."""

import os
from collections import Counter
from pathlib import Path

import pytest

from syncdiff.corpus.folder import folder_clips
from syncdiff.errors import UserError

pytestmark = pytest.mark.quick


def test_clips_are_all_videos_at_any_depth(tree) -> None:
    root = tree("a/b/c.mp4", "a/b/c.avi", "top.MOV", "a/notes.txt", "übung 1/x\ny.mkv")
    clips = {listed.clip for listed in folder_clips(root, 0.05, 0.1)}
    assert clips == {"a/b/c.mp4", "a/b/c.avi", "top.MOV", "übung 1/x\ny.mkv"}


def test_a_top_folder_lies_in_one_split(tree) -> None:
    root = tree(*(f"person{i}/{j}/clip.mp4" for i in range(40) for j in range(3)))
    split_of = {listed.clip.split("/")[0]: listed.split for listed in folder_clips(root, 0.1, 0.2)}
    clips = Counter(listed.split for listed in folder_clips(root, 0.1, 0.2))
    assert Counter(split_of.values()) == {"train": 28, "val": 4, "test": 8}
    assert clips == {"train": 84, "val": 12, "test": 24}


def test_splits_do_not_depend_on_where_the_tree_lies(tree, tmp_path: Path) -> None:
    names = [f"{i}.mp4" for i in range(30)]
    here = {listed.clip: listed.split for listed in folder_clips(tree(*names), 0.1, 0.2)}
    other = tmp_path / "moved"
    other.mkdir()
    for name in reversed(names):
        (tmp_path / name).rename(other / name)
    assert {listed.clip: listed.split for listed in folder_clips(other, 0.1, 0.2)} == here


@pytest.mark.parametrize(
    ("n_groups", "val", "test", "expected"),
    [
        (1, 0.5, 0.5, {"train": 1}),
        (2, 0.05, 0.1, {"train": 1, "test": 1}),
        (3, 0.9, 0.9, {"train": 1, "test": 2}),
        (4, 0.5, 0.01, {"train": 1, "val": 2, "test": 1}),
        (5, 0.0, 0.0, {"train": 5}),
    ],
)
def test_few_groups(tree, n_groups: int, val: float, test: float, expected: dict[str, int]) -> None:
    root = tree(*(f"{i}.mp4" for i in range(n_groups)))
    assert Counter(listed.split for listed in folder_clips(root, val, test)) == expected


def test_a_name_that_is_not_utf8_is_refused_with_a_printable_id(tree) -> None:
    root = tree("good.mp4")
    try:
        Path(os.fsdecode(os.fsencode(root) + b"/bad\xff.mp4")).touch()
    except OSError:
        pytest.skip("this file system refuses such names")
    bad, good = sorted(folder_clips(root, 0, 0))
    assert (bad.clip, bad.reason) == ("bad\\xff.mp4", "its file name is not UTF-8; rename it")
    assert good.reason == ""
    assert bad.video.encode()


def test_mistakes_name_the_folder(tree) -> None:
    root = tree("a/notes.txt")
    with pytest.raises(UserError, match="no video below it"):
        folder_clips(root, 0.1, 0.1)
    with pytest.raises(UserError, match="typo: no such folder"):
        folder_clips(root / "typo", 0.1, 0.1)
