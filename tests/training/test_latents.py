"""Latents for training: of frames and of masked frames."""

from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.media.video import decode_crops
from syncdiff.models.autoencoder import build_autoencoder, encode, load_autoencoder
from syncdiff.pipeline.files import read_parquet
from syncdiff.priors import masked_frame, mouth_mask, reduce_pose
from syncdiff.shards.tar import decode_npy, encode_npy, read_shard, to_json, write_shard
from syncdiff.training.latents import latents_shard
from tests.members import crop_bytes

pytestmark = pytest.mark.quick

SIZE, T = 32, 5
CPU = torch.device("cpu")


@pytest.fixture
def frames() -> np.ndarray:
    """A bright spot that wanders through the left half (T, S, S, 3)."""
    frames = np.full((T, SIZE, SIZE, 3), 60, np.uint8)
    for t in range(T):
        frames[t, 4 + 4 * t : 10 + 4 * t, 2 * t : 8 + t, t % 3] = 230
    return frames


def shard_of(frames: np.ndarray, folder: Path, **config: str) -> dict:
    """Run the stage on one clip; returns its sample, and leaves the autoencoder in the folder."""
    sections = {"faces": {"size": SIZE}, "autoencoder": {"latent_channels": 6}}
    parsed = parse_config(sections | config)
    build_autoencoder(parsed.autoencoder).save_pretrained(folder / "autoencoder")
    clip = {"__key__": "c", "json": to_json({"clip": "c"}), "crop.mp4": crop_bytes(frames)}
    write_shard(
        folder / "joined.tar", [clip | {"pose.npy": encode_npy(reduce_pose(decode_crops(clip["crop.mp4"]), 4))}]
    )
    latents_shard(
        parsed, folder / "joined.tar", folder / "autoencoder", folder / "out.tar", folder / "out.parquet", CPU
    )
    [sample] = read_shard(folder / "out.tar")
    return sample


def test_frames_and_masked_frames_are_encoded(frames: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sample = shard_of(frames, tmp_path)
    assert set(sample) == {"__key__", "json", "latents.npy", "masked.npy", "pose.npy"}
    autoencoder, crops = load_autoencoder(tmp_path / "autoencoder", CPU), decode_crops(crop_bytes(frames))
    expected = {"latents.npy": crops, "masked.npy": masked_frame(crops, mouth_mask(SIZE))}
    for name, pixels in expected.items():
        latents = decode_npy(sample[name])
        assert latents.shape == (T, 6, 4, 4)
        assert np.allclose(latents, encode(autoencoder, pixels), atol=1e-2)
    assert np.array_equal(decode_npy(sample["pose.npy"]), reduce_pose(crops, 4))
    assert read_parquet(tmp_path / "out.parquet")[["clip", "status", "n_frames"]].values.tolist() == [["c", "ok", T]]


def test_they_are_computed_in_the_precision_that_is_asked_for(frames: np.ndarray, tmp_path: Path) -> None:
    latents = {}
    for precision in ("no", "bf16"):
        torch.manual_seed(0)
        (tmp_path / precision).mkdir()
        sample = shard_of(frames, tmp_path / precision, mixed_precision=precision)
        latents[precision] = decode_npy(sample["latents.npy"]).astype(np.float32)
    exact = encode(load_autoencoder(tmp_path / "no/autoencoder", CPU), decode_crops(crop_bytes(frames))).numpy()
    errors = {precision: np.abs(values - exact).max() for precision, values in latents.items()}
    assert errors["no"] < 2e-3 < errors["bf16"] < 5e-2
