"""A video beside the real one of the same face, file against file: sharpness, and mouths that are open in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from syncdiff.config import Faces
from syncdiff.errors import ClipRejected, UserError
from syncdiff.evaluation.crops import faces_of
from syncdiff.evaluation.cuts import cut_mouth
from syncdiff.evaluation.metrics.mouth import OPEN, match_faces, mouth_aperture
from syncdiff.evaluation.metrics.sharpness import sharpness_ratio
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.media.audio import SAMPLES_PER_FRAME, read_audio
from syncdiff.media.container import FPS
from syncdiff.media.video import read_frames
from syncdiff.pipeline.parallel import attempt
from syncdiff.pipeline.progress import progress

QUIET = 10 ** (-30 / 20)  # of the loudest frames' level, below which a frame is quiet: 30 dB
LOUDEST = 0.95  # quantile of the frames' levels
SILENCE_REACH = 4  # frames to either side that are quiet too: lips open before a word and close after it
MIN_SILENT = 5  # frames, for a share


def compare_all(videos: Sequence[Path], real: Sequence[Path], faces: Faces) -> list[dict[str, Any]]:
    """Return {"video", "real"} of each pair, and what `compare` says of it, or {"reason"} why it cannot.

    Raises:
        UserError: there are not as many real videos as videos.
    """
    if len(real) != len(videos):
        raise UserError(
            f"score: {len(videos)} videos and {len(real)} real ones; give --real once for each, in their order"
        )
    pairs = list(zip(videos, real, strict=True))
    outcomes = [attempt(partial(compare, faces), pair) for pair in progress(pairs, "compare")]
    return [
        {"video": str(video), "real": str(beside)} | (outcome.value or {"reason": outcome.reason})
        for (video, beside), outcome in zip(pairs, outcomes, strict=True)
    ]


def compare(faces: Faces, pair: tuple[Path, Path]) -> dict[str, Any]:
    """Compare a video with the real one frame by frame, from the first in which the real one has a face.

    Args:
        faces: the landmarker, and how its tracks are smoothed.
        pair: the video and the real one, of the same size; the longer is cut.

    Returns:
        {"sharpness": of the mouth over the real one's, "open_in_silence": share of the frames in the midst of silence,
        by the video's own sound, in which its mouth is open, or None where there are few, "n_silent", "n_compared"}

    Raises:
        ClipRejected: one is unreadable, shows no face, or has another size.
    """
    video, real = pair
    face = faces_of(real, faces)[0]
    mouths: list[np.ndarray] = []
    real_mouths: list[np.ndarray] = []

    def passing() -> Iterator[np.ndarray]:
        both = zip(face.landmarks, read_frames(video, face.start), read_frames(real, face.start), strict=False)
        for points, frame, real_frame in both:
            if frame.shape != real_frame.shape:
                sizes = (f"{picture.shape[1]}x{picture.shape[0]}" for picture in (frame, real_frame))
                raise ClipRejected("frames of {}, the real video has {}".format(*sizes))
            mouths.append(cut_mouth(frame, points))
            real_mouths.append(cut_mouth(real_frame, points))
            yield frame

    found = list(open_landmarker(faces).track(passing()))
    if not found:
        raise ClipRejected("it ends before the real video shows a face")
    openings = mouth_aperture(match_faces(found, face.landmarks[: len(found)]))
    silent = silent_frames(read_audio(video, face.start / FPS), len(found))
    share = float((openings[silent] > OPEN).mean()) if silent.sum() >= MIN_SILENT else None
    counts = {"n_silent": int(silent.sum()), "n_compared": len(found)}
    return {"sharpness": sharpness_ratio(mouths, real_mouths), "open_in_silence": share} | counts


def in_words(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say what `compare_all` returns, a line for each video."""
    for row in found:
        if "reason" in row:
            yield f"{row['video']}: not compared with {row['real']}: {row['reason']}"
            continue
        share, n = row["open_in_silence"], row["n_silent"]
        silence = f"too little silence ({n} frames)" if share is None else f"open in {share:.0%} of {n} silent frames"
        compared = f"sharpness {row['sharpness']:.2f} of the real one's, {silence}, {row['n_compared']} frames"
        yield f"{row['video']}: {compared}"


def silent_frames(audio: np.ndarray, n_frames: int) -> np.ndarray:
    """Return which frames lie in the midst of silence, (n_frames,) bool, of sound (n,) int16; none after its end."""
    if len(audio) < SAMPLES_PER_FRAME:
        return np.zeros(n_frames, bool)
    whole = audio[: len(audio) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME)
    levels = np.sqrt(np.square(whole.astype(np.float64)).mean(axis=1))
    loud = levels > max(QUIET * float(np.quantile(levels, LOUDEST)), 1)
    near = np.convolve(loud, np.ones(2 * SILENCE_REACH + 1), mode="full")[SILENCE_REACH:][: len(loud)] > 0
    return np.pad(~near, (0, max(0, n_frames - len(near))))[:n_frames]
