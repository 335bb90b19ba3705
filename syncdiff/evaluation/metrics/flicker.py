"""Flicker: how much the error of a video changes from one frame to the next."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from syncdiff.errors import ClipRejected
from syncdiff.evaluation.scored_clip import FIELD_SIZE, ScoredClip
from syncdiff.priors import mouth_mask


def flicker_of_clip(clip: ScoredClip) -> dict[str, float | np.ndarray]:
    """Return `flicker_mouth`, (T - 1,), and `flicker_rest`, in grey levels of crops of at most FIELD_SIZE.

    Raises:
        ClipRejected: there is one frame only.
    """
    if len(clip.frames.crops) < 2:
        raise ClipRejected("one frame cannot flicker")
    masked = mouth_mask(min(clip.real.shape[1], FIELD_SIZE)) > 0
    mouth, rest = flicker(clip.pairs(), masked)
    return {"flicker_mouth": mouth, "flicker_rest": float(rest.mean())}


def flicker(pairs: Iterable[tuple[np.ndarray, np.ndarray]], mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of |(g_t - g_{t-1}) - (r_t - r_{t-1})| over pixels and channels, under a mask and outside it.

    An error that stays is no flicker: a picture that is too dark in all frames has 0, as has the real video itself.

    Args:
        pairs: real and generated frames r_t and g_t of t = 0 .. T-1, (S, S, 3) uint8 each; two at least.
        mask: (S, S) bool.

    Returns:
        Two of (T - 1,) float64 in grey levels, for t = 1 .. T-1: 0 is best, 510 the most that there can be.
    """
    errors = (generated.astype(np.int16) - real for real, generated in pairs)
    changes = (np.abs(now - before).mean(axis=-1) for before, now in pairwise(errors))  # (S, S) each
    under, outside = zip(*((change[mask].mean(), change[~mask].mean()) for change in changes), strict=True)
    return np.array(under), np.array(outside)
