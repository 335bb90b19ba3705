"""Read AV-HuBERT checkpoints: the official fairseq pickles, without running code from them, and converted ones."""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from syncdiff.errors import UserError
from syncdiff.pipeline.files import short_message
from syncdiff.weights.files import is_state_dict, read_safetensors

METADATA_KEY = "avhubert"  # of the sizes (JSON) in a converted file
FINE_TUNED_PREFIX = "encoder.w2v_model."
AUDIO_STREAM = ("feature_extractor_audio.proj.", "layer_norm.", "post_extract_proj.", "encoder.")
UNUSED = ("feature_extractor_video.", "final_proj.", "label_embs_concat", "mask_emb")

HARMLESS_PACKAGES = {"argparse", "enum", "fairseq", "numpy", "omegaconf", "sentencepiece", "typing"}
HARMLESS_TYPES = {f"builtins.{kind.__name__}" for kind in (bool, bytes, dict, float, int, list, object, str, tuple)}
HARMLESS_TYPES |= {"builtins.long", "collections.defaultdict"}  # the first is Python 2's int, in protocol 2
TORCH_READS = {"collections.OrderedDict", "_codecs.encode"}  # besides torch.*, of which torch knows the harmless ones
LEGACY_PICKLES = 5  # magic number, protocol, system, the object, storage keys


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of an AV-HuBERT encoder; the defaults are Base's, and AV-HuBERT's own where a checkpoint leaves them out.

    Each comment names the key of the checkpoint's `cfg.model`.
    """

    layers: int = 12  # encoder_layers
    dim: int = 768  # encoder_embed_dim
    heads: int = 12  # encoder_attention_heads
    ffn_dim: int = 3072  # encoder_ffn_embed_dim
    audio_dim: int = 104  # audio_feat_dim
    conv_pos: int = 128  # conv_pos, frames
    conv_pos_groups: int = 16  # conv_pos_groups


FAIRSEQ_NAMES = {
    "layers": "encoder_layers",
    "dim": "encoder_embed_dim",
    "heads": "encoder_attention_heads",
    "ffn_dim": "encoder_ffn_embed_dim",
    "audio_dim": "audio_feat_dim",
    "conv_pos": "conv_pos",
    "conv_pos_groups": "conv_pos_groups",
}
# What this encoder is written for, and every published AV-HuBERT has.
FIXED = {"layer_norm_first": True, "activation_fn": "gelu", "modality_fuse": "concat", "sub_encoder_layers": 0}


def read_checkpoint(path: Path | str) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """Read the sizes and the audio stream's tensors, named as in AV-HuBERT's pretrained checkpoints.

    Args:
        path: a fairseq .pt file, pretrained or fine-tuned, or a .safetensors file made by `convert`.

    Raises:
        UserError: no such file, not a checkpoint of AV-HuBERT, or a pickle that asks for a forbidden global.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; `syncdiff weights list` names the published ones")
    if path.suffix == ".safetensors":
        return _read_converted(path)
    checkpoint = load_inert(path)
    if not isinstance(checkpoint, dict) or not is_state_dict(checkpoint.get("model")) or "cfg" not in checkpoint:
        raise UserError(f"{path}: not an AV-HuBERT checkpoint (no `cfg` and `model` in it); use the published .pt file")
    return encoder_config(checkpoint["cfg"], path), audio_stream(checkpoint["model"], path)


def _read_converted(path: Path) -> tuple[EncoderConfig, dict[str, Tensor]]:
    try:
        tensors, metadata = read_safetensors(path)
        return sizes_in(metadata), tensors
    except (UserError, KeyError, ValueError, TypeError, RecursionError):
        raise UserError(f"{path}: not written by `syncdiff convert`; convert the published .pt file again") from None


def sizes_in(metadata: Mapping[str, str]) -> EncoderConfig:
    """Return the sizes that `avhubert.sizes_of` wrote; without them a `KeyError`, damaged ones are other errors."""
    return _possible(EncoderConfig(**json.loads(metadata[METADATA_KEY])))


def encoder_config(cfg: Any, path: Path) -> EncoderConfig:
    """Return the encoder's sizes from a fairseq `cfg`; of a fine-tuned model they lie in cfg.model.w2v_args.model."""
    try:
        model = _plain(_plain(cfg)["model"])
        if model.get("w2v_args"):
            model = _plain(_plain(model["w2v_args"])["model"])
        model = {key: _plain(model[key]) for key in ("_name", *FIXED, *FAIRSEQ_NAMES.values()) if key in model}
        sizes = {name: int(model[key]) for name, key in FAIRSEQ_NAMES.items() if key in model}
        config = _possible(EncoderConfig(**sizes))
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError):
        raise UserError(f"{path}: its `cfg` is not that of an AV-HuBERT model; use the published .pt file") from None
    if (name := repr(model.get("_name", "av_hubert"))) != "'av_hubert'":
        raise UserError(f"{path}: a checkpoint of {short_message(name)}, not of AV-HuBERT")
    for key, expected in FIXED.items():
        if (found := short_message(repr(model.get(key, expected)))) != repr(expected):
            raise UserError(f"{path}: {key} is {found}; only {expected!r}, as in the published models, is known")
    return config


