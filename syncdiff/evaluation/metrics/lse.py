"""LSE-D, LSE-C and the audio offset of a video, to the digit of joonson/syncnet_python (SyncNetInstance.py).

Wav2Lip's LSE (evaluation/scores_LSE) is this arithmetic on the whole frame, or on the tracked face: see `crops.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from syncdiff.config import Faces
from syncdiff.device import full_fp32
from syncdiff.errors import ClipRejected
from syncdiff.evaluation.crops import SYNCNET_FRAMES, Crop, faces_of, scored_pictures
from syncdiff.evaluation.scored_clip import ScoredClip
from syncdiff.faces.track import Segment, choose, largest
from syncdiff.media.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from syncdiff.models.syncnet import EMBEDDING_DIM, SyncNet, for_inference, load_syncnet
from syncdiff.pipeline.parallel import attempt
from syncdiff.pipeline.progress import progress
from syncdiff.speech.mfcc import WINDOW_FRAMES, audio_windows, mfcc

MAX_SHIFT = 15  # video frames by which the sound is shifted, both ways
AUDIO_WINDOWS_PER_PASS = 256
LIP_WINDOWS_PER_PASS = {"cpu": 7, "cuda": 96}  # at 224 pixels; maps under 32 MB, which malloc takes from its heap
Face = Literal["largest", "speaking"]
RIVAL_FRAMES = 25  # a face beside the largest that is seen for less has a confidence of chance
DEFAULT_FACES = Faces()
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class SyncScore(NamedTuple):
    """What SyncNet says of one video."""

    offset: int  # video frames by which the sound comes before the lips; negative: after them
    lse_d: float  # smallest mean distance over the shifts; lower is better
    lse_c: float  # median minus minimum over the shifts; higher is better
    n_windows: int


def lse_of_clip(clip: ScoredClip) -> dict[str, float]:
    """Return `lse_c`, `lse_d` and `sync_offset` of a clip's aligned crops against the sound that drives it.

    Raises:
        ClipRejected: there is no such sound, or too little of it for one window.
    """
    if clip.audio is None:
        raise ClipRejected("no other clip in the shard to drive it")
    lips = clip.frames.lips[: max(clip.audio.n_frames - WINDOW_FRAMES, 0)]
    if not len(lips):
        raise ClipRejected("too short for SyncNet: it needs 6 frames")
    scores = lse(lips, embed_audio(mfcc(clip.audio.audio), len(lips), clip.net))
    return {"lse_c": scores.lse_c, "lse_d": scores.lse_d, "sync_offset": scores.offset}


def score(frames: Iterable[np.ndarray], audio: np.ndarray, net: SyncNet) -> SyncScore:
    """Score pictures against sound, in memory that grows only with the embeddings (8 kB a frame).

    Args:
        frames: (S, S, 3) uint8 RGB each, at 25 fps, S the network's `image_size`.
        audio: (n,) int16 mono at 16 kHz, from the time of the first picture.
        net: of `for_inference`.

    Raises:
        ClipRejected: too short for one window.
    """
    n_frames = len(audio) // SAMPLES_PER_FRAME
    # min(n_frames, n_samples / 640) - 5 windows: the reference leaves out the last one.
    lip = embed_lips((frame for frame, _ in pairwise(islice(frames, n_frames))), net)
    if not len(lip):
        seconds = len(audio) / SAMPLE_RATE
        raise ClipRejected(
            f"too short for SyncNet: it needs 6 frames at 25 fps and 0.24 s of sound (has {seconds:.2f} s)"
        )
    return lse(lip, embed_audio(mfcc(audio), len(lip), net))


def embed_lips(frames: Iterable[np.ndarray], net: SyncNet) -> Tensor:
    """Embed every window of five of (S, S, 3) uint8 RGB frames: (n - 4, 1024) float32 on the CPU."""
    weight = next(net.parameters())
    per_pass = round(LIP_WINDOWS_PER_PASS[weight.device.type] * (224 / net.image_size) ** 2)
    embeddings = [torch.empty(0, EMBEDDING_DIM)]
    with _exact():
        for chunk in _overlapping(frames, per_pass + WINDOW_FRAMES - 1):
            bgr = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in chunk])  # (T, S, S, 3)
            pixels = torch.from_numpy(bgr).to(weight)  # 0..255 are exact in bfloat16 too
            embeddings.append(net.lip(pixels.permute(3, 0, 1, 2)[None])[0].float().cpu())
    return torch.cat(embeddings)


def embed_audio(features: np.ndarray, n_windows: int, net: SyncNet) -> Tensor:
    """Embed the sound of the first `n_windows` lip windows: (M, 13) MFCC to (n_windows, 1024) float32 on the CPU."""
    windows = np.ascontiguousarray(audio_windows(features)[:n_windows])
    with _exact():
        passes = torch.from_numpy(windows).to(next(net.parameters())).split(AUDIO_WINDOWS_PER_PASS)
        return torch.cat([net.audio(part).float().cpu() for part in passes])


def lse(lip: Tensor, audio: Tensor) -> SyncScore:
    """Compare lip and audio embeddings, (N, 1024) each, over the 31 shifts."""
    distances = mean_distances(lip, audio)
    best = int(distances.argmin())
    lowest = float(distances[best])
    return SyncScore(MAX_SHIFT - best, lowest, float(distances.median()) - lowest, len(lip))


def mean_distances(lip: Tensor, audio: Tensor) -> Tensor:
    """Return the mean of `window_distances` at each shift, (31,)."""
    return torch.stack([at_shift.mean() for at_shift in window_distances(lip, audio)])


def window_distances(lip: Tensor, audio: Tensor) -> Tensor:
    """Return the distance of each window at each shift, (31, N); row s compares lip window v with audio v + s - 15.

    Beyond its ends the audio is zeros, as in the reference.
    """
    padded = F.pad(audio, (0, 0, MAX_SHIFT, MAX_SHIFT))
    shifted = padded.unfold(0, len(lip), 1).mT  # view (31, N, 1024)
    return torch.stack([F.pairwise_distance(lip, at_shift, eps=1e-6) for at_shift in shifted])


def score_videos(
    videos: Sequence[Path],
    syncnet: Path,
    crop: Crop = "none",
    jpeg: bool = False,
    dtype: Literal["fp32", "bf16"] = "fp32",
    device: torch.device | str = "cpu",
    face: Face = "speaking",
    faces: Faces = DEFAULT_FACES,
) -> dict[str, Any]:
    """Score video files; a video that cannot be scored is listed under `failed`, never dropped silently.

    Args:
        videos: files with picture and sound.
        syncnet: weights for `load_syncnet`.
        crop: `none`, Wav2Lip's LRS protocol, or `face`, its real-videos protocol: see `crops.scored_pictures`. A
            SyncNet of the workflow's own is always shown what it was trained on, `aligned`.
        jpeg: pass the pictures through the reference's JPEG.
        dtype: arithmetic of the network.
        device: of torch.
        face: of several at the same time, where the crop is not `none`: the largest, or the one with the highest LSE-C.
        faces: the landmarker, and how its tracks are smoothed; `size` and `min_track_frames` are SyncNet's.

    Returns:
        {"videos": [{"video", "offset", "lse_d", "lse_c", "n_windows", "note"}], "mean": {"offset", "lse_d", "lse_c",
        "n_expected", "n_scored"}, "failed": [{"video", "reason"}], "scorer", "crop"}. The means are unweighted, as
        Wav2Lip's, and None where nothing was scored.
    """
    loaded = load_syncnet(syncnet)
    net = for_inference(loaded.net, device, DTYPES[dtype])
    crop = "aligned" if loaded.crop == "aligned" else crop
    found = faces.model_copy(update={"size": loaded.crop_size, "min_track_frames": SYNCNET_FRAMES})

    def score_segment(video: Path, segment: Segment | None) -> SyncScore:
        audio, frames = scored_pictures(video, net.image_size, crop, jpeg, segment, found)
        return score(frames, audio, net)

    score_file = partial(_score_file, None if crop == "none" else face, found, score_segment)
    outcomes = [(str(video), attempt(score_file, video)) for video in progress(videos, "score")]
    scored = [{"video": video, **done.value} for video, done in outcomes if done.value is not None]
    failed = [{"video": video, "reason": done.reason} for video, done in outcomes if done.value is None]
    mean: dict[str, Any] = {key: _mean([row[key] for row in scored]) for key in ("offset", "lse_d", "lse_c")}
    mean |= {"n_expected": len(videos), "n_scored": len(scored)}
    return {"videos": scored, "mean": mean, "failed": failed, "scorer": loaded.scorer, "crop": crop}


def _score_file(
    face: Face | None, faces: Faces, score_segment: Callable[[Path, Segment | None], SyncScore], video: Path
) -> dict[str, Any]:
    """Score the chosen face of a video, or (None) the whole picture: its score, and as `note` what to know of it."""
    if face is None:
        return score_segment(video, None)._asdict() | {"note": ""}
    segments = faces_of(video, faces)
    if face == "largest" or len(segments) == 1:
        chosen = largest(segments)
        return score_segment(video, chosen)._asdict() | {"note": chosen.note}
    rivals = [index for index, segment in enumerate(segments) if len(segment.landmarks) >= RIVAL_FRAMES or not index]
    scores: dict[int, SyncScore] = {}
    for index in rivals:
        with suppress(ClipRejected):  # the sound may end before this face appears
            scores[index] = score_segment(video, segments[index])
    if not scores:
        raise ClipRejected("the sound ends before any of its faces has been there for 6 frames")
    best = max(scores, key=lambda index: scores[index].lse_c)
    return scores[best]._asdict() | {"note": choose(segments, best, "one most in sync").note}


def in_words(scores: dict[str, Any]) -> Iterator[str]:
    """Yield what `score_videos` returns: a line a video, the failures with their reasons, the means, the scorer."""
    line = "{name}: offset {offset:g}, LSE-D {lse_d:.3f}, LSE-C {lse_c:.3f}"
    for row in scores["videos"]:
        note = f" ({row['note']})" if row["note"] else ""
        yield line.format(name=row["video"], **row) + f", {row['n_windows']} windows{note}"
    for row in scores["failed"]:
        yield f"{row['video']}: not scored: {row['reason']}"
    mean = scores["mean"]
    if mean["n_scored"]:
        yield line.format(name=f"mean of {mean['n_scored']} of {mean['n_expected']} videos", **mean)
    yield f"scorer: {scores['scorer']}, crop: {scores['crop']}"


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


@contextmanager
def _exact() -> Iterator[None]:
    """No gradients, and whole fp32."""
    with torch.inference_mode(), full_fp32():
        yield


def _overlapping(frames: Iterable[np.ndarray], length: int) -> Iterator[list[np.ndarray]]:
    """Yield chunks of up to `length` frames, each beginning with the last four of the one before."""
    frames = iter(frames)
    chunk = list(islice(frames, length))
    while len(chunk) >= WINDOW_FRAMES:
        yield chunk
        overlap = chunk[1 - WINDOW_FRAMES :]
        chunk = overlap + list(islice(frames, length - len(overlap)))
