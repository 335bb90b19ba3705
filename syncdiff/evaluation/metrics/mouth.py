"""How the mouth moves: aperture, its correlation with the real one, and the distance of lip landmarks (LMD)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from syncdiff.errors import ClipRejected
from syncdiff.evaluation.scored_clip import FIELD_SIZE, ScoredClip
from syncdiff.faces.ibug import LEFT_EYE, LIPS, LOWER_INNER_LIP, RIGHT_EYE, UPPER_INNER_LIP

MIN_FACES = 0.9  # share of frames in which a face must be found


def mouth_of_clip(clip: ScoredClip) -> dict[str, float | np.ndarray]:
    """Return `lmd`, `mouth_corr`, `aperture_error` (T,) and `mouth_aperture` (T,) of the face nearest to the real one.

    Raises:
        ClipRejected: no face in more than a tenth of the frames.
    """
    real = clip.landmarks[: len(clip.frames.faces)]
    generated = match_faces(clip.frames.faces, real)
    transforms = clip.transforms[: len(real)] * (FIELD_SIZE / clip.real.shape[1])
    aperture, real_aperture = mouth_aperture(generated), mouth_aperture(real)
    return {
        "lmd": lmd(_aligned(generated, transforms), _aligned(real, transforms)),
        "mouth_corr": mouth_corr(aperture, real_aperture),
        "aperture_error": np.abs(aperture - real_aperture),
        "mouth_aperture": aperture,
    }


def motion_in_silence(clip: ScoredClip) -> dict[str, float | np.ndarray]:
    """Return `mouth_std_ratio`: how much the mouth moves in silence, over how much it moves with the clip's own sound.

    Raises:
        ClipRejected: no face in more than a tenth of the frames of either, or the mouth does not move with sound.
    """
    paired = clip.others["paired"]
    if paired.value is None:
        raise ClipRejected(f"paired video: {paired.reason}")  # its own rows say whether that can mend
    in_silence, with_sound = (
        mouth_aperture(match_faces(frames.faces, clip.landmarks[: len(frames.faces)])).std()
        for frames in (clip.frames, paired.value)
    )
    if not with_sound:
        raise ClipRejected("the mouth does not move with sound either")
    return {"mouth_std_ratio": float(in_silence / with_sound)}


def match_faces(found: Sequence[list[np.ndarray]], real: np.ndarray) -> np.ndarray:
    """Choose in each frame the face nearest to the real one; gaps are filled linearly in time.

    Args:
        found: per frame, the (68, 2) landmarks of all faces.
        real: (T, 68, 2) landmarks of the real clip.

    Returns:
        (T, 68, 2) float32

    Raises:
        ClipRejected: no face in more than a tenth of the frames.
    """
    known = [index for index, faces in enumerate(found) if faces]
    if len(known) < MIN_FACES * len(found):
        raise ClipRejected(f"no face in {len(found) - len(known)} of {len(found)} frames")
    nearest = [min(found[i], key=lambda face, at=real[i]: np.abs(face - at).mean()) for i in known]  # type: ignore[misc]
    flat = np.stack(nearest).reshape(len(known), -1)  # (K, 136)
    filled = [np.interp(np.arange(len(found)), known, coordinate) for coordinate in flat.T]
    return np.stack(filled, axis=1).reshape(-1, 68, 2).astype(np.float32)


def _aligned(landmarks: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Map landmarks (T, 68, 2) of the source by transforms (T, 2, 3)."""
    return landmarks @ transforms[:, :, :2].swapaxes(1, 2) + transforms[:, None, :, 2]


def mouth_aperture(landmarks: np.ndarray) -> np.ndarray:
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
    """Return Pearson's r of two mouth apertures, (T,) each, -1..1.

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