def _possible(config: EncoderConfig) -> EncoderConfig:
    """Return sizes that an encoder can have; others are a `ValueError`."""
    sizes = astuple(config)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError("sizes are whole numbers above 0")
    if config.dim % config.heads or config.dim % config.conv_pos_groups:
        raise ValueError("heads and groups divide the width")
    return config


def audio_stream(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Pick the tensors that the audio stream needs; video and pretraining heads are left out, strangers refused."""
    if any(key.startswith(FINE_TUNED_PREFIX) for key in state):
        prefix = FINE_TUNED_PREFIX
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
    strangers = [key for key in state if not key.startswith((*AUDIO_STREAM, *UNUSED))]
    if strangers:
        raise UserError(f"{path}: not AV-HuBERT's layout: unknown tensor {short_message(strangers[0])}")
    return {key: tensor for key, tensor in state.items() if key.startswith(AUDIO_STREAM)}


def _plain(value: Any) -> Any:
    """Return what the stand-in of an omegaconf node or of argparse.Namespace holds, or the value itself.

    Only this one level: a pickle may hold itself, or a few lists that stand for more values than memory holds.
    """
    fields = vars(value) if isinstance(value, StandIn) else {"_val": value}
    return fields.get("_content", fields.get("_val", fields))


class StandIn:
    """Takes the place of any class that a checkpoint names; keeps the state it is given and does nothing."""

    def __new__(cls, *_: Any) -> StandIn:
        """Accept and ignore a constructor's arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


def load_inert(path: Path) -> Any:
    """Load a pickle of tensors through torch's weights-only unpickler, with `StandIn` for its other classes.

    Raises:
        UserError: see `inert_globals`.
    """
    with inert_globals(path):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


@contextlib.contextmanager
def inert_globals(path: Path) -> Iterator[None]:
    """Let torch load `path` while nothing that its pickle names is ever imported or run.

    Classes of fairseq, omegaconf, sentencepiece and a few plain types become `StandIn`. The rest is refused, here by
    name, and once more by torch's weights-only unpickler inside.

    Raises:
        UserError: naming the forbidden global, or saying that the file is no torch checkpoint.
    """
    names = {name for name in _global_names(path) if not name.startswith("torch.") and name not in TORCH_READS}
    refused = sorted(name for name in names if name not in HARMLESS_TYPES and _package(name) not in HARMLESS_PACKAGES)
    if refused:
        asked = short_message(refused[0])
        raise UserError(f"{path}: refused, its pickle asks for {asked}, which no AV-HuBERT checkpoint does")
    try:
        with torch.serialization.safe_globals([(StandIn, name) for name in names | HARMLESS_TYPES]):
            yield
    except Exception as error:  # a damaged pickle can raise anything
        details = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
        fault = short_message(details.group(1) if details else f"{type(error).__name__}: {error}".splitlines()[0])
        raise UserError(f"{path}: not a readable torch checkpoint ({fault}); download it again") from None


def _global_names(path: Path) -> set[str]:
    """Return the classes and functions that the file's pickles ask for."""
    names: set[str] = set()
    with contextlib.suppress(Exception):  # a damaged archive can raise anything; torch.load then says so
        for file in _pickles(path):
            walk = _Walk(file)
            with contextlib.suppress(Exception):  # and so can a damaged pickle
                walk.load()
            names |= walk.names
    return names


class _Walk(pickle._Unpickler):
    """Goes through a pickle of any protocol and notes what it asks for; imports nothing, calls only `StandIn`.

    This is the unpickler in Python: the one in C sets aside as much memory as a damaged number asks for.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> type:
        self.names.add(f"{module}.{name}".replace("__builtin__.", "builtins."))  # Python 2's name, in protocol 2
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else StandIn

    def persistent_load(self, _: Any) -> StandIn:
        return StandIn()  # a tensor's storage


def _pickles(path: Path) -> Iterator[IO[bytes]]:
    """Yield file objects at the start of each pickle: one in torch's zip format, five in its older one."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.open(name) for name in archive.namelist() if name.endswith("data.pkl"))
    else:
        with path.open("rb") as file:
            yield from (file for _ in range(LEGACY_PICKLES))


def _package(name: str) -> str:
    return name.partition(".")[0]
