"""How the mouth moves: opening, its correlation with the real one, and the distance of lip landmarks (LMD)."""

from __future__ import annotations

import numpy as np

from syncdiff.faces.ibug import LEFT_EYE, LIPS, LOWER_INNER_LIP, RIGHT_EYE, UPPER_INNER_LIP


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """Return the inner-lip gap over the distance between the eyes' centres.

    Args:
        landmarks: (T, 68, 2) iBUG points.

    Returns:
        (T,) float64: 0 is closed, about 0.3 wide open.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    gap = np.linalg.norm(points[:, LOWER_INNER_LIP] - points[:, UPPER_INNER_LIP], axis=-1)
    eyes = points[:, LEFT_EYE].mean(axis=1) - points[:, RIGHT_EYE].mean(axis=1)  # (T, 2)
    return gap / np.linalg.norm(eyes, axis=-1)


def mouth_corr(generated: np.ndarray, real: np.ndarray) -> float:
    """Return Pearson's r of two mouth openings, (T,) each, -1..1.

    Frames where either is not finite are left out. A mouth that does not move gets 0 by definition.
    """
    seen = np.isfinite(generated) & np.isfinite(real)
    if seen.sum() < 2:
        return 0.0
    a, b = generated[seen] - generated[seen].mean(), real[seen] - real[seen].mean()
    scale = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float((a * b).sum() / scale) if scale > 1e-12 else 0.0


def lmd(generated: np.ndarray, real: np.ndarray) -> float:
    """Return the mean distance of the 20 lip landmarks, (T, 68, 2) each, in their own pixels (Chen et al. 2018).

    Nothing is normalised, as in the field: give landmarks of aligned crops, and compare only crops of one size.
    """
    return float(np.linalg.norm(generated[:, LIPS] - real[:, LIPS], axis=-1).mean())
