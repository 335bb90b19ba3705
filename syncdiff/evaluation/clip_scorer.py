"""Judge one clip: its pictures under each protocol, against the real ones and against sound."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import ENOENT
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from syncdiff.config import Faces
from syncdiff.errors import ClipRejected
from syncdiff.evaluation.metrics.fidelity import BATCH, fid_features, psnr, ssim
from syncdiff.evaluation.metrics.flicker import flicker
from syncdiff.evaluation.metrics.lse import embed_audio, embed_lips, lse
from syncdiff.evaluation.metrics.mouth import lmd, mouth_corr, mouth_opening
from syncdiff.evaluation.metrics.registry import OPENING, PIXELS
from syncdiff.evaluation.videos import TAIL_FRAMES, is_padded, their_frames
from syncdiff.faces.align import warp
from syncdiff.faces.landmarks import Landmarker, open_landmarker
from syncdiff.media.video import read_frames
from syncdiff.models.syncnet import SyncNet, for_inference, load_syncnet, mouth_view
from syncdiff.pipeline.parallel import Outcome, attempt
from syncdiff.priors import mouth_mask
from syncdiff.shards.tar import Sample, decode_npy, metadata
from syncdiff.speech.mfcc import WINDOW_FRAMES, mfcc
from syncdiff.synthesis.protocols import DrivingAudio

MIN_FACES = 0.9  # share of frames in which a face must be found
FIELD_SIZE = 96  # pixels: SSIM, PSNR and flicker of larger crops are taken at this size; landmarks are put on its scale


class Settings(NamedTuple):
    """What the judges are made from."""

    syncnet: Path
    inception: str | None
    faces: Faces
    device: str
    threads: bool  # whether torch may use more than one


class ClipScorer(NamedTuple):
    """The networks behind the figures, and the names under which these are printed."""

    net: SyncNet
    sync_scorer: str
    whole_frames: bool  # SyncNet sees whole frames, as in Wav2Lip's LRS protocol, or aligned crops
    features: Callable[[np.ndarray], np.ndarray]
    fid_scorer: str
    landmarker: Landmarker
    mouth_scorer: str
    crop_size: int


@cache
def load_scorer(settings: Settings) -> ClipScorer:
    """Load the networks, once per process.

    Raises:
        UserError: weights are not there, or are those of another model.
    """
    if not settings.threads:
        torch.set_num_threads(1)
    device = torch.device(settings.device)
    loaded = load_syncnet(settings.syncnet)
    features, fid_scorer = fid_features(settings.inception, device)
    return ClipScorer(
        net=for_inference(loaded.net, device),
        sync_scorer=loaded.scorer,
        whole_frames=loaded.crop != "aligned",
        features=features,
        fid_scorer=fid_scorer,
        landmarker=open_landmarker(settings.faces, settings.device),
        mouth_scorer=f"{settings.faces.backend} landmarks",
        crop_size=settings.faces.size,
    )


@dataclass(frozen=True)
class Job:
    """One clip: its members, and by protocol its video (None: the source) and the sound that it is scored against."""

    sample: Sample
    videos: Mapping[str, Path | None]
    sounds: Mapping[str, DrivingAudio | None]  # None: `cross` found no other clip
    root: Path = Path()  # of the corpus, below which the source lies
    external: bool = False  # the videos are another method's: of the segment or of the whole source, of any size
    lost: Mapping[Path | None, Outcome[Any]] = field(default_factory=dict)  # videos that could not be made

    @property
    def metadata(self) -> dict[str, Any]:
        """The sample's JSON."""
        return metadata(self.sample)

    @property
    def clip(self) -> str:
        """The clip's id."""
        return self.metadata["clip"]

    @property
    def landmarks(self) -> np.ndarray:
        """Landmarks of the real clip, (T, 68, 2)."""
        return decode_npy(self.sample["landmarks.npy"])

    @property
    def transforms(self) -> np.ndarray:
        """From the source to the aligned crop, (T, 2, 3)."""
        return decode_npy(self.sample["transform.npy"])


class Pictures(NamedTuple):
    """What the judges see of one video."""

    crops: np.ndarray  # (T, S, S, 3) uint8, aligned by the real clip's transforms
    features: np.ndarray  # (T, D) for FID
    lips: Tensor  # (T - 5, 1024) SyncNet's embeddings; the reference leaves out the last window
    faces: list[list[np.ndarray]]  # per frame, the (68, 2) landmarks of all faces; not looked for under `cross`
    note: str  # "73 of 75 frames", or ""


class ClipScores(NamedTuple):
    """The rows of one clip, and what the figures of the whole set need of it."""

    rows: list[dict[str, Any]]
    real: np.ndarray  # (T, D) features of the real crops
    generated: dict[str, np.ndarray]  # protocol -> (T, D)
    failures: list[str]  # of each judgement that failed here, the file that could not be read, or ""


