"""A kind of corpus: how its clips are listed, and what is known of it before anyone has looked into a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from syncdiff.config import Config
from syncdiff.corpus.split import Listing
from syncdiff.errors import UserError
from syncdiff.registry.corpora import CORPORA


class CorpusKind(ABC):
    """Base of the kinds of corpus; a new one is a subclass, and a line in `registry.corpora`."""

    # All clips have one size, 25 fps and a transcript: `check` says where that does not hold.
    uniform: ClassVar[bool] = False
    # Each video stands in a list or in one part: `check` names those that stand in two, or in none.
    partitioned: ClassVar[bool] = False

    @classmethod
    def lies_at(cls, path: Path) -> bool:
        """Say whether a folder is laid out so, for `check` to recognise it."""
        return False

    @abstractmethod
    def clips(self, config: Config) -> Listing:
        """Return every clip below `config.corpus_root`, with its split; ids are paths below it, each once.

        Raises:
            UserError: the root is missing or laid out otherwise, or a list names no existing clip.
        """

    @abstractmethod
    def why_empty(self, config: Config, split: str) -> str:
        """Return in one line why a split has no clip, and which key or file is to be changed."""

    def mean_frames(self, config: Config) -> Mapping[str, int]:
        """Return the frames of a mean clip of each split, at 25 fps, which size the shards; ten seconds is a guess."""
        return dict.fromkeys(config.splits, 250)

    def frame_side(self, config: Config) -> int | None:
        """Return the side of a frame in pixels; None: frames have several sizes, or other sides."""
        return None

    def clip_counts(self, config: Config) -> dict[str, int] | None:
        """Return how many clips each split has, where that is known without a root; None: it is not.

        For a corpus on disk these are the published figures.
        """
        return None


def kind_of(config: Config) -> CorpusKind:
    """Return the kind of the config's corpus."""
    kind: CorpusKind = CORPORA[config.corpus.kind].load()()
    return kind


def recognise(path: Path) -> str:
    """Return the kind of corpus that lies at `path`, by what is in it; `folder` where no layout is known.

    Raises:
        UserError: no such folder, or one that cannot be read.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; name the folder that holds the corpus")
    return next((name for name, kind in CORPORA.items() if kind.load().lies_at(path)), "folder")
