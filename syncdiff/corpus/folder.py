"""Any tree of videos as a corpus, split by a hash of the top folder."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from syncdiff.config import Config
from syncdiff.corpus.kind import CorpusKind
from syncdiff.corpus.split import ListedClip, Listing, n_held_out, prefix_of, printable, rank_by_hash, unreadable
from syncdiff.corpus.tree import left_out, walk
from syncdiff.errors import UserError
from syncdiff.pipeline.files import MAX_NAME_BYTES

VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()  # noqa: SIM905
)
LONGEST_NAME = MAX_NAME_BYTES - len("@0000000+7.mp4")  # which is put behind it


class Folder(CorpusKind):
    """Any tree of videos."""

    def clips(self, config: Config) -> Listing:
        """Return every video below the root; see `folder_clips`."""
        return folder_clips(config.corpus_root, config.corpus.val_fraction, config.corpus.test_fraction)

    def why_empty(self, config: Config, split: str) -> str:
        """Say whether the share that is held out is too small, or the videos too few."""
        fraction = config.corpus.test_fraction
        why = "holds none out" if fraction == 0 else "leaves none: there is one video or folder only"
        return f"corpus.test_fraction: {fraction:g} {why}, so there is no {split} split; raise it, or add videos"


def folder_clips(root: Path, val_fraction: float, test_fraction: float) -> Listing:
    """Return every video file below `root`, split by top folder: all clips of one folder share a split.

    A file directly in `root` is a folder of its own; where all videos lie in one folder, what lies in that one counts
    as the top. Test gets its share first (at least one folder), then val; train keeps at least one. The clip id keeps
    its suffix, because `a.mp4` and `a.avi` may lie side by side. A folder that cannot be read is a clip with a fault.

    Raises:
        UserError: `root` is missing or cannot be read, or no video lies below it.
    """
    if not root.is_dir():
        raise UserError(f"corpus.root: {root}: no such folder; name the folder that holds the videos")
    tree = walk(root, VIDEO_SUFFIXES)
    if not tree.files:
        hidden = [f"left out: {path}" for path in tree.hidden[:1]]
        lost = [f"{folder}: {fault}" for folder, fault in tree.unreadable.items()][:1]
        looked = "; ".join([f"looked for {' '.join(sorted(VIDEO_SUFFIXES))}", *hidden, *lost])
        raise UserError(f"corpus.root: {root}: no video below it ({looked})")
    notes = dict(left_out(tree))
    common = _common_folder(tree.files)
    if common:
        notes["all videos lie in one folder: split by what lies in it, not by speaker"] = [f"{common}/"]
    split_of = _splits({_top(video, common) for video in tree.files}, val_fraction, test_fraction)
    prefix = prefix_of(root)
    clips = [_listed(prefix, video, stamp, split_of[_top(video, common)]) for video, stamp in tree.files.items()]
    clips += [unreadable(root, folder, "train", fault) for folder, fault in sorted(tree.unreadable.items())]
    return Listing(sorted(clips), notes)


def _common_folder(videos: Collection[str]) -> str:
    """Return the deepest folder that all videos lie in, "" where that is the root."""
    return os.path.commonpath([video.rpartition("/")[0] for video in videos])


def _top(video: str, common: str) -> str:
    return video[len(common) + 1 if common else 0 :].partition("/")[0]


def _splits(groups: Collection[str], val_fraction: float, test_fraction: float) -> dict[str, str]:
    """Return the split of each group of clips."""
    ranked = rank_by_hash(groups)
    n_test = n_held_out(len(ranked), test_fraction)
    n_val = min(round(val_fraction * len(ranked)), len(ranked) - n_test - 1)
    splits = dict.fromkeys(ranked, "train") | dict.fromkeys(ranked[: n_test + n_val], "val")
    return splits | dict.fromkeys(ranked[:n_test], "test")


def _listed(prefix: str, video: str, stamp: str, split: str) -> ListedClip:
    clip, reason = printable(video)
    n_bytes = len(os.fsencode(video.rpartition("/")[2]))
    if n_bytes > LONGEST_NAME:
        reason = f"its name of {n_bytes} bytes leaves no room for what is put behind it; shorten it to {LONGEST_NAME}"
    return ListedClip(clip, split, f"{prefix}{clip}", reason, stamp=stamp)
