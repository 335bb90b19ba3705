"""fairseq 0.12.2 on today's Python: its checkpoint reading and its TransformerEncoder, which AV-HuBERT is built on.

The native encoder (`avhubert.Transformer`) is the default. It agrees with this one to 1e-5
(tests/parity/test_avhubert.py), is a little faster (benchmarks/avhubert.py), loads in a tenth of a second where
`import fairseq` takes several, and needs none of the patches below, which any new Python or numpy can break. This path
stays as the measure of the native one: `extract_features(..., engine="fairseq")`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from omegaconf import OmegaConf
from torch import Tensor

from syncdiff.errors import UserError
from syncdiff.speech.avhubert import AVHubertEncoder, fill
from syncdiff.speech.checkpoint import EncoderConfig, audio_stream, encoder_config, inert_globals

NUMPY_ALIASES = {"float": float, "int": int, "bool": bool, "object": object}  # removed in numpy 1.24


@contextmanager
def fairseq_importable() -> Iterator[None]:
    """Let `import fairseq` succeed on Python >= 3.11 and numpy >= 1.24; nothing stays patched afterwards.

    fairseq 0.12.2 writes instances of its own dataclasses as defaults, and reads them back from there, so they must
    stay. Python 3.11 refuses defaults whose class has no hash: those classes get object's.
    """
    get_field = dataclasses._get_field  # type: ignore[attr-defined]

    def with_hashable_default(cls: type, name: str, *args: Any) -> Any:
        default = getattr(cls, name, None)
        kind = type(default.default if isinstance(default, dataclasses.Field) else default)
        if kind.__module__.startswith("fairseq.") and kind.__hash__ is None:
            kind.__hash__ = object.__hash__
        return get_field(cls, name, *args)

    hashable_defaults = mock.patch.object(dataclasses, "_get_field", with_hashable_default)
    no_log_handler = mock.patch("logging.basicConfig")  # one of its tasks sets up the root logger
    with hashable_defaults, no_log_handler, mock.patch.dict(vars(np), NUMPY_ALIASES):
        yield


try:
    with fairseq_importable():
        from fairseq.checkpoint_utils import load_checkpoint_to_cpu
        from fairseq.models.wav2vec.wav2vec2 import TransformerEncoder
except ImportError as missing:
    needs = "`pip install bitarray hydra-core==1.3.2 regex sacrebleu`"
    hint = f"install it with {needs} and `pip install --no-deps fairseq==0.12.2`, or use the native engine"
    raise UserError(f"fairseq cannot be loaded ({missing}); {hint}") from None


class FairseqTransformer(TransformerEncoder):
    """fairseq's TransformerEncoder behind the interface of `avhubert.Transformer`; the tensors have the same names."""

    def __init__(self, config: EncoderConfig) -> None:
        settings = SimpleNamespace(
            encoder_layers=config.layers,
            encoder_embed_dim=config.dim,
            encoder_attention_heads=config.heads,
            encoder_ffn_embed_dim=config.ffn_dim,
            conv_pos=config.conv_pos,
            conv_pos_groups=config.conv_pos_groups,
            activation_fn="gelu",
            layer_norm_first=True,
            dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            encoder_layerdrop=0.0,
            # Read by 0.12.2, unknown to AV-HuBERT's older config:
            required_seq_len_multiple=1,
            layer_type="transformer",
            checkpoint_activations=False,
            pos_conv_depth=1,
        )
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # torch's older weight_norm
            super().__init__(settings)

    def forward(self, x: Tensor, valid: Tensor | None = None, until: int | None = None) -> Tensor:
        """Map fused features (B, T, D) to (B, T, D); arguments as in `AVHubertEncoder.forward`."""
        padding = None if valid is None else ~valid
        hidden, _ = super().forward(x, padding_mask=padding, layer=None if until is None else until - 1)
        return hidden


def load_fairseq_encoder(checkpoint: Path | str) -> AVHubertEncoder:
    """Load a fairseq .pt file with fairseq's reader into an encoder whose transformer is fairseq's.

    Raises:
        UserError: as `avhubert.load_encoder`; the same classes stand in for what the pickle names.
    """
    config, tensors = read_with_fairseq(Path(checkpoint))
    encoder = AVHubertEncoder(config)
    encoder.encoder = FairseqTransformer(config)
    fill(encoder, tensors, checkpoint)
    return encoder.eval()


def read_with_fairseq(path: Path) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """Read as `checkpoint.read_checkpoint` does, but through fairseq's `load_checkpoint_to_cpu`."""
    with inert_globals(path):
        checkpoint = load_checkpoint_to_cpu(str(path))
        cfg = OmegaConf.to_container(checkpoint["cfg"], resolve=False)
    return encoder_config(cfg, path), audio_stream(checkpoint["model"], path)
