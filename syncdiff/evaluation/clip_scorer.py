"""Score one clip: the method's frames under each protocol, against the real ones and against the audio."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from errno import ENOENT
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from syncdiff.config import Faces
from syncdiff.errors import ClipRejected
from syncdiff.evaluation.cuts import Cuts, Places
from syncdiff.evaluation.metrics.fidelity import BATCH, fid_features
from syncdiff.evaluation.metrics.fvd import fvd_frames
from syncdiff.evaluation.metrics.lse import embed_lips
from syncdiff.evaluation.scored_clip import Frames, ScoredClip
from syncdiff.evaluation.videos import TAIL_FRAMES, is_padded, their_frames
from syncdiff.faces.landmarks import Landmarker, open_landmarker
from syncdiff.media.video import read_frames
from syncdiff.models.syncnet import SyncNet, for_inference, load_syncnet, mouth_view
from syncdiff.pipeline.parallel import Outcome, attempt
from syncdiff.registry.metrics import (
    FACENET,
    FEATURES,
    I3D,
    LANDMARKS,
    METRICS,
    NETWORKS,
    SYNCNET,
    by_function,
    clip_metrics,
)
from syncdiff.shards.tar import Sample, decode_npy, metadata
from syncdiff.synthesis.protocols import DrivingAudio


class Settings(NamedTuple):
    """What the scorer is made from."""

    syncnet: Path
    inception: str | None
    faces: Faces
    device: str
    threads: bool  # whether torch may use more than one
    chose_clips: bool = False  # the SyncNet has curated the clips: what it says of them is printed with that
    networks: tuple[tuple[str, str], ...] = ()  # of registry.metrics.NETWORKS, each with the path of its weights


class ClipScorer(NamedTuple):
    """The networks behind the metrics, and the names under which these are printed."""

    net: SyncNet
    whole_frames: bool  # SyncNet sees whole frames, as in Wav2Lip's LRS protocol, or aligned crops
    features: Callable[[np.ndarray], np.ndarray]
    landmarker: Landmarker
    crop_size: int
    names: Mapping[str, str]  # of SYNCNET, FEATURES, LANDMARKS and `networks`
    networks: Mapping[str, Callable[..., np.ndarray]]  # of registry.metrics.NETWORKS, those whose weights are given

    def name_of(self, metric: str) -> str:
        """Return what is printed as the scorer of a metric."""
        scorer = METRICS[metric].scorer
        return self.names.get(scorer, scorer)


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
    scorer = f"{loaded.scorer}, which chose the clips" if settings.chose_clips else loaded.scorer
    features, bank = fid_features(settings.inception, device)
    return ClipScorer(
        net=for_inference(loaded.net, device),
        whole_frames=loaded.crop != "aligned",
        features=features,
        landmarker=open_landmarker(settings.faces, settings.device),
        crop_size=settings.faces.size,
        names={SYNCNET: scorer, FEATURES: bank, LANDMARKS: f"{settings.faces.backend} landmarks"}
        | {name: f"{Path(path).stem}, {NETWORKS[name].detail}" for name, path in settings.networks},
        networks={name: NETWORKS[name].load()(path, device) for name, path in settings.networks},
    )


@dataclass(frozen=True)
class Job:
    """One clip: its members, and by protocol its video (None: the source) and the audio that it is scored against."""

    sample: Sample
    videos: Mapping[str, Path | None]
    audio: Mapping[str, DrivingAudio | None]  # None: `cross` found no other clip
    root: Path = Path()  # of the corpus, below which the source lies
    external: bool = False  # the videos are another method's: of the segment or of the whole source, of any size
    lost: Mapping[Path | None, Outcome[Any]] = field(default_factory=dict)  # videos that could not be made

    def protocols_of(self, video: Path | None) -> list[str]:
        """Return the protocols that a video is scored under."""
        return [protocol for protocol, own in self.videos.items() if own == video]

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


class ClipScores(NamedTuple):
    """The rows of one clip, and what the metrics of the whole set need of it."""

    rows: list[dict[str, Any]]
    real: Mapping[str, np.ndarray]  # scorer -> (T, D) features of the real clip
    generated: dict[str, Mapping[str, np.ndarray]]  # protocol -> the same of the method's
    failures: list[str]  # of each metric that failed here, the file that could not be read, or ""


def score_clip(settings: Settings, job: Job) -> ClipScores:
    """Score one clip under all its protocols; each video is read once.

    Raises:
        ClipRejected: the source video is damaged.
        OSError: it is not there any more.
    """
    scorer = load_scorer(settings)
    real = _real_cuts(scorer, job)
    read: dict[Path | None, Outcome[Frames]] = {
        video: job.lost.get(video) or attempt(partial(read_frames_once, scorer, job), video)
        for video in dict.fromkeys(job.videos.values())
    }
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    for protocol, video in job.videos.items():
        clip = _scored_clip(scorer, job, protocol, real, read)
        for names in by_function(clip_metrics(protocol, job.videos, scorer.networks)):
            outcome = _values(METRICS[names[0]].load(), clip, read[video])
            failures += [outcome.file] * (outcome.status == "failed" and video not in job.lost)
            rows += rows_of(scorer, job.clip, protocol, names, outcome)
    features = {video: outcome.value.features for video, outcome in read.items() if outcome.value is not None}
    real_features = features[None] if None in features else _features(scorer, real)
    generated = {name: features[video] for name, video in job.videos.items() if video in features}
    return ClipScores(rows, real_features, generated, failures)


def _scored_clip(
    scorer: ClipScorer, job: Job, protocol: str, real: Cuts, read: Mapping[Path | None, Outcome[Frames]]
) -> ScoredClip | None:
    """Return what the metrics of a protocol get; None where its video could not be read."""
    frames = read[job.videos[protocol]].value
    if frames is None:
        return None
    return ScoredClip(
        frames=frames,
        is_real=job.videos[protocol] is None,
        real=np.stack(real.crops),
        real_mouths=real.mouths,
        real_portraits=real.stacked_portraits(),
        landmarks=job.landmarks,
        transforms=job.transforms,
        audio=job.audio[protocol],
        net=scorer.net,
        networks=scorer.networks,
        others={name: read[video] for name, video in job.videos.items()},
    )


def _values(compute: Callable[[ScoredClip], Any], clip: ScoredClip | None, read: Outcome[Frames]) -> Outcome[Any]:
    """Compute metrics; a note about the frames goes with a success, the fault of the video with a failure."""
    if clip is None:
        return read
    outcome = attempt(compute, clip)
    return replace(outcome, reason=outcome.reason or clip.frames.note)


def read_frames_once(scorer: ClipScorer, job: Job, video: Path | None) -> Frames:
    """Go through a video once, one frame in memory, and keep what the metrics need.

    Raises:
        ClipRejected: unreadable, or with another number or size of frames than the clip.
        OSError: missing.
    """
    audio = [job.audio[protocol] for protocol in job.protocols_of(video)]
    n_frames = max((driving.n_frames for driving in audio if driving), default=len(job.transforms))
    size = scorer.net.image_size
    cuts = Cuts(_places(scorer, job))
    views: list[np.ndarray] = []

    frames, note = _frames(job, video, n_frames)

    def passing() -> Iterator[np.ndarray]:
        for frame, _ in zip(frames, job.transforms, strict=False):  # `frames` first: they check themselves as they end
            crop = cuts.add(frame)
            views.append(cv2.resize(frame, (size, size)) if scorer.whole_frames else mouth_view(crop, size))
            yield frame

    if video is not None and _needs_faces(job, video):
        faces = list(scorer.landmarker.track(passing()))
    else:
        deque(passing(), maxlen=0)
        faces = [] if video else [[face] for face in job.landmarks]  # of the source, the stage `faces` has found them
    notes = [note, "" if len(views) == n_frames else f"{len(views)} of {n_frames} frames"]
    return Frames(
        crops=np.stack(cuts.crops),
        mouths=cuts.mouths,
        portraits=cuts.stacked_portraits(),
        features=_features(scorer, cuts),
        lips=embed_lips(views[:-1], scorer.net),
        faces=faces,
        note="; ".join(filter(None, notes)),
    )


def _places(scorer: ClipScorer, job: Job) -> Places:
    portraits = not {FACENET, I3D}.isdisjoint(scorer.networks)
    return Places(job.transforms, job.landmarks, scorer.crop_size, portraits)


def _needs_faces(job: Job, video: Path) -> bool:
    """Say whether a metric compares the landmarks of a video, under its own protocol or as another one's `against`."""
    compared = {
        name
        for protocol in job.videos
        for metric in map(METRICS.__getitem__, clip_metrics(protocol, job.videos))
        if metric.scorer == LANDMARKS
        for name in (protocol, metric.against)
    }
    return not compared.isdisjoint(job.protocols_of(video))


