"""Small corpora of empty files: listing never opens a video."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

Maker = Callable[..., Path]


def touch(root: Path, paths: Iterable[str]) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.fixture
def lrs2(tmp_path: Path) -> Maker:
    """Make LRS2's layout out of lists: `lrs2(train=["1/00001"], ...)`; returns the root."""

    def make(**lists: list[str]) -> Path:
        base = tmp_path / "mvlrs_v1"
        for split, entries in ({"train": [], "val": [], "test": []} | lists).items():
            part = "pretrain" if split == "pretrain" else "main"
            (base / part).mkdir(parents=True, exist_ok=True)
            touch(base / part, [f"{entry.split()[0]}.mp4" for entry in entries])
            (base / f"{split}.txt").write_text("".join(f"{entry}\n" for entry in entries))
        return tmp_path

    return make


@pytest.fixture
def tree(tmp_path: Path) -> Maker:
    """Make empty files below the root: `tree("a/1.mp4", ...)`; returns the root."""

    def make(*paths: str) -> Path:
        touch(tmp_path, paths)
        return tmp_path

    return make
