"""The kinds of corpus that `corpus.kind` can name; what their classes must do, `corpus.kind.CorpusKind` says."""

from __future__ import annotations

from dataclasses import dataclass

from syncdiff.registry.part import Part


@dataclass(frozen=True)
class Kind(Part):
    """A kind of corpus.

    rendered: the workflow makes it; `corpus.root` names the others.
    pretrain: it has a split of that name beside train, val and test.
    tracks: which faces of a file become clips, the `largest`, because it shows one speaker, or `all`.
    """

    rendered: bool = False
    pretrain: bool = False
    tracks: str = "largest"


CORPORA = {
    "demo": Kind("syncdiff.corpus.demo:Demo", rendered=True),
    "lrs2": Kind("syncdiff.corpus.lrs:Lrs2", pretrain=True),
    "lrs3": Kind("syncdiff.corpus.lrs:Lrs3", pretrain=True),
    "folder": Kind("syncdiff.corpus.folder:Folder", tracks="all"),
}
