"""Files of tensors from anywhere: safetensors, and torch pickles of plain weights. No code in them is run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from syncdiff.errors import UserError
from syncdiff.pipeline.files import atomic, short_message


def read_safetensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception as error:  # a damaged header can raise anything
        raise UserError(f"{path}: not a readable safetensors file ({short_message(error)})") from None


def write_safetensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors and metadata as safetensors, atomically.

    Not by safetensors' own `save_file`: it puts another file in the place of the one that `atomic` holds a lock on. Of
    metadata one entry at most: safetensors writes several in an order that changes from run to run.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(plain, metadata))


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a state dict that torch has pickled, through its weights-only unpickler.

    Raises:
        UserError: the file is missing, damaged, or holds anything but tensors by name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol: what cannot be read is refused below
            weights = torch.load(path, map_location="cpu", weights_only=True)
        if not is_state_dict(weights):
            raise TypeError("no tensors by name")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception:  # a damaged pickle can raise anything
        raise UserError(f"{path}: not a plain file of weights; anything else in it is refused, not executed") from None
    return weights


def is_state_dict(value: object) -> bool:
    """Say whether a value from a pickle is tensors by name."""
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
