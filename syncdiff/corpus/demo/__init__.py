"""The demo corpus: people who do not exist, rendered as they speak synthetic sentences, in LRS2's layout."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from syncdiff.config import Config
from syncdiff.corpus.demo.sentences import unique_sentences
from syncdiff.corpus.kind import CorpusKind
from syncdiff.corpus.lrs import lrs2_clips
from syncdiff.corpus.split import Listing
from syncdiff.media.container import FPS
from syncdiff.pipeline.files import write_text
from syncdiff.pipeline.parallel import each_clip

FIRST_PROGRAMME = 7_000_000_000_000_000_001  # LRS2 names its programmes by numbers as long


class Demo(CorpusKind):
    """The rendered corpus: LRS2's layout, and as many clips as the config says, rendered or not."""

    uniform = True

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

    Args:
        config: the whole config; `seed` and `corpus.demo` are read.
        root: folder to write to.
        workers: processes.
    """
    from syncdiff.corpus.demo.clip import Script, render_identity  # MediaPipe and numba take a second to import

    demo = config.corpus.demo
    texts = unique_sentences(np.random.default_rng(config.seed), demo.seconds)
    scripts, lists = [], dict[str, list[str]](train=[], val=[], test=[])
    for i in range(demo.identities):
        clips = [f"{FIRST_PROGRAMME + i}/{number + 1:05d}" for number in range(demo.clips_per_identity)]
        scripts.append(Script(i, dict(zip(clips, texts, strict=False))))
        lists[identity_split(i, demo.identities)] += clips
    work = partial(render_identity, root=root, size=demo.size, seed=config.seed)
    for script, outcome in each_clip(work, scripts, workers, label="people"):
        if outcome.status != "ok":
            raise RuntimeError(f"demo corpus, person {script.identity}: {outcome.reason}")
    for split, clips in lists.items():
        write_text(root / "mvlrs_v1" / f"{split}.txt", "".join(f"{clip}\n" for clip in clips))


def identity_split(i: int, n: int) -> str:
    """Return the split of identity `i` of `n`: the last twelfth is test, the two before it (one, if n < 12) are val."""
    n_test = max(1, n // 12)
    n_val = 2 if n >= 12 else int(n >= 4)
    if i >= n - n_test:
        return "test"
    return "val" if i >= n - n_test - n_val else "train"
