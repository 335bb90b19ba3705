"""LPIPS (Zhang et al. 2018), v0.1 with AlexNet, which its authors give for measuring, of whole aligned crops."""

from __future__ import annotations

import numpy as np

from syncdiff.evaluation.metrics.fidelity import BATCH
from syncdiff.evaluation.scored_clip import ScoredClip
from syncdiff.registry.metrics import ALEXNET


def lpips_of_clip(clip: ScoredClip) -> dict[str, np.ndarray]:
    """Return `lpips`, (T,), of each generated crop to the real one, both at the size of `faces.size`."""
    generated, distance = clip.frames.crops, clip.networks[ALEXNET]
    starts = range(0, len(generated), BATCH)
    parts = [distance(*(side[s : s + BATCH] for side in (clip.real[: len(generated)], generated))) for s in starts]
    return {"lpips": np.concatenate(parts)}