def score_clip(settings: Settings, job: Job) -> ClipScores:
    """Score one clip under all its protocols; each video is looked at once.

    Raises:
        ClipRejected: the source video is damaged.
        OSError: it is not there any more.
    """
    judges = load_scorer(settings)
    real = _real_crops(job, judges.crop_size)
    seen: dict[Path | None, Outcome[Pictures]] = {
        video: job.lost.get(video) or attempt(partial(read_frames_once, judges, job), video)
        for video in dict.fromkeys(job.videos.values())
    }
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    for protocol, video in job.videos.items():
        case = Case(judges, job, protocol, real, seen)
        for group in metric_groups(judges, protocol, job.videos):
            judged = _then(seen[video], partial(group.judge, case))
            failures += [judged.file] * (judged.status == "failed" and video not in job.lost)
            rows += rows_of(job.clip, protocol, group, judged)
    features = {video: outcome.value.features for video, outcome in seen.items() if outcome.value is not None}
    real_features = features[None] if None in features else _features(judges, real)
    generated = {name: features[video] for name, video in job.videos.items() if video in features}
    return ClipScores(rows, real_features, generated, failures)


def read_frames_once(judges: ClipScorer, job: Job, video: Path | None) -> Pictures:
    """Go through a video once, one frame in memory, and keep what the judges need.

    Raises:
        ClipRejected: unreadable, or with another number or size of frames than the clip.
        OSError: missing.
    """
    protocols = [protocol for protocol, own in job.videos.items() if own == video]
    n_frames = max((sound.n_frames for name in protocols if (sound := job.sounds[name])), default=len(job.transforms))
    size = judges.net.image_size
    crops: list[np.ndarray] = []
    shown: list[np.ndarray] = []

    frames, note = _frames(job, video, n_frames)

    def passing() -> Iterator[np.ndarray]:
        for frame, transform in zip(frames, job.transforms, strict=False):
            crops.append(warp(frame, transform, judges.crop_size))
            shown.append(cv2.resize(frame, (size, size)) if judges.whole_frames else mouth_view(crops[-1], size))
            yield frame

    faces = [[face] for face in job.landmarks]  # of the source, as the stage `faces` found them
    if video is not None and protocols != ["cross"]:
        faces = list(judges.landmarker.track(passing()))
    else:
        deque(passing(), maxlen=0)
    notes = [note, "" if len(crops) == n_frames else f"{len(crops)} of {n_frames} frames"]
    aligned, note = np.stack(crops), "; ".join(filter(None, notes))
    return Pictures(aligned, _features(judges, aligned), embed_lips(shown[:-1], judges.net), faces, note)


def _features(judges: ClipScorer, crops: np.ndarray) -> np.ndarray:
    """Features for FID, (T, S, S, 3) to (T, D) float32."""
    batches = (crops[start : start + BATCH] for start in range(0, len(crops), BATCH))
    return np.concatenate([judges.features(batch) for batch in batches]).astype(np.float32)


def _frames(job: Job, video: Path | None, n_frames: int) -> tuple[Iterator[np.ndarray], str]:
    """Open the clip's segment in its source (None) or in a method's video, and say what was guessed or changed."""
    if video is None:
        return _source(job, n_frames), ""
    if not video.is_file():
        raise FileNotFoundError(ENOENT, "no video of this clip", str(video))
    if not job.external:
        return _own(job, video, n_frames), ""
    return their_frames(video, job.root / job.metadata["video"], job.metadata, n_frames)


def _own(job: Job, video: Path, n_frames: int) -> Iterator[np.ndarray]:
    """Yield the frames of a video that this project made: of the segment, at the source's size."""
    height, width = job.metadata["height"], job.metadata["width"]
    n_found = 0
    for frame in read_frames(video):
        if not is_padded(frame, height, width):
            raise ClipRejected(f"frames of {frame.shape[1]}x{frame.shape[0]}, the source has {width}x{height}")
        if n_found < n_frames:
            yield frame[:height, :width]
        n_found += 1
    if abs(n_found - n_frames) > TAIL_FRAMES:
        raise ClipRejected(f"{n_found} frames, expected {n_frames}")


def _source(job: Job, n_frames: int) -> Iterator[np.ndarray]:
    metadata = job.metadata
    return islice(read_frames(job.root / metadata["video"], metadata["first_frame"]), n_frames)


def _real_crops(job: Job, size: int) -> np.ndarray:
    frames = _source(job, len(job.transforms))
    return np.stack([warp(frame, transform, size) for frame, transform in zip(frames, job.transforms, strict=True)])


class Case(NamedTuple):
    """One clip under one protocol."""

    judges: ClipScorer
    job: Job
    protocol: str
    real: np.ndarray  # (T, S, S, 3) uint8
    seen: Mapping[Path | None, Outcome[Pictures]]


class MetricGroup(NamedTuple):
    """Figures that come out of one judgement, which can fail where others succeed."""

    metrics: tuple[str, ...]
    scorer: str
    judge: Callable[[Case, Pictures], Sequence[float | np.ndarray]]


