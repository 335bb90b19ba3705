"""A tree of files as people have them: each real folder once, hidden names left out, and a word on what is left out."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path

from syncdiff.errors import UserError

# Folders that systems make for themselves beside people's own: thumbnails, bins, what a repair has found.
SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information"}
    | {"__MACOSX", "lost+found"}
)
Entries = dict[str, "os.DirEntry[str]"]  # of a folder, by name


@dataclass
class Tree:
    """What lies below a folder; all paths are relative to it, with `/`."""

    files: dict[str, str] = field(default_factory=dict)  # path: stamp, in the order of the paths
    hidden: list[str] = field(default_factory=list)  # files and folders left out for their names
    linked: list[str] = field(default_factory=list)  # links to folders that stand there already under another name
    unreadable: dict[str, str] = field(default_factory=dict)  # folder: the system's word


def walk(root: Path, suffixes: Collection[str]) -> Tree:
    """Find the files with these suffixes (lower case, with dot; any case matches), links to files and folders included.

    A folder that several paths lead to is read once, by the path without links where there is one: a loop ends.
    Names that begin with a dot, and folders that systems make for themselves, are left out below the root.

    Raises:
        UserError: the root itself cannot be read.
    """
    tree, read = Tree(), set[str]()
    waiting = [(False, "", os.path.realpath(root))]  # by a link?, path, real path: links come last
    while waiting:
        _, folder, real = heappop(waiting)
        if real in read:
            tree.linked.append(folder)
            continue
        read.add(real)
        try:
            entries = scan(root / folder)
        except OSError as error:
            if not folder:
                raise UserError(f"{root}: cannot be read ({error.strerror}); name a folder that can") from None
            tree.unreadable[folder] = str(error.strerror)
            continue
        for below in _sort(tree, folder, entries, suffixes):
            link = entries[below].is_symlink()
            path = f"{folder}/{below}" if folder else below
            heappush(waiting, (link, path, os.path.realpath(root / path) if link else f"{real}/{below}"))
    tree.files = dict(sorted(tree.files.items()))
    return tree


def scan(folder: Path) -> Entries:
    """Return what lies in a folder.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in entries}


def stamp(entries: Entries, video: str) -> str:
    """Return size and time of a video and of the transcript beside it, in one pass over their folder; "": no video.

    Two stamps that are equal mean the same bytes, two that are not may.
    """
    stats = []
    for name in (video, f"{video.rpartition('.')[0]}.txt"):
        try:
            stat = entries[name].stat()
            stats.append(f"{stat.st_size}@{stat.st_mtime_ns}")
        except (OSError, KeyError):  # a link that leads nowhere, no transcript
            stats.append("")
    return "+".join(stats) if stats[0] else ""


def _sort(tree: Tree, folder: str, entries: Entries, suffixes: Collection[str]) -> Iterator[str]:
    """Take the files of a folder into the tree, and yield the names of the folders in it."""
    for name, entry in entries.items():
        path = f"{folder}/{name}" if folder else name
        stem, _, end = name.rpartition(".")
        wanted = bool(stem) and f".{end.lower()}" in suffixes
        try:
            is_folder = entry.is_dir()
        except OSError:  # a link to itself
            is_folder = False
        if name.startswith(".") or (is_folder and name in SYSTEM_FOLDERS):
            if is_folder or wanted:
                tree.hidden.append(f"{path}/" if is_folder else path)
        elif is_folder:
            yield name
        elif wanted:
            tree.files[path] = stamp(entries, name)
        elif "." not in name and entry.is_symlink() and not Path(entry.path).exists():  # to a disk that is not there?
            tree.unreadable[path] = "a link that leads nowhere"


def left_out(tree: Tree) -> Mapping[str, list[str]]:
    """Return the paths that are in no listing, by why: hidden names, and links to folders that are read anyway."""
    notes = {
        "hidden or made by the system: left out": sorted(tree.hidden),
        "a link to a folder that is listed already: read once": sorted(tree.linked),
    }
    return {note: paths for note, paths in notes.items() if paths}
