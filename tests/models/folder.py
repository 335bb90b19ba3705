"""A model's folder with random weights."""

from pathlib import Path

import torch

from syncdiff.config import Config
from syncdiff.models.autoencoder import build_autoencoder
from syncdiff.models.denoiser import Denoiser
from syncdiff.models.pretrained import save_pretrained


def write_model(config: Config, folder: Path) -> Path:
    """Write a model of `config`, the same each time, into `folder`; its autoencoder lies in `folder`/trained too."""
    torch.manual_seed(0)
    build_autoencoder(config.autoencoder).save_pretrained(folder / "trained")
    save_pretrained(config, Denoiser(config), folder / "trained", folder)
    return folder
