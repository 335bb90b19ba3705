"""Measure one clip: its pictures once, its sound, and how well the two fit by a SyncNet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from syncdiff.curation.pictures import LOOK_EVERY, Looks, jitter, pose_measures
from syncdiff.curation.sound import loudness, speech_share
from syncdiff.errors import ClipRejected
from syncdiff.evaluation.crops import crop_face, face_boxes
from syncdiff.evaluation.metrics.lse import MAX_SHIFT, embed_audio, embed_lips, lse, window_distances
from syncdiff.faces.align import scale_of, warp
from syncdiff.faces.track import Segment, quarter_turns
from syncdiff.media.video import read_frames
from syncdiff.models.syncnet import LoadedSyncNet, for_inference, load_syncnet, mouth_view
from syncdiff.speech.mfcc import WINDOW_FRAMES, mfcc

IN_SYNC_FRAMES = 1  # a window's own best shift may differ by so many from the clip's


class Curator(NamedTuple):
    """What clips are measured with.

    syncnet: weights of the SyncNet; None: sync is not measured.
    device: of the SyncNet, as torch names it.
    crop_size: side of the aligned crops that sharpness is measured in, in pixels.
    """

    syncnet: Path | None
    device: str
    crop_size: int


@dataclass(frozen=True)
class FacedClip:
    """A clip whose face has been found."""

    clip: str  # id
    video: Path
    segment: Segment  # its frames of the video, and the landmarks there
    transforms: np.ndarray  # (T, 2, 3) from the video to the aligned crop
    audio: np.ndarray  # (n,) int16, from the segment's first frame on


class MeasuredClip(NamedTuple):
    """The measures of a clip by name, and SyncNet's embeddings of its N windows; without a SyncNet, of none."""

    measures: Mapping[str, float]
    centre: tuple[float, float]  # x, y of the middle of the aligned crop in the source, median over frames
    lips: np.ndarray  # (N, 1024) float32
    sound: np.ndarray  # (N, 1024) float32


def measure_clip(curator: Curator, clip: FacedClip) -> MeasuredClip:
    """Measure a clip in one pass over its frames, one of which is in memory.

    Raises:
        ClipRejected: the video is damaged, or the clip too short for SyncNet.
        OSError: the video is not there any more.
        UserError: the SyncNet's weights are not there, or are those of another model.
    """
    torch.set_num_threads(1)  # clips are measured side by side; and for any number of threads bytes would differ
    looks = Looks()
    net = loaded(curator.syncnet, curator.device) if curator.syncnet else None
    if net is None:
        deque(_views(clip, curator.crop_size, None, looks), maxlen=0)
        lips = sound = torch.empty(0, 0)
    else:
        lips, sound = _embeddings(clip, curator, net, looks)
    measures = {
        **(sync_measures(lips, sound) if len(lips) else {}),
        "face_px": float(np.median([curator.crop_size / scale_of(transform) for transform in clip.transforms])),
        **looks.measures(),
        **pose_measures(clip.segment.landmarks),
        "jitter": jitter(clip.segment.landmarks),
        "loudness": loudness(clip.audio),
        "speech": speech_share(clip.audio),
    }
    return MeasuredClip(measures, _centre(clip.transforms, curator.crop_size), lips.numpy(), sound.numpy())


@cache
def loaded(syncnet: Path, device: str) -> LoadedSyncNet:
    """Load a SyncNet that scores on a device, once per process."""
    found = load_syncnet(syncnet)
    return found._replace(net=for_inference(found.net, device))


def sync_measures(lips: Tensor, sound: Tensor) -> dict[str, float]:
    """Return the measures `SYNC` of lip and sound embeddings, (N, 1024) each."""
    score = lse(lips, sound)
    own = window_distances(lips, sound).argmin(dim=0)  # (N,) of each window alone
    near = (own - (MAX_SHIFT - score.offset)).abs() <= IN_SYNC_FRAMES
    values = {"confidence": score.lse_c, "offset": float(score.offset), "lse_d": score.lse_d}
    return values | {"in_sync": float(near.float().mean())}


def _centre(transforms: np.ndarray, crop_size: int) -> tuple[float, float]:
    middle = np.full(2, (crop_size - 1) / 2)
    places = [np.linalg.solve(transform[:, :2], middle - transform[:, 2]) for transform in transforms]
    x, y = np.median(places, axis=0)
    return float(x), float(y)


def _embeddings(clip: FacedClip, curator: Curator, net: LoadedSyncNet, looks: Looks) -> tuple[Tensor, Tensor]:
    lips = embed_lips(_views(clip, curator.crop_size, net, looks), net.net)[:-1]  # as the reference, without the last
    if not len(lips):
        raise ClipRejected(f"too short for SyncNet: it needs {WINDOW_FRAMES + 1} frames with their sound")
    sound = embed_audio(mfcc(clip.audio), len(lips), net.net)
    return lips[: len(sound)], sound


def _views(clip: FacedClip, crop_size: int, net: LoadedSyncNet | None, looks: Looks) -> Iterator[np.ndarray]:
    """Yield what SyncNet sees of each frame, and look at it; without a SyncNet, the aligned crop.

    A SyncNet of the workflow's own sees the mouth of the aligned crop, the published one the square around the face.
    """
    segment = clip.segment
    around = face_boxes(clip.video, segment)[1] if net and net.crop == "face" else None
    turns = quarter_turns(segment.landmarks)
    frames = islice(read_frames(clip.video, segment.start), len(clip.transforms))
    for index, frame in enumerate(frames):
        crop = warp(frame, clip.transforms[index], crop_size)
        if index % LOOK_EVERY == 0:
            looks.add(frame, segment.landmarks[index], crop)
        if net is None:
            yield crop
        elif around is None:
            yield mouth_view(crop, net.net.image_size)
        else:
            yield crop_face(np.rot90(frame, turns), around[index], net.net.image_size)
