"""The AV-HuBERT encoder (Shi et al. 2022), audio stream alone, and the denoiser's speech encoder made of it.

Module names follow the published checkpoints, so their tensors load by name. The arithmetic is that of
facebookresearch/av_hubert (avhubert/hubert.py) on fairseq's TransformerEncoder (pre-LN, erf GELU).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from syncdiff.errors import UserError
from syncdiff.speech.checkpoint import METADATA_KEY, EncoderConfig, read_checkpoint
from syncdiff.weights.files import write_safetensors


class PositionalConvolution(nn.Module):
    """Grouped convolution over time whose output is added as a relative position; weight-normalised per tap."""

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight_v = nn.Parameter(torch.randn(dim, dim // groups, kernel) * (4 / (kernel * dim)) ** 0.5)
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(0, 1), keepdim=True))  # (1, 1, K)
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        weight = self.weight_v * (
            self.weight_g / self.weight_v.square().sum((0, 1), keepdim=True).sqrt()
        )  # (D, D/G, K)
        kernel = weight.shape[-1]
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=kernel // 2, groups=self.groups)  # (B, D, T or T+1)
        return F.gelu(y[..., : x.shape[1]].transpose(1, 2))  # an even kernel gives one frame too many


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, keys: Tensor | None) -> Tensor:
        """Map (B, T, D) to (B, T, D); `keys` (B, 1, 1, T) is True where a frame may be attended to."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, T, D / H)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """One pre-LN transformer layer."""

    def __init__(self, dim: int, heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(dim, heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, keys: Tensor | None) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), keys)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class Transformer(nn.Module):
    """Positions, pre-LN layers and the final layer norm; above a `first_layer` > 0 there are no positions to add."""

    def __init__(self, config: EncoderConfig, first_layer: int = 0) -> None:
        super().__init__()
        if first_layer == 0:
            position = PositionalConvolution(config.dim, config.conv_pos, config.conv_pos_groups)
            self.pos_conv = nn.Sequential(position)
        self.layers = nn.ModuleDict(
            {str(i): Layer(config.dim, config.heads, config.ffn_dim) for i in range(first_layer, config.layers)}
        )
        self.layer_norm = nn.LayerNorm(config.dim)

    def forward(self, x: Tensor, valid: Tensor | None = None, until: int | None = None) -> Tensor:
        """Map fused features (B, T, D) to (B, T, D); arguments as in `AVHubertEncoder.forward`."""
        if valid is not None:
            x = x * valid[..., None]  # the convolution must not see padding
        return self.upper(x + self.pos_conv(x), valid, until)

    def upper(self, hidden: Tensor, valid: Tensor | None = None, until: int | None = None) -> Tensor:
        """Run the layers on (B, T, D): hidden states below the first layer here, positions already in them."""
        keys = None if valid is None else valid[:, None, None, :]
        for name, layer in self.layers.items():
            hidden = layer(hidden, keys)
            if until == int(name) + 1:
                return hidden
        return self.layer_norm(hidden)


class AVHubertEncoder(nn.Module):
    """AV-HuBERT without its video stream, whole (`first_layer` 0) or only the layers above `first_layer`.

    Attention spans the whole utterance, as in AV-HuBERT; torch's fused kernel never holds the T x T weights, so memory
    grows linearly: about 90 MB a minute of audio at Base size.
    """

    def __init__(self, config: EncoderConfig, first_layer: int = 0) -> None:
        super().__init__()
        self.config = config
        self.encoder = Transformer(config, first_layer)
        if first_layer == 0:
            self.feature_extractor_audio = nn.ModuleDict({"proj": nn.Linear(config.audio_dim, config.dim)})
            self.layer_norm = nn.LayerNorm(2 * config.dim)
            self.post_extract_proj = nn.Linear(2 * config.dim, config.dim)

    def forward(self, audio: Tensor, valid: Tensor | None = None, until: int | None = None) -> Tensor:
        """Encode stacked filterbank rows.

        Args:
            audio: (B, T, audio_dim).
            valid: (B, T) bool, False on padding, whose outputs mean nothing; None: all valid.
            until: stop after this layer, counted from 1, without the final layer norm (`output_layer` there);
                None: all layers and the final layer norm.

        Returns:
            (B, T, D).
        """
        return self.encoder(self.fuse(audio), valid, until)

    def fuse(self, audio: Tensor) -> Tensor:
        """Project (B, T, audio_dim), fuse with the absent video's zeros, and project to (B, T, D)."""
        x = self.feature_extractor_audio["proj"](audio)
        return self.post_extract_proj(self.layer_norm(torch.cat([x, torch.zeros_like(x)], dim=-1)))

    def upper(self, hidden: Tensor, valid: Tensor | None = None) -> Tensor:
        """Finish what `forward(..., until=first_layer)` of the whole encoder began: (B, T, D) to (B, T, D)."""
        return self.encoder.upper(hidden, valid)


def load_encoder(checkpoint: Path | str, first_layer: int = 0) -> AVHubertEncoder:
    """Build an encoder from a checkpoint, whole or the layers above `first_layer`, in fp32 and evaluation mode.

    Raises:
        UserError: see `read_checkpoint`; too few layers; a tensor is missing or has another shape than the sizes say.
    """
    config, tensors = read_checkpoint(checkpoint)
    if first_layer > config.layers:
        raise UserError(f"{checkpoint}: has {config.layers} layers, so none above {first_layer}; lower the layer")
    if config.layers > len(tensors):
        raise UserError(f"{checkpoint}: most of its {config.layers} layers is missing; download it again")
    try:
        with torch.device("meta"):  # what the sizes say takes no memory until the tensors are seen to be there
            _compare(AVHubertEncoder(config, first_layer), tensors, checkpoint)
    except RuntimeError:
        raise UserError(f"{checkpoint}: the sizes in it are beyond any encoder's; download it again") from None
    encoder = AVHubertEncoder(config, first_layer)
    _copy(tensors, encoder)
    return encoder.eval()


def fill(encoder: AVHubertEncoder, tensors: Mapping[str, Tensor], source: Path | str) -> None:
    """Copy tensors into an encoder by name; tensors of layers that it does not have are passed over.

    Raises:
        UserError: naming `source` and a tensor that is missing or has another shape than the sizes say.
    """
    _compare(encoder, tensors, source)
    _copy(tensors, encoder)


def _copy(tensors: Mapping[str, Tensor], encoder: AVHubertEncoder) -> None:
    encoder.load_state_dict({name: tensors[name] for name in encoder.state_dict()})


def _compare(encoder: AVHubertEncoder, tensors: Mapping[str, Tensor], source: Path | str) -> None:
    for name, tensor in encoder.state_dict().items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            found = f"has shape {tuple(tensors[name].shape)}" if name in tensors else "is missing"
            raise UserError(f"{source}: tensor {name} {found}, expected {tuple(tensor.shape)}; download it again")


def convert(checkpoint: Path | str, out: Path | str) -> None:
    """Write the audio stream of a checkpoint as a plain safetensors file (fp32); its metadata holds the sizes.

    Raises:
        UserError: as `load_encoder`.
    """
    encoder = load_encoder(checkpoint)
    write_safetensors(out, encoder.state_dict(), sizes_of(encoder))


def sizes_of(encoder: AVHubertEncoder) -> dict[str, str]:
    """Return metadata that holds an encoder's sizes, which cannot all be read off its tensors."""
    return {METADATA_KEY: json.dumps(asdict(encoder.config), sort_keys=True)}
