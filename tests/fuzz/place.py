"""Where a reader is tried, and what makes and reads its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.random import Generator

Make = Callable[[Generator], Path]
Read = Callable[[Path], object]

# File names and clip ids that nobody gives, and paths that lead elsewhere.
NAMES = (
    *("../../escaped", "..", "/etc/hostname", "a/../../../escaped", "-rf", "$(touch escaped)", "`touch escaped`"),
    *(
        "a b",
        "a'b",
        'a"b',
        "a;touch escaped",
        "a\u202eb",
        "é/長",
        "a\x00b",
        "a\tb",
        "%2e%2e/x",
        "~",
        "|x",
        "*",
        "a" * 300,
    ),
    *("\u2028", "\ufeff", "CON", "a\\b", "a/" * 3000 + "b"),
)


class Place(NamedTuple):
    """Where one process works: inputs and outputs lie in folders of their own, and nothing else may appear."""

    root: Path

    @property
    def inputs(self) -> Path:
        """Folder of the input files."""
        return self.root / "in"

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.root / "out" / "folder"

    @property
    def forbidden(self) -> Path:
        """A file that hostile inputs try to write."""
        return self.root / "escaped"

    def outside(self) -> set[str]:
        """Return what lies where only an escape can have put it."""
        return {str(path) for folder in (self.root, self.out.parent) for path in folder.iterdir()}

    def set_up(self) -> None:
        """Make the folders."""
        self.inputs.mkdir()
        self.out.mkdir(parents=True)


def pick(rng: Generator, items: Sequence[Any]) -> Any:
    """Return one of `items`, as it is."""
    return items[rng.integers(len(items))]
