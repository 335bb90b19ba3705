"""CSIM: whether the generated face is the same person's, by the cosine of face embeddings."""

from __future__ import annotations

import numpy as np

from syncdiff.evaluation.metrics.fidelity import BATCH
from syncdiff.evaluation.scored_clip import ScoredClip
from syncdiff.registry.metrics import FACENET


def csim_of_clip(clip: ScoredClip) -> dict[str, np.ndarray]:
    """Return `csim`, (T,) in -1..1: the cosine of FaceNet's embeddings of each generated and the real face."""
    generated = clip.frames.portraits
    starts = range(0, len(generated), BATCH)
    embed = clip.networks[FACENET]
    ours, theirs = (
        np.concatenate([embed(side[start : start + BATCH]) for start in starts])  # (T, 512), of length 1
        for side in (generated, clip.real_portraits[: len(generated)])
    )
    return {"csim": (ours * theirs).sum(axis=1)}
