"""What a corpus lists, and how whole speakers are held out of training by a hash of their names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple


class ListedClip(NamedTuple):
    """One clip that a corpus names, before anyone has looked into its file."""

    clip: str  # id: path below the corpus root
    split: str  # pretrain, train, val or test
    video: str  # path of the file
    reason: str = ""  # why it is refused already, if it is
    fault: str = ""  # what kept the listing from it: the system's word
    stamp: str = ""  # equal as long as its files are the same; "": no file
    text: str = ""  # what is said, where the corpus tells by other means than a transcript

    @property
    def transcript(self) -> Path:
        """Path of the transcript beside the video, whether or not there is one."""
        return Path(self.video).with_suffix(".txt")


class Listing(list[ListedClip]):
    """All clips that a corpus names, and what was left out or guessed on the way."""

    def __init__(self, clips: Iterable[ListedClip], notes: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(clips)
        self.notes = dict(notes or {})  # a phrase: the paths that it is about


def prefix_of(root: Path) -> str:
    """Return what stands before a path below `root` to make it whole."""
    return "" if root == Path() else f"{root.as_posix().rstrip('/')}/"


def unreadable(root: Path, path: str, split: str, fault: str) -> ListedClip:
    """Return the row of a folder that could not be read: its clips are not known, but not forgotten either."""
    name = printable(path)[0]
    return ListedClip(f"{name}/", split, f"{prefix_of(root)}{name}", fault=f"the folder cannot be read: {fault}")


def is_file(path: Path | str) -> bool:
    """Say whether a regular file lies at a path that comes from data: one that no file can have is no file."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long a name, a folder that may not be searched
        return False


def printable(path: str) -> tuple[str, str]:
    """Return a path as text that every file and terminal can hold, and why it cannot be used if that changed it."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text, "" if text == path else "its file name is not UTF-8; rename it"


def rank_by_hash(names: Iterable[str]) -> list[str]:
    """Return the names in an order that is arbitrary but the same everywhere: by SHA-256."""
    return sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())


def n_held_out(n_groups: int, fraction: float) -> int:
    """Return how many of `n_groups` speakers make up `fraction` in [0, 1): at least one, and never all of them."""
    if fraction == 0 or n_groups < 2:
        return 0
    return min(max(1, round(fraction * n_groups)), n_groups - 1)


def hold_out(groups: Collection[str], val_fraction: float, test_fraction: float) -> dict[str, str]:
    """Return the split of each group of clips: test gets its share first, then val; train keeps at least one."""
    ranked = rank_by_hash(groups)
    n_test = n_held_out(len(ranked), test_fraction)
    n_val = min(round(val_fraction * len(ranked)), len(ranked) - n_test - 1)
    splits = dict.fromkeys(ranked, "train") | dict.fromkeys(ranked[: n_test + n_val], "val")
    return splits | dict.fromkeys(ranked[:n_test], "test")
