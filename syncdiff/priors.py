"""The paper's three visual priors: masked frame, identity frame, temporal pose frame with its fixed reduction.

The target is frame I_t of a clip of aligned crops.
- Masked frame: I_t with the mouth region hidden (`mouth_mask`); it carries head pose and background.
- Identity frame I_rand: in training a random frame of the same clip (`training.windows`); in sampling the one of the
  most usual pose (`identity_index`) [I].
- Temporal pose frame: I_{t-1} in training, the synthesised one in sampling; for t = 0, the identity frame [I]. The
  bottleneck is the reduction to r x r pixels (`reduce_pose`), then the learned layer in `models.bottleneck`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from syncdiff.config import Config
from syncdiff.faces.ibug import ALL_BUT_MOUTH
from syncdiff.media.video import decode_crops
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import attempt
from syncdiff.shards.tar import Sample, decode_npy, encode_npy, metadata, read_shard, to_json, write_shard

log = logging.getLogger(__name__)

HIDDEN_GREY = 128  # zero, once pixels are scaled to [-1, 1]

# The hidden region of an aligned crop, in units of its side, x right and y down: it ends in a parabola, as a jaw does.
# The jaw lines of all frames of GRID lie inside it, and of 98 in 100 of the demo, whose heads turn further.
HIDDEN_TOP, HIDDEN_BOTTOM, HIDDEN_HALF_WIDTH = 0.53, 1.0, 0.4  # the width is that at the top
FEATHER = 0.04

# Where the lips of aligned crops are, in the same units: middle and spread (their corners lie at about 0.35 and 0.65).
LIPS_X, LIPS_Y, LIPS_SPREAD = 0.5, 0.66, 0.1


def mouth_mask(size: int) -> np.ndarray:
    """Return the mask of the mouth region of a crop: (size, size) float32, 1 = hidden.

    It is the same for every frame, so that its outline tells nothing, and covers whatever the jaw moves: lips, lower
    cheeks, jaw line, chin and what is below, at the widest aperture. It falls to 0 inside its own edge, for pasting;
    what is hidden from the model is all that is above 0.
    """
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    steepness = (HIDDEN_BOTTOM - HIDDEN_TOP) / HIDDEN_HALF_WIDTH**2
    above = HIDDEN_BOTTOM - steepness * (x - 0.5) ** 2 - y  # over the parabola, vertically
    inside = np.minimum(above / np.hypot(1, 2 * steepness * (x - 0.5)), y - HIDDEN_TOP)  # distance to the edge
    return np.clip(inside / FEATHER, 0, 1).astype(np.float32)


def lip_region(size: int) -> np.ndarray:
    """Return the weight of the lips in a crop's loss: (size, size) float32, a Gaussian that is 1 at their middle."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return np.exp(-0.5 * ((x - LIPS_X) ** 2 + (y - LIPS_Y) ** 2) / LIPS_SPREAD**2).astype(np.float32)


def masked_frame(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return frames (..., S, S, 3) uint8 with grey wherever `mask` (S, S) is above 0."""
    return np.where(mask[..., None] > 0, np.uint8(HIDDEN_GREY), frames)


def identity_index(landmarks: np.ndarray, transforms: np.ndarray) -> int:
    """Return which of a clip's frames stands for I_rand in sampling: the one whose pose is nearest to all others' [I].

    What hides behind a turned head cannot be copied from its frame. By the landmarks but those of the mouth, in the
    crop, it is the frame with the smallest mean square distance to their medians over the clip.

    Args:
        landmarks: (T, 68, 2) iBUG points in pixels of the source.
        transforms: (T, 2, 3), source to crop.
    """
    face, transforms = landmarks[:, ALL_BUT_MOUTH], transforms.astype(np.float32)
    points = np.einsum("tij,tkj->tki", transforms[:, :, :2], face) + transforms[:, None, :, 2]  # (T, 48, 2)
    return int(np.square(points - np.median(points, axis=0)).sum(axis=(1, 2)).argmin())


def reduce_pose(frames: np.ndarray, r: int) -> np.ndarray:
    """Return the fixed half of the bottleneck: frames (T, S, S, 3) uint8 averaged over areas to (T, r, r, 3) uint8."""
    return np.stack([cv2.resize(frame, (r, r), interpolation=cv2.INTER_AREA) for frame in frames])


def priors_shard(config: Config, faces_tar: Path, out_tar: Path, out_ledger: Path) -> None:
    """Write, for each clip of a faces shard, its identity frame's index and its reduced pose frames.

    Raises:
        UserError: the faces shard is missing or damaged.
    """
    ledger = Ledger("priors")
    write_shard(out_tar, _samples(config, faces_tar, ledger))
    ledger.write(out_ledger)
    log.info(ledger.summary())


def _samples(config: Config, faces_tar: Path, ledger: Ledger) -> Iterator[Sample]:
    for face in read_shard(faces_tar):
        outcome = attempt(partial(clip_priors, config), face)
        ledger.record(metadata(face)["clip"], outcome)
        if outcome.value is not None:
            yield outcome.value


def clip_priors(config: Config, face: Sample) -> Sample:
    """Return the priors of one clip as a sample: json {clip, identity} and pose.npy (T, r, r, 3) uint8."""
    chosen = {
        "clip": metadata(face)["clip"],
        "identity": identity_index(decode_npy(face["landmarks.npy"]), decode_npy(face["transform.npy"])),
    }
    crops = decode_crops(face["crop.mp4"])  # (T, S, S, 3)
    pose = reduce_pose(crops, config.priors.pose_size)
    return {"__key__": face["__key__"], "json": to_json(chosen), "pose.npy": encode_npy(pose)}
