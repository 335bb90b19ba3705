"""How sharp the mouth is: the variance of the Laplacian (Pech-Pacheco et al. 2000) against that of the real video."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from syncdiff.errors import ClipRejected
from syncdiff.evaluation.scored_clip import ScoredClip


def sharpness_of_clip(clip: ScoredClip) -> dict[str, float]:
    """Return `sharpness`: that of the method's mouths over that of the real ones, the same frames of both.

    Raises:
        ClipRejected: the real mouths have one colour.
    """
    return {"sharpness": sharpness_ratio(clip.frames.mouths, clip.real_mouths)}


def sharpness_ratio(generated: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> float:
    """Return the ratio of the mean variances: 1 is as sharp as the real ones, less is blur, more is noise.

    Blur and the light of a frame move its variance by factors, so that the means are divided, not the frames.

    Args:
        generated: luma around the lips, (h, w) uint8 a frame.
        real: the same places of the real frames, at least as many.

    Raises:
        ClipRejected: the real mouths have one colour.
    """
    of_real = np.mean([laplacian_variance(mouth) for mouth in real[: len(generated)]])
    if not of_real:
        raise ClipRejected("the real mouth has no edges to compare with")
    return float(np.mean([laplacian_variance(mouth) for mouth in generated]) / of_real)


def laplacian_variance(luma: np.ndarray) -> float:
    """Return the variance of the Laplacian (kernel 0 1 0, 1 -4 1, 0 1 0) of a picture (h, w) uint8."""
    return float(cv2.Laplacian(luma, cv2.CV_64F).var())
