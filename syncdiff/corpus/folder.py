"""Any tree of videos as a corpus, split by a hash of the top folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from syncdiff.corpus.split import ListedClip, n_held_out, printable, rank_by_hash
from syncdiff.errors import UserError

VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()  # noqa: SIM905
)


def folder_clips(root: Path, val_fraction: float, test_fraction: float) -> list[ListedClip]:
    """Return every video file below `root`, split by top folder: all clips of one folder share a split.

    A file directly in `root` is a folder of its own. Test gets its share first (at least one folder), then val;
    train keeps at least one. The clip id keeps its suffix, because `a.mp4` and `a.avi` may lie side by side.

    Raises:
        UserError: `root` is missing, or no video lies below it.
    """
    if not root.is_dir():
        raise UserError(f"corpus.root: {root}: no such folder; name the folder that holds the videos")
    videos = sorted(_videos(root))
    if not videos:
        raise UserError(f"corpus.root: {root}: no video below it (looked for {' '.join(sorted(VIDEO_SUFFIXES))})")
    ranked = rank_by_hash({_top(video) for video in videos})
    n_test = n_held_out(len(ranked), test_fraction)
    n_val = min(round(val_fraction * len(ranked)), len(ranked) - n_test - 1)
    splits = dict.fromkeys(ranked, "train") | dict.fromkeys(ranked[: n_test + n_val], "val")
    splits |= dict.fromkeys(ranked[:n_test], "test")
    return [_listed(root, video, splits[_top(video)]) for video in videos]


def _videos(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        for name in names:
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield (Path(folder) / name).relative_to(root).as_posix()


def _top(video: str) -> str:
    return video.split("/", 1)[0]


def _listed(root: Path, video: str, split: str) -> ListedClip:
    clip, reason = printable(video)
    return ListedClip(clip, split, f"{root.as_posix()}/{clip}", reason)