def metric_groups(judges: ClipScorer, protocol: str, videos: Mapping[str, Path | None]) -> list[MetricGroup]:
    """Return the figures of a protocol; `videos` says whether the method made other ones from silence."""
    groups = [MetricGroup(("lse_c", "lse_d", "sync_offset"), judges.sync_scorer, _sync)]
    if protocol == "paired":
        groups.append(MetricGroup(("ssim", "psnr"), PIXELS, _fidelity))
        groups.append(MetricGroup(("flicker_mouth", "flicker_rest"), PIXELS, _flicker))
        groups.append(MetricGroup(("lmd", "mouth_corr", "opening_error", OPENING), judges.mouth_scorer, _mouth))
    if protocol == "silent" and videos.get("paired") not in (None, videos["silent"]):
        groups.append(MetricGroup(("mouth_std_ratio",), judges.mouth_scorer, _silence))
    return groups


def _sync(case: Case, pictures: Pictures) -> Sequence[float]:
    sound = case.job.sounds[case.protocol]
    if sound is None:
        raise ClipRejected("no other clip in the shard to drive it")
    lips = pictures.lips[: max(sound.n_frames - WINDOW_FRAMES, 0)]
    if not len(lips):
        raise ClipRejected("too short for SyncNet: it needs 6 frames")
    scores = lse(lips, embed_audio(mfcc(sound.audio), len(lips), case.judges.net))
    return scores.lse_c, scores.lse_d, scores.offset


def _fidelity(case: Case, pictures: Pictures) -> Sequence[float | np.ndarray]:
    if case.job.videos[case.protocol] is None:  # the same pictures
        return np.ones(len(pictures.crops)), math.inf
    pairs = list(_pairs(case, pictures))
    ratios = [psnr(*pair) for pair in pairs]
    finite = [ratio for ratio in ratios if math.isfinite(ratio)]
    return np.array([ssim(*pair) for pair in pairs]), float(np.mean(finite or ratios))


def _flicker(case: Case, pictures: Pictures) -> Sequence[float | np.ndarray]:
    if len(pictures.crops) < 2:
        raise ClipRejected("one frame cannot flicker")
    hidden = mouth_mask(min(case.judges.crop_size, FIELD_SIZE)) > 0
    mouth, rest = flicker(_pairs(case, pictures), hidden)
    return mouth, float(rest.mean())


def _pairs(case: Case, pictures: Pictures) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the real and the generated crop of each moment, at most FIELD_SIZE wide."""
    for real, generated in zip(case.real, pictures.crops, strict=False):
        yield _field_size(real), _field_size(generated)


def _field_size(crop: np.ndarray) -> np.ndarray:
    if len(crop) <= FIELD_SIZE:
        return crop
    return cv2.resize(crop, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA)


def _mouth(case: Case, pictures: Pictures) -> Sequence[float | np.ndarray]:
    real = case.job.landmarks[: len(pictures.faces)]
    generated = match_faces(pictures.faces, real)
    transforms = case.job.transforms[: len(real)] * (FIELD_SIZE / case.judges.crop_size)
    distance = lmd(_aligned(generated, transforms), _aligned(real, transforms))
    opening, true = mouth_opening(generated), mouth_opening(real)
    return distance, mouth_corr(opening, true), np.abs(opening - true), opening


def _aligned(landmarks: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Map landmarks (T, 68, 2) of the source by transforms (T, 2, 3)."""
    return landmarks @ transforms[:, :, :2].swapaxes(1, 2) + transforms[:, None, :, 2]


def _silence(case: Case, pictures: Pictures) -> Sequence[float]:
    paired = case.seen[case.job.videos["paired"]]
    if paired.value is None:
        raise ClipRejected(f"paired video: {paired.reason}")  # its own rows say whether that can mend
    in_silence, with_sound = (
        mouth_opening(match_faces(seen.faces, case.job.landmarks[: len(seen.faces)])).std()
        for seen in (pictures, paired.value)
    )
    if not with_sound:
        raise ClipRejected("the mouth does not move with sound either")
    return [float(in_silence / with_sound)]


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


def _then(seen: Outcome[Pictures], judge: Callable[[Pictures], Sequence[float | np.ndarray]]) -> Outcome[Any]:
    """Judge what was seen; a note about the frames goes with a success, the fault of the video with a failure."""
    if seen.value is None:
        return seen
    judged = attempt(judge, seen.value)
    return Outcome(judged.status, judged.reason or seen.value.note, judged.value)


def rows_of(clip: str, protocol: str, group: MetricGroup, outcome: Outcome[Any]) -> Iterator[dict[str, Any]]:
    """Yield a tidy row for each figure; a trace over the frames is kept as `series`, with its mean as value."""
    values = outcome.value or [float("nan")] * len(group.metrics)
    for metric, value in zip(group.metrics, values, strict=True):
        yield {
            "protocol": protocol,
            "clip": clip,
            "metric": metric,
            "scorer": group.scorer,
            "value": float(np.mean(value)),
            "status": outcome.status,
            "reason": outcome.reason,
            "series": value.astype(np.float32) if isinstance(value, np.ndarray) else None,
        }
