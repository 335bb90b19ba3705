"""Which clips a config names, and into how many shards they will go, known before any stage has run."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from syncdiff.config import Config
from syncdiff.corpus.demo import identity_split
from syncdiff.corpus.folder import folder_clips
from syncdiff.corpus.lrs import lrs2_clips, lrs3_clips
from syncdiff.corpus.split import ListedClip
from syncdiff.media.container import FPS

# Frames of a typical clip: hours x 3600 x 25 / clips, from the corpora's own tables.
TYPICAL_FRAMES = {
    "lrs2": {"pretrain": 182, "train": 55, "val": 50, "test": 36},
    "lrs3": {"pretrain": 310, "train": 84, "val": 84, "test": 61},
    "folder": dict.fromkeys(("train", "val", "test"), 250),  # ten seconds: a guess that only sizes shards
}


def corpus_root(config: Config) -> Path:
    """Return the folder that holds the corpus; the demo's is rendered under the results."""
    if config.corpus.kind == "demo":
        return Path(config.results) / config.corpus_name / "corpus"
    return Path(str(config.corpus.root))


def list_clips(config: Config) -> list[ListedClip]:
    """Return every clip that the corpus names, by split in the config's order and by id inside each.

    Raises:
        UserError: the root is missing or laid out otherwise, or a list names no existing clip.
    """
    root, corpus = corpus_root(config), config.corpus
    if corpus.kind == "folder":
        clips = folder_clips(root, corpus.val_fraction, corpus.test_fraction)
        return sorted(clips, key=lambda listed: (config.splits.index(listed.split), listed.clip))
    if corpus.kind == "lrs3":
        return list(lrs3_clips(root, config.splits, corpus.val_fraction))
    return list(lrs2_clips(root, config.splits))


def clip_counts(config: Config) -> dict[str, int]:
    """Return how many clips each split lists. The demo's follow from its config, rendered or not."""
    if config.corpus.kind == "demo":
        demo = config.corpus.demo
        identities = Counter(identity_split(i, demo.identities) for i in range(demo.identities))
        return {split: identities[split] * demo.clips_per_identity for split in config.splits}
    listed = Counter(listed.split for listed in list_clips(config) if not listed.reason)
    return {split: listed[split] for split in config.splits}


def shard_counts(config: Config) -> dict[str, int]:
    """Return the number of shards of each split: an estimate from clip counts, so that the DAG needs no checkpoint.

    The plan fills exactly so many shards. A split without clips has none.
    """
    demo_frames = dict.fromkeys(config.splits, round(config.corpus.demo.seconds * FPS))
    typical = TYPICAL_FRAMES.get(config.corpus.kind, demo_frames)
    counts = clip_counts(config)
    return {split: math.ceil(n * typical[split] / config.plan.frames_per_shard) for split, n in counts.items()}
