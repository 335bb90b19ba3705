"""FVD (Unterthiner et al. 2018): the Fréchet distance of I3D's logits, by LatentSync's protocol (eval/eval_fvd.py).

One clip of 16 frames a video, frames 20 to 35, faces resized to 224 pixels, values 0..1. LatentSync's faces are
MediaPipe's boxes of each video; here both videos are cut where the real one's landmarks are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from syncdiff.evaluation.metrics.fidelity import fid_of_set

log = logging.getLogger(__name__)

FIRST, LAST = 20, 35  # frames of each clip
LOGITS = 400  # classes of Kinetics-400


def fvd_frames(portraits: np.ndarray) -> np.ndarray:
    """Return the frames that FVD sees of a clip, (16, 224, 224, 3); none, (0, ...), of a clip that ends before."""
    return portraits[FIRST : LAST + 1] if len(portraits) > LAST else portraits[:0]


def fvd_of_set(clips: Sequence[tuple[np.ndarray, np.ndarray]], resamples: int, seed: int) -> tuple[float, float, float]:
    """Return FVD over all clips, (1, 400) logits of the real and of the generated one each, and its 95 % interval.

    Few clips make it too large: their covariance is singular, which the distance bears and a reader should know.
    """
    if len(clips) <= LOGITS:
        log.warning("FVD: %d clips for %d logits: compare it with rows of the same clips alone", len(clips), LOGITS)
    return fid_of_set(clips, resamples, seed)