def _features(scorer: ClipScorer, cuts: Cuts) -> dict[str, np.ndarray]:
    """Return what the metrics of the whole set compare, (T, D) float32 by scorer: of FID a row a frame, of FVD one."""
    batches = (np.stack(cuts.crops[start : start + BATCH]) for start in range(0, len(cuts.crops), BATCH))
    found = {FEATURES: np.concatenate([scorer.features(batch) for batch in batches])}
    if I3D in scorer.networks and len(seen := fvd_frames(cuts.stacked_portraits())):
        found[I3D] = scorer.networks[I3D](seen)
    return {name: features.astype(np.float32) for name, features in found.items()}


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


def _real_cuts(scorer: ClipScorer, job: Job) -> Cuts:
    cuts = Cuts(_places(scorer, job))
    for frame in _source(job, len(job.transforms)):
        cuts.add(frame)
    if len(cuts.crops) < len(job.transforms):
        raise ClipRejected(f"its source has {len(cuts.crops)} of {len(job.transforms)} frames now")
    return cuts


def rows_of(
    scorer: ClipScorer, clip: str, protocol: str, metrics: Sequence[str], outcome: Outcome[Any]
) -> Iterator[dict[str, Any]]:
    """Yield a tidy row for each metric; values frame by frame are kept as `series`, with their mean as value."""
    for metric in metrics:
        value = outcome.value[metric] if outcome.value else float("nan")
        yield {
            "protocol": protocol,
            "clip": clip,
            "metric": metric,
            "scorer": scorer.name_of(metric),
            "value": float(np.mean(value)),
            "status": outcome.status,
            "reason": outcome.reason,
            "series": value.astype(np.float32) if isinstance(value, np.ndarray) else None,
        }
