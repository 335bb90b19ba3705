"""A model's folder: config, denoiser and autoencoder travel together, by diffusers' convention.

    config.json            what the stage `train` read of the config, but for its validation
    denoiser.safetensors   with the speech encoder as far as it was trained
    autoencoder/           diffusers' AutoencoderKL: config.json and diffusion_pytorch_model.safetensors

The folder can be copied anywhere and used. One thing is not in it: frozen layers of a pretrained speech encoder, which
have a licence of their own. The config names the file, and `find_checkpoint` looks for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from syncdiff.config import Config, Validation, merge, parse_config, read_config
from syncdiff.errors import UserError
from syncdiff.models.autoencoder import WEIGHTS, load_autoencoder
from syncdiff.models.denoiser import Denoiser, save_denoiser
from syncdiff.pipeline.files import atomic, write_text
from syncdiff.pipeline.stages import config_slice
from syncdiff.weights.files import write_safetensors
from syncdiff.weights.registry import place_of

CONFIG, DENOISER, AUTOENCODER = "config.json", "denoiser.safetensors", "autoencoder"


def files_of(folder: Path) -> list[Path]:
    """Return the files that a model's folder consists of; others may lie beside them."""
    autoencoder = folder / AUTOENCODER
    return [folder / DENOISER, folder / CONFIG, autoencoder / "config.json", autoencoder / WEIGHTS]


def save_pretrained(config: Config, denoiser: Denoiser, autoencoder: Path, folder: Path) -> None:
    """Write a model's folder; the autoencoder is copied, the speech checkpoint only named."""
    checkpoint = config.speech.checkpoint and Path(config.speech.checkpoint).name
    speech = config.speech.model_copy(update={"checkpoint": checkpoint})
    named = config.model_copy(update={"speech": speech, "validation": Validation()})  # which is no part of the model
    write_text(folder / CONFIG, json.dumps(json.loads(config_slice(named, "train")), indent=2) + "\n")
    _copy_autoencoder(autoencoder, folder / AUTOENCODER)
    save_denoiser(denoiser, folder / DENOISER)


def read_pretrained_config(folder: Path, changes: Mapping[str, Any] | None = None) -> Config:
    """Return the config of a model's folder, with `changes` (nested as in config.yaml) laid over it.

    Raises:
        UserError: the folder is no whole model's, or a key of its config is not known.
    """
    if lacking := [path for path in files_of(folder) if not path.is_file()]:
        raise UserError(f"{lacking[0]}: no such file; name the folder of a trained run, or of an export")
    return parse_config(merge(read_config(folder / CONFIG), changes or {}))


def find_checkpoint(config: Config) -> Config:
    """Return the config with the place of the speech checkpoint: where it says, else in the weights' folder.

    Raises:
        UserError: the speech features come from a checkpoint that is in neither.
    """
    checkpoint = config.speech.checkpoint
    if not (checkpoint and config.speech.frozen_layers) or Path(checkpoint).is_file():
        return config
    place = place_of(Path(checkpoint).name)
    if not place.is_file():
        raise UserError(
            f"{checkpoint}: no such file; the model's speech features come from it, and it is not part of the model: "
            f"put it at {place}, or name it as speech.checkpoint"
        )
    return config.model_copy(update={"speech": config.speech.model_copy(update={"checkpoint": str(place)})})


def _copy_autoencoder(source: Path, target: Path) -> None:
    """Copy config and weights; weights in another form than safetensors are written as that."""
    for name in ("config.json", WEIGHTS):
        if (source / name).is_file():
            with atomic(target / name) as temporary:
                temporary.write_bytes((source / name).read_bytes())
        else:
            network = load_autoencoder(source, torch.device("cpu"))
            write_safetensors(target / name, network.state_dict(), {"format": "pt"})
