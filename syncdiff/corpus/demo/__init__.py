"""The demo corpus: people who do not exist, rendered as they speak synthetic sentences, in LRS2's layout."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from syncdiff.config import Config
from syncdiff.corpus.demo.sentences import unique_sentences
from syncdiff.corpus.kind import CorpusKind
from syncdiff.corpus.lrs import lrs2_clips
from syncdiff.corpus.split import Listing
from syncdiff.media.container import FPS
from syncdiff.pipeline.files import write_text
from syncdiff.pipeline.parallel import each_clip

if TYPE_CHECKING:
    from syncdiff.corpus.demo.clip import Script

FIRST_PROGRAMME = 7_000_000_000_000_000_001  # LRS2 names its programmes by numbers as long


class Demo(CorpusKind):
    """The rendered corpus: LRS2's layout, and as many clips as the config says, rendered or not."""

    uniform = partitioned = True

    def clips(self, config: Config) -> Listing:
        """Return the clips that its lists name; see `lrs2_clips`."""
        return lrs2_clips(config.corpus_root, config.splits)

    def why_empty(self, config: Config, split: str) -> str:
        """Name the key that gives more people."""
        return f"corpus.demo.identities: {config.corpus.demo.identities} leave no {split} split; raise it"

    def mean_frames(self, config: Config) -> dict[str, int]:
        """Return what the config gives."""
        return dict.fromkeys(config.splits, round(config.corpus.demo.seconds * FPS))

    def frame_side(self, config: Config) -> int:
        """Return what the config gives."""
        return config.corpus.demo.size

    def clip_counts(self, config: Config) -> dict[str, int]:
        """Return what the config gives."""
        demo = config.corpus.demo
        identities = Counter(identity_split(i, demo.identities) for i in range(demo.identities))
        return {split: identities[split] * demo.clips_per_identity for split in config.splits}


def render_corpus(config: Config, root: Path, workers: int) -> None:
    """Render the corpus that `config.corpus.demo` describes; the same config gives the same bytes.

    Writes mvlrs_v1/{train,val,test}.txt and mvlrs_v1/main/<programme>/<clip>.{mp4,txt} below `root`, and beside them,
    for tests and evaluation only, truth/main/<programme>/<clip>.npz: `landmarks` (T, 68, 2) float32 iBUG points in
    pixels and `opening` (T,) float32, the distance of the inner lips over that of the eyes. No two clips say the same.
    With `corpus.demo.faults`, truth/faults.csv has a row for each clip with a fault (`faults.COLUMNS`); all other clips
    are as they are without.

    Args:
        config: the whole config; `seed` and `corpus.demo` are read.
        root: folder to write to.
        workers: processes.
    """
    from syncdiff.corpus.demo.clip import render_identity  # MediaPipe and numba take a second to import
    from syncdiff.corpus.demo.faults import write_faults

    demo, scripts = config.corpus.demo, _scripts(config)
    truth = root / "truth" / "faults.csv"
    rows: list[dict[str, Any]] = []
    work = partial(render_identity, root=root, size=demo.size, seed=config.seed)
    for script, outcome in each_clip(work, scripts, workers, label="people"):
        if outcome.value is None:
            raise RuntimeError(f"demo corpus, person {script.identity}: {outcome.reason}")
        rows += outcome.value
    if rows:
        write_faults(truth, rows)
    else:
        truth.unlink(missing_ok=True)  # it would tell of an earlier corpus
    for split in ("train", "val", "test"):
        split_scripts = (script for script in scripts if identity_split(script.identity, demo.identities) == split)
        clips = (clip for script in split_scripts for clip in script.texts)
        write_text(root / "mvlrs_v1" / f"{split}.txt", "".join(f"{clip}\n" for clip in clips))


def _scripts(config: Config) -> list[Script]:
    """Return what each person says, and what goes wrong with it; val and test stay clean, to judge by."""
    from syncdiff.corpus.demo.clip import Script
    from syncdiff.corpus.demo.faults import Line, assign

    n, n_clips = config.corpus.demo.identities, config.corpus.demo.clips_per_identity
    texts = unique_sentences(np.random.default_rng(config.seed), config.corpus.demo.seconds)
    lines = [
        Line(f"{FIRST_PROGRAMME + i}/{number + 1:05d}", i, number, next(texts))
        for i in range(n)
        for number in range(n_clips)
    ]
    train = [line for line in lines if identity_split(line.identity, n) == "train"]
    faults = assign(train, config.corpus.demo.faults, config.seed)
    said = [lines[i * n_clips : (i + 1) * n_clips] for i in range(n)]
    return [Script(i, {line.clip: line.text for line in said[i]}, faults) for i in range(n)]


def identity_split(i: int, n: int) -> str:
    """Return the split of identity `i` of `n`: the last twelfth is test, the two before it (one, if n < 12) are val."""
    n_test = max(1, n // 12)
    n_val = 2 if n >= 12 else int(n >= 4)
    if i >= n - n_test:
        return "test"
    return "val" if i >= n - n_test - n_val else "train"
