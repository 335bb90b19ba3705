"""Bytes on disk: of each stage's shards, and of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from syncdiff.config import Config
from syncdiff.estimate.corpus import CorpusSize
from syncdiff.estimate.measurements import crop_bytes
from syncdiff.estimate.rows import Row
from syncdiff.media.audio import SAMPLES_PER_FRAME
from syncdiff.models.cost import NetworkCosts, parameters
from syncdiff.training.latents import MEMBERS

TAR_BYTES_PER_MEMBER = 512 + 256  # of a clip: its header, and the padding to 512 bytes on average
NPY_HEADER = 128
STATES_OF_TRAINING = 5  # fp32 copies of the denoiser: its weights, and in resume.pt weights, EMA and two moments


def disk_rows(config: Config, corpus: CorpusSize, networks: NetworkCosts) -> list[Row]:
    """Bytes of each stage's shards, and of the run's weights."""
    crop, crop_grade, crop_basis = crop_bytes(config)
    rows = []
    for stage, members in members_of(config, networks, crop).items():
        clips, frames = corpus.prepared_clips, corpus.prepared
        if stage == "latents":
            clips, frames = corpus.trained_clips, corpus.trained
        size = frames * sum(members.values()) + clips * overhead_of(members)
        grade = crop_grade if "crop.mp4" in members else "computed"
        basis = ", ".join(f"{Path(name).stem} {n:g}" for name, n in members.items()) + " B a frame"
        basis += f"; {crop_basis}" if "crop.mp4" in members else ""
        rows.append(Row("disk", stage, size / 1e9, "GB", grade, basis))
    rows.append(Row("disk", "all shards", sum(row.value for row in rows), "GB", crop_grade, "the sum"))
    states = STATES_OF_TRAINING + bool(config.validation.every)  # the best weights so far lie in resume.pt too
    run = states * 4 * parameters(networks.denoiser)
    return [*rows, Row("disk", "one run", run / 1e9, "GB", "computed", "weights and checkpoint of the denoiser, fp32")]


def members_of(config: Config, networks: NetworkCosts, crop: float) -> dict[str, dict[str, float]]:
    """Return, for each stage that writes shards, its members with their bytes a frame.

    Args:
        crop: bytes a frame of crop.mp4.
    """
    features = config.speech.feature_set
    faces: dict[str, float] = {"crop.mp4": crop, "landmarks.npy": 68 * 2 * 4, "transform.npy": 2 * 3 * 4}  # float32
    faces["audio.wav"] = 2 * SAMPLES_PER_FRAME  # int16
    pose: dict[str, float] = {"pose.npy": 3 * config.priors.pose_size**2}  # uint8
    speech: dict[str, float] = {f"{features}.npy": 4 * networks.speech_dim}  # float32
    latents: dict[str, float] = dict.fromkeys(MEMBERS[:2], 2 * math.prod(networks.latent_shape))  # float16
    stored = {"latents": latents | pose} if config.latents.stored else {}
    return {"faces": faces, "priors": pose, "speech": speech, "shards": faces | pose | speech, **stored}


def overhead_of(members: Mapping[str, float]) -> int:
    """Return the bytes that a clip takes in a tar beside its frames: headers, padding, and the JSON's two blocks."""
    arrays = sum(name.endswith(".npy") for name in members)
    return 2 * 512 + len(members) * TAR_BYTES_PER_MEMBER + arrays * NPY_HEADER
