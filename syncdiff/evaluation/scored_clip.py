"""What a metric gets: one clip under one protocol, the method's frames beside the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

from syncdiff.models.syncnet import SyncNet
from syncdiff.pipeline.parallel import Outcome
from syncdiff.synthesis.protocols import DrivingAudio

FIELD_SIZE = 96  # pixels: larger crops are compared at this size, and landmarks are put on its scale


class Frames(NamedTuple):
    """What is kept of the frames of one video; they may be a few fewer than the clip has."""

    crops: np.ndarray  # (T, S, S, 3) uint8 RGB, aligned by the real clip's transforms
    mouths: list[np.ndarray]  # (h, w) uint8 luma around the real clip's lips, at the source's resolution
    portraits: np.ndarray  # (T, 224, 224, 3) uint8 RGB, the real clip's face; (0, ...) where no metric asks for them
    features: Mapping[str, np.ndarray]  # (T, D) for the metrics of the whole set, by their scorer
    lips: Tensor  # (T - 5, 1024) SyncNet's embeddings; the reference leaves out the last window
    faces: list[list[np.ndarray]]  # per frame, the (68, 2) landmarks of all faces; empty: no metric asks for them
    note: str  # "73 of 75 frames", or ""


@dataclass(frozen=True)
class ScoredClip:
    """One clip under one protocol."""

    frames: Frames  # the method's
    is_real: bool  # they are the real ones
    real: np.ndarray  # (T, S, S, 3) uint8 RGB, aligned crops of the real video
    real_mouths: Sequence[np.ndarray]  # its `mouths`
    real_portraits: np.ndarray  # its `portraits`
    landmarks: np.ndarray  # (T, 68, 2) of the real video, in pixels of the source
    transforms: np.ndarray  # (T, 2, 3) from the source to the aligned crop
    audio: DrivingAudio | None  # that the lips are scored against; None: `cross` found no other clip
    net: SyncNet
    networks: Mapping[str, Callable[..., np.ndarray]]  # of registry.metrics.NETWORKS, those whose weights are given
    others: Mapping[str, Outcome[Frames]]  # the method's frames of this clip by protocol, for a metric's `against`

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the real and the generated crop of each frame, (S, S, 3) uint8 RGB with S at most FIELD_SIZE."""
        for real, generated in zip(self.real, self.frames.crops, strict=False):
            yield _field_size(real), _field_size(generated)


def _field_size(crop: np.ndarray) -> np.ndarray:
    if len(crop) <= FIELD_SIZE:
        return crop
    return cv2.resize(crop, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA)
