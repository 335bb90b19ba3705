"""The autoencoder: 8-bit frames in and out, and folders that hold something else."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from syncdiff.config import Autoencoder, parse_config
from syncdiff.errors import UserError
from syncdiff.media.video import read_frames
from syncdiff.models.autoencoder import (
    build_autoencoder,
    decode,
    encode,
    linear_part,
    load_autoencoder,
    start_linear,
    to_frames,
    to_pixels,
)
from syncdiff.shards.tar import write_shard
from syncdiff.training.autoencoder import AutoencoderLoss, principal_components, train_autoencoder
from tests.training.test_train_syncnet import samples

pytestmark = pytest.mark.quick


def test_pixels_and_frames_are_inverse() -> None:
    frames = np.arange(2 * 16 * 16 * 3, dtype=np.int64).reshape(2, 16, 16, 3).astype(np.uint8)
    assert np.array_equal(to_frames(to_pixels(frames, torch.device("cpu"))), frames)


def _frames(n: int) -> np.ndarray:
    """Smooth pictures, as faces are: noise of 8 x 8 pixels, enlarged."""
    coarse = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return np.stack([cv2.resize(frame, (32, 32), interpolation=cv2.INTER_CUBIC) for frame in coarse])


def test_latents_are_one_vector_for_each_patch_and_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    settings = Autoencoder(patch_size=4, latent_channels=3)
    build_autoencoder(settings).save_pretrained(tmp_path)
    autoencoder = load_autoencoder(tmp_path, torch.device("cpu"))
    frames = _frames(70)
    latents = encode(autoencoder, frames)
    assert latents.shape == (70, 3, 8, 8)
    assert torch.allclose(encode(autoencoder, frames[66:68]), latents[66:68], atol=1e-5)
    decoded = decode(autoencoder, latents)
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8


def test_training_starts_from_the_linear_optimum() -> None:
    settings = Autoencoder(patch_size=4, latent_channels=12)
    frames = _frames(40)
    autoencoder = build_autoencoder(settings)
    mean, components = principal_components(frames, settings)
    start_linear(autoencoder, mean, components)
    patches = F.pixel_unshuffle(to_pixels(frames, torch.device("cpu")), 4).movedim(1, -1)  # (N, 8, 8, 48)
    projected = (patches - mean) @ components.T  # (N, 8, 8, 12)
    assert torch.allclose(encode(autoencoder, frames).movedim(1, -1), projected, atol=1e-3)
    linear = F.pixel_shuffle((projected @ components + mean).movedim(-1, 1), 4)
    error = decode(autoencoder, encode(autoencoder, frames)).astype(int) - to_frames(linear)
    assert np.abs(error).mean() < 0.01  # grey levels


def test_it_begins_exact_for_dark_bright_and_noisy_pictures_alike() -> None:
    """With all components nothing is lost."""
    autoencoder = build_autoencoder(Autoencoder(patch_size=4, latent_channels=48))
    start_linear(autoencoder, torch.full((48,), 0.1), torch.eye(48))
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    frames = np.stack([np.full((16, 16, 3), level) for level in (0, 128, 255)] + [noise]).astype(np.uint8)
    assert np.array_equal(decode(autoencoder, encode(autoencoder, frames)), frames)


def test_without_steps_it_stays_what_it_begins_as(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", samples(2))
    config = parse_config({"autoencoder": {"steps": 0}})
    train_autoencoder(config, [tmp_path / "0.tar"], tmp_path / "out", torch.device("cpu"))
    crops = np.concatenate([np.stack(list(read_frames(clip["crop.mp4"]))) for clip in samples(2)])
    begun = build_autoencoder(config.autoencoder)
    start_linear(begun, *principal_components(crops, config.autoencoder))
    trained = load_autoencoder(tmp_path / "out", torch.device("cpu"))
    assert np.array_equal(decode(trained, encode(trained, crops)), decode(begun, encode(begun, crops)))
    assert float(encode(trained, crops).std()) == pytest.approx(1, abs=0.01)
    assert (tmp_path / "out/loss.csv").is_file()


def test_from_there_training_does_not_make_it_worse() -> None:
    torch.manual_seed(0)
    settings = Autoencoder(patch_size=4, latent_channels=12)
    autoencoder = build_autoencoder(settings)
    frames = _frames(40)
    start_linear(autoencoder, *principal_components(frames, settings))
    loss = AutoencoderLoss(settings, np.zeros((32, 32), np.float32) + 1)
    optimizer = torch.optim.AdamW(autoencoder.parameters(), 2e-4)
    course = []
    for _ in range(8):
        losses = loss(autoencoder, frames)
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        course.append(float(losses["loss"].detach()))
    assert max(course) < 1.2 * course[0]


def test_the_linear_part_of_a_linear_autoencoder_is_the_autoencoder() -> None:
    settings = Autoencoder(patch_size=4, latent_channels=12)
    autoencoder = build_autoencoder(settings)
    mean, components = principal_components(_frames(40), settings)
    start_linear(autoencoder, mean, components)
    autoencoder.register_to_config(scaling_factor=2.0)
    found, offset = linear_part(autoencoder)
    assert torch.allclose(2 * found, components.T, atol=1e-3)
    assert torch.allclose(offset, mean, atol=1e-3)


def test_a_pretrained_layout_is_read_with_its_own_factor(tmp_path: Path) -> None:
    published = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
    )
    published.save_pretrained(tmp_path)
    autoencoder = load_autoencoder(tmp_path, torch.device("cpu"))
    latents = encode(autoencoder, _frames(2))
    assert latents.shape == (2, 4, 4, 4)
    assert decode(autoencoder, latents).shape == (2, 32, 32, 3)
    assert linear_part(autoencoder)[0].shape == (3 * 8 * 8, 4)


def test_a_folder_without_an_autoencoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json of an autoencoder"):
        load_autoencoder(tmp_path, torch.device("cpu"))
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(UserError, match="not a loadable diffusers AutoencoderKL"):
        load_autoencoder(tmp_path, torch.device("cpu"))
