"""The evaluation protocols: which audio drives a clip. `paired`: its own, `cross`: another clip's, `silent`: none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from syncdiff.media.audio import SAMPLES_PER_FRAME, concatenate, pad_or_trim, read_wav
from syncdiff.shards.tar import Sample, metadata, read_shard

PROTOCOLS = ("paired", "cross", "silent")


@dataclass(frozen=True)
class DrivingAudio:
    """The audio that drives a clip, 640 samples a frame, and for how many frames of the clip there is some."""

    audio: np.ndarray  # (n_frames * 640,) int16
    n_frames: int


def scored_clips(shard: Path, max_clips: int | None) -> list[Sample]:
    """Return the clips of a joined shard that are sampled and scored: all, or `max_clips` evenly spaced ones."""
    samples = list(read_shard(shard))
    if max_clips is None or max_clips >= len(samples):
        return samples
    return [samples[i * len(samples) // max_clips] for i in range(max_clips)]


def cross_clip(index: int, samples: Sequence[Sample]) -> Sample | None:
    """Return the clip whose audio drives clip `index` in the cross protocol: the one half a shard away.

    A shard is sorted by clip id, so half a shard away is, as a rule, another speaker; of the clips from there on, the
    first of another file is taken. None: there is no other clip.
    """
    own, half = samples[index], (index + max(1, len(samples) // 2)) % len(samples)
    others = [sample for sample in (*samples[half:], *samples[:half]) if sample is not own]
    file = metadata(own)["video"]
    return next((other for other in others if metadata(other)["video"] != file), next(iter(others), None))


def driving_audio(protocol: str, sample: Sample, other: Sample | None) -> DrivingAudio | None:
    """Return what drives `sample` (a clip of a joined shard); None where `cross` finds no other clip."""
    own = read_wav(sample["audio.wav"])
    if protocol == "paired":
        return _driving(own, len(own))
    if protocol == "silent":
        return _driving(np.zeros_like(own), len(own))
    return _driving(read_wav(other["audio.wav"]), len(own)) if other else None


def _driving(audio: np.ndarray, own_samples: int) -> DrivingAudio:
    n_frames = min(len(audio), own_samples) // SAMPLES_PER_FRAME
    return DrivingAudio(concatenate(pad_or_trim([audio], n_frames)), n_frames)
