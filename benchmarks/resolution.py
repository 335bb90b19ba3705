"""What of a real mouth's sharpness is left by the way through a crop: its size, how it is resampled, and its code.

python benchmarks/resolution.py VIDEO... ; writes benchmarks/results/resolution.json. Each video's largest face is cut
out as the stage `faces` does, and put back as sampling does; sharpness is the metric's, around the lips on the source's
pixels, over that of the video itself. Codes are linear: patches of p x p pixels by their first principal components, of
all videos together, as an autoencoder begins (`models.autoencoder.start_linear`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from machine import one_core, save

from syncdiff.config import Autoencoder, Faces
from syncdiff.evaluation.crops import faces_of
from syncdiff.evaluation.cuts import cut_mouth
from syncdiff.evaluation.metrics.sharpness import sharpness_ratio
from syncdiff.faces import align
from syncdiff.media.video import read_frames
from syncdiff.models.autoencoder import to_frames, to_pixels
from syncdiff.priors import mouth_mask
from syncdiff.training.autoencoder import principal_components

EVERY = 5  # frames
TIMED = 128  # pixels
SIZES = (64, 96, 128, 192, 256)
WEIGHTS = {
    "bilinear": (cv2.INTER_LINEAR, cv2.INTER_LINEAR),
    "cubic": (cv2.INTER_CUBIC, cv2.INTER_CUBIC),
    "cubic, then Lanczos": (align.TO_CROP, align.TO_FRAME),
    "Lanczos": (cv2.INTER_LANCZOS4, cv2.INTER_LANCZOS4),
}
CODES = (
    (64, 8, 64),
    (96, 8, 64),
    (128, 8, 32),
    (128, 8, 48),
    (128, 8, 64),
    (128, 8, 96),
    (128, 4, 16),
    (192, 8, 32),
    (256, 16, 64),
)

Clip = tuple[list[np.ndarray], np.ndarray]  # frames (H, W, 3) uint8 and landmarks (T, 68, 2)
Code = Callable[[np.ndarray], np.ndarray]  # crops (N, S, S, 3) uint8 to what is left of them


def main() -> None:
    """Measure resampling for each size, then codes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    clips = [clip_of(video) for video in parser.parse_args().videos]
    one_core()
    resampled: dict[str, dict[str, float]] = {}
    for name, (to_crop, to_frame) in WEIGHTS.items():
        with mock.patch.multiple(align, TO_CROP=to_crop, TO_FRAME=to_frame):
            resampled[name] = {str(size): sharpness(clips, size, lambda crops: crops) for size in SIZES}
            resampled[name]["cpu_ms_of_a_crop"] = milliseconds(clips)
    codes = [
        {"size": size, "patch": patch, "channels": channels, "sharpness": sharpness(clips, size, code)}
        for size, patch, channels in CODES
        for code in [linear_code(clips, size, patch, channels)]
    ]
    scales = [align.scale_of(align.alignment(face, Faces(size=128))[0]) for _, face in clips]
    save(
        "resolution",
        {"clips": len(clips), "crop_px_128_a_source_px": scales, "resampled": resampled, "codes": codes},
    )


def milliseconds(clips: list[Clip]) -> float:
    """Return the time that it takes to cut out a crop of `TIMED` pixels: the least of some rounds over all clips."""
    rounds = []
    for _ in range(5):
        began = time.process_time()
        n = sum(1 for clip in clips for _ in crops_of(clip, TIMED))
        rounds.append((time.process_time() - began) / n)
    return round(1000 * min(rounds), 3)


def clip_of(video: Path) -> Clip:
    """Return every fifth frame of a video in which its largest face is seen, and that face."""
    face = faces_of(video, Faces())[0]
    frames = islice(read_frames(video, face.start), len(face.landmarks))
    return list(islice(frames, 0, None, EVERY)), face.landmarks[::EVERY]


def crops_of(clip: Clip, size: int) -> Iterator[np.ndarray]:
    """Yield a clip's aligned crops (size, size, 3) uint8."""
    frames, face = clip
    for frame, transform in zip(frames, align.alignment(face, Faces(size=size, smoothing_frames=1)), strict=True):
        yield align.warp(frame, transform, size)


def linear_code(clips: list[Clip], size: int, patch: int, channels: int) -> Code:
    """Return what the first principal components of patches keep of crops."""
    crops = np.stack([crop for clip in clips for crop in crops_of(clip, size)])
    mean, components = principal_components(crops, Autoencoder(patch_size=patch, latent_channels=channels))

    def kept(crops: np.ndarray) -> np.ndarray:
        patches = F.pixel_unshuffle(to_pixels(crops, torch.device("cpu")), patch).movedim(1, -1) - mean
        return to_frames(F.pixel_shuffle((patches @ components.T @ components + mean).movedim(-1, 1), patch))

    return kept


def sharpness(clips: list[Clip], size: int, code: Code) -> float:
    """Return the mean over clips of how sharp their mouths are once they have been crops of a size."""
    mask, ratios = mouth_mask(size), []
    for clip in clips:
        frames, face = clip
        crops = code(np.stack(list(crops_of(clip, size))))
        transforms = align.alignment(face, Faces(size=size, smoothing_frames=1))
        pasted = (align.paste(*each, mask) for each in zip(frames, crops, transforms, strict=True))
        mouths = [cut_mouth(frame, points) for frame, points in zip(pasted, face, strict=True)]
        ratios.append(sharpness_ratio(mouths, [cut_mouth(*pair) for pair in zip(frames, face, strict=True)]))
    return round(float(np.mean(ratios)), 3)


if __name__ == "__main__":
    main()
