"""FID, SSIM and PSNR: the arithmetic of pytorch-fid 0.3.0 and scikit-image, over folders of pictures or videos."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.linalg.lapack import dpstrf
from skimage.metrics import structural_similarity

from syncdiff.corpus.tree import left_out, walk
from syncdiff.device import full_fp32
from syncdiff.errors import ClipRejected, UserError
from syncdiff.evaluation.metrics.bootstrap import interval, resample
from syncdiff.evaluation.metrics.textures import NAME as TEXTURE_BANK
from syncdiff.evaluation.metrics.textures import texture_features
from syncdiff.evaluation.scored_clip import ScoredClip
from syncdiff.media.video import read_frames
from syncdiff.models.inception import load_inception

log = logging.getLogger(__name__)

Features = Callable[[np.ndarray], np.ndarray]  # (N, H, W, 3) uint8 RGB -> (N, F) float64

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}  # pytorch-fid's
VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"}
BATCH = 32
FID_RESAMPLES = 50  # at most: each takes a singular value decomposition of the covariances' factors
MIN_SIDE = 32  # pixels: SSIM needs 11, the texture bank 32


def fidelity_of_clip(clip: ScoredClip) -> dict[str, float | np.ndarray]:
    """Return `ssim`, (T,), and `psnr` of aligned crops; equal frames stay out of the mean of PSNR unless all are."""
    if clip.is_real:
        return {"ssim": np.ones(len(clip.frames.crops)), "psnr": math.inf}
    pairs = list(clip.pairs())
    ratios = [psnr(*pair) for pair in pairs]
    finite = [ratio for ratio in ratios if math.isfinite(ratio)]
    return {"ssim": np.array([ssim(*pair) for pair in pairs]), "psnr": float(np.mean(finite or ratios))}


def fid_of_set(clips: Sequence[tuple[np.ndarray, np.ndarray]], resamples: int, seed: int) -> tuple[float, float, float]:
    """Return FID over all clips, and the ends of its 95 % bootstrap interval, of at most FID_RESAMPLES.

    Args:
        clips: features of the real and of the generated crops, (T, D) each; a resample draws the same on both sides.
        resamples: behind the interval.
        seed: of the resamples.
    """
    draws = resample(len(clips), min(resamples, FID_RESAMPLES), seed)
    low, high = interval(np.array([_fid([clips[clip] for clip in draw]) for draw in draws]))
    return _fid(clips), low, high


def _fid(clips: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    real, generated = Moments(), Moments()
    real.add(np.concatenate([features for features, _ in clips]))
    generated.add(np.concatenate([features for _, features in clips]))
    return frechet_distance(real.mean, real.covariance, generated.mean, generated.covariance)


class Moments:
    """Mean and covariance of a stream of feature vectors, float64, by the stable update of Chan et al. (1979)."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))

    def add(self, features: np.ndarray) -> None:
        """Take in (N, F) features."""
        features = np.asarray(features, dtype=np.float64)
        if not self.n:
            self.mean, self._scatter = np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2)
        n, mean = len(features), features.mean(axis=0)
        centred, shift = features - mean, mean - self.mean
        self._scatter += centred.T @ centred + np.outer(shift, shift) * (self.n * n / (self.n + n))
        self.mean = self.mean + shift * (n / (self.n + n))
        self.n += n

    @property
    def covariance(self) -> np.ndarray:
        """(F, F), divided by N - 1 as numpy.cov does; zero for a single vector."""
        return self._scatter / max(self.n - 1, 1)


