"""Latents for training: of frames and masked frames, and of their variants."""

from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.media.video import decode_crops
from syncdiff.models.autoencoder import build_autoencoder, encode, load_autoencoder
from syncdiff.pipeline.files import read_parquet
from syncdiff.priors import masked_frame, mouth_mask, reduce_pose
from syncdiff.shards.tar import AUGMENTED, decode_npy, encode_npy, read_shard, to_json, write_shard
from syncdiff.training.latents import latents_shard, varied
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


def shard_of(frames: np.ndarray, folder: Path, with_variant: bool, **config: str) -> dict:
    """Run the stage on one clip; returns its sample, and leaves the autoencoder in the folder."""
    sections = {"faces": {"size": SIZE}, "autoencoder": {"latent_channels": 6}, "latents": {"varied": with_variant}}
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


def test_a_clip_and_its_variant_are_encoded_alike(frames: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sample = shard_of(frames, tmp_path, with_variant=True)
    autoencoder, mask = load_autoencoder(tmp_path / "autoencoder", CPU), mouth_mask(SIZE)
    crops = decode_crops(crop_bytes(frames))
    for prefix, seen in {"": crops, AUGMENTED: varied(crops, "c", seed=0)}.items():
        expected = {"latents.npy": seen, "masked.npy": masked_frame(seen, mask)}
        for name, pictures in expected.items():
            latents = decode_npy(sample[prefix + name])
            assert latents.shape == (T, 6, 4, 4)
            assert np.allclose(latents, encode(autoencoder, pictures), atol=1e-2)
        pose = decode_npy(sample[f"{prefix}pose.npy"])
        assert np.abs(pose.astype(int) - reduce_pose(seen, 4)).max() <= 1  # rounding
    assert not np.allclose(decode_npy(sample["latents.npy"]), decode_npy(sample[f"{AUGMENTED}latents.npy"]), atol=0.1)
    assert read_parquet(tmp_path / "out.parquet")[["clip", "status", "n_frames"]].values.tolist() == [["c", "ok", T]]


def test_they_are_computed_in_the_precision_that_is_asked_for(frames: np.ndarray, tmp_path: Path) -> None:
    latents = {}
    for precision in ("no", "bf16"):
        torch.manual_seed(0)
        (tmp_path / precision).mkdir()
        sample = shard_of(frames, tmp_path / precision, with_variant=False, mixed_precision=precision)
        latents[precision] = decode_npy(sample["latents.npy"]).astype(np.float32)
    exact = encode(load_autoencoder(tmp_path / "no/autoencoder", CPU), decode_crops(crop_bytes(frames))).numpy()
    errors = {precision: np.abs(values - exact).max() for precision, values in latents.items()}
    assert errors["no"] < 2e-3 < errors["bf16"] < 5e-2


def test_variants_are_left_out_on_demand(frames: np.ndarray, tmp_path: Path) -> None:
    members = set(shard_of(frames, tmp_path, with_variant=False))
    assert members == {"__key__", "json", "latents.npy", "masked.npy", "pose.npy"}


def test_a_variant_is_a_mirror_image_in_other_colours_the_same_each_time(frames: np.ndarray) -> None:
    variant = varied(frames, "a", 0)
    gains = variant[..., ::-1, :].astype(float).sum((0, 1, 2)) / frames.astype(float).sum((0, 1, 2))
    assert ((gains > 0.74) & (gains < 1.26)).all()
    assert np.ptp(gains) > 0.01
    assert np.abs(variant[:, :, ::-1] - np.minimum(frames * gains, 255)).max() < 8  # whole grey levels, clipped at 255
    assert np.array_equal(variant, varied(frames, "a", 0))
    assert not np.array_equal(variant, varied(frames, "b", 0))
    assert not np.array_equal(variant, varied(frames, "a", 1))
