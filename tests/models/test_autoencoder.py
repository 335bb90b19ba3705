"""The autoencoder: 8-bit frames in and out, and folders that hold something else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.config import Autoencoder
from syncdiff.errors import UserError
from syncdiff.models.autoencoder import build_autoencoder, decode, encode, load_autoencoder, to_frames, to_pixels

pytestmark = pytest.mark.quick


def test_pixels_and_frames_are_inverse() -> None:
    frames = np.arange(2 * 16 * 16 * 3, dtype=np.int64).reshape(2, 16, 16, 3).astype(np.uint8)
    assert np.array_equal(to_frames(to_pixels(frames, torch.device("cpu"))), frames)


def test_latents_are_a_quarter_of_the_side_and_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    settings = Autoencoder(channels=[8, 8, 8], latent_channels=3)
    build_autoencoder(settings).save_pretrained(tmp_path)
    autoencoder = load_autoencoder(tmp_path, torch.device("cpu"))
    frames = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)
    latents = encode(autoencoder, frames)
    assert latents.shape == (70, 3, 8, 8)
    assert torch.allclose(encode(autoencoder, frames[66:68]), latents[66:68], atol=1e-5)
    decoded = decode(autoencoder, latents)
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8


def test_a_folder_without_an_autoencoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json of an autoencoder"):
        load_autoencoder(tmp_path, torch.device("cpu"))
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(UserError, match="not a loadable diffusers AutoencoderKL"):
        load_autoencoder(tmp_path, torch.device("cpu"))