def frechet_distance(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """Return |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), Heusel et al. 2017, for means (F,) and covariances (F, F).

    With C = A Aᵀ, tr (C1 C2)^½ is the sum of the singular values of A1ᵀ A2: no matrix square root, which
    pytorch-fid needs offsets and complex numbers for when there are fewer pictures than features.
    """
    trace = np.linalg.svd(_factor(cov1).T @ _factor(cov2), compute_uv=False).sum()
    return float(np.square(mean1 - mean2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * trace)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Return A (F, rank) with A Aᵀ = covariance, by a pivoted Cholesky that ends where only rounding noise is left."""
    lower, pivots, rank, _ = dpstrf(covariance, lower=1)
    factor = np.empty((len(covariance), rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return factor


def fid_features(inception: str | None, device: torch.device | str = "cpu") -> tuple[Features, str]:
    """Return the feature extractor of FID and the name under which its distances are printed.

    Args:
        inception: path of pt_inception-2015-12-05-6726825d.pth; None: the texture bank.
    """
    network = load_inception(inception).to(device) if inception else texture_features
    name = Path(inception).stem if inception else TEXTURE_BANK

    def extract(pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), full_fp32():
            rgb = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).contiguous() / 255
            return network(rgb).double().cpu().numpy()

    return extract, name


def ssim(reference: np.ndarray, picture: np.ndarray) -> float:
    """Return the structural similarity of two (H, W, 3) uint8 pictures (Wang et al. 2004), by scikit-image."""
    return float(
        structural_similarity(
            reference,
            picture,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
        )
    )


def psnr(reference: np.ndarray, picture: np.ndarray) -> float:
    """Return 10 log10(255² / MSE) in dB over all pixels and channels of two uint8 pictures; inf for equal ones."""
    error = np.square(reference.astype(np.float64) - picture).mean()
    return 10 * math.log10(255**2 / error) if error else math.inf


def fidelity(
    real: Path, fake: Path, inception: str | None = None, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Compare two folders of pictures or videos (or two videos), all frames at 25 fps, in one pass.

    SSIM and PSNR are means over frame pairs: the files of both sides must have the same relative names without suffix,
    the same numbers of frames and the same sizes, else they are None. PSNR leaves out the `n_identical` equal pairs.

    Returns:
        {"fid", "ssim", "psnr", "n_real", "n_fake", "n_identical", "scorer"}

    Raises:
        UserError: nothing to compare, or a file that cannot be read.
    """
    extract, scorer = fid_features(inception, device)
    sides = _Statistics(extract), _Statistics(extract)
    pairs = PairScores()
    for items in zip_longest(_pictures(real), _pictures(fake)):
        for side, item in zip(sides, items, strict=True):
            if item is not None:
                side.add(item[1])
        pairs.add(*items)
    first, second = (side.finish() for side in sides)
    if min(first.n, second.n) < 2:
        raise UserError(f"{real if first.n < 2 else fake}: one picture has no covariance; FID needs two at least")
    distance = frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
    return {"fid": distance, **pairs.means(), "n_real": first.n, "n_fake": second.n, "scorer": scorer}


Named = tuple[tuple[str, int], np.ndarray]  # (file's relative name without suffix, frame), picture


class PairScores:
    """SSIM and PSNR of frame pairs; void as soon as one side has a frame that the other does not have."""

    def __init__(self) -> None:
        self.paired = True
        self.ssim: list[float] = []
        self.psnr: list[float] = []

    def add(self, real: Named | None, fake: Named | None) -> None:
        """Compare the next frames of both sides."""
        if real is None or fake is None or real[0] != fake[0] or real[1].shape != fake[1].shape:
            self.paired = False
        if self.paired and real is not None and fake is not None:
            self.ssim.append(ssim(real[1], fake[1]))
            self.psnr.append(psnr(real[1], fake[1]))

    def means(self) -> dict[str, float | int | None]:
        """Return {"ssim", "psnr", "n_identical"}; equal pairs have no finite PSNR and stay out of its mean."""
        if not self.paired:
            return {"ssim": None, "psnr": None, "n_identical": None}
        finite = [value for value in self.psnr if math.isfinite(value)]
        mean = float(np.mean(finite)) if finite else None
        return {"ssim": float(np.mean(self.ssim)), "psnr": mean, "n_identical": len(self.psnr) - len(finite)}


class _Statistics:
    """Collects pictures into batches of one size, and their features into moments."""

    def __init__(self, extract: Features) -> None:
        self._extract, self._moments = extract, Moments()
        self._batch: list[np.ndarray] = []

    def add(self, picture: np.ndarray) -> None:
        if self._batch and (len(self._batch) == BATCH or picture.shape != self._batch[0].shape):
            self.finish()
        self._batch.append(picture)

    def finish(self) -> Moments:
        """Take in what is left of the batch."""
        if self._batch:
            self._moments.add(self._extract(np.stack(self._batch)))
        self._batch = []
        return self._moments


def _pictures(root: Path) -> Iterator[Named]:
    """Yield every picture below a folder (or of one file) in the order of the names, (H, W, 3) uint8 RGB."""
    if not root.exists():
        raise UserError(f"{root}: no such file or folder")
    files = [root] if root.is_file() else _files(root)
    if not files:
        raise UserError(f"{root}: no pictures or videos there; name a folder that holds some")
    for file in files:
        name = "" if file == root else file.relative_to(root).with_suffix("").as_posix()
        for index, picture in enumerate(_frames(file)):
            if min(picture.shape[:2]) < MIN_SIDE:
                raise UserError(f"{file}: a side is shorter than {MIN_SIDE} pixels; give larger pictures")
            yield (name, index), picture


def _files(root: Path) -> list[Path]:
    """Return the pictures and videos below a folder; what is left out for its name or twice there is said."""
    tree = walk(root, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    for folder, fault in tree.unreadable.items():
        raise UserError(f"{root / folder}: cannot be read ({fault}); make it readable, or remove it")
    for note, paths in left_out(tree).items():
        log.warning("%s: %d x %s (%s)", root, len(paths), note, paths[0])
    return sorted((root / path for path in tree.files), key=lambda file: file.relative_to(root).with_suffix(""))


def _frames(file: Path) -> Iterator[np.ndarray]:
    if file.suffix.lower() in VIDEO_SUFFIXES:
        try:
            yield from read_frames(file)
        except ClipRejected as error:
            raise UserError(f"{file}: {error}; remove the file or replace it") from None
        return
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)  # as Pillow in pytorch-fid
    if picture is None:
        raise UserError(f"{file}: not a readable picture; remove the file or replace it")
    yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
