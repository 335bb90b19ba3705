"""The denoiser's speech encoder: windows of stored features in, what its cross-attention reads out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from syncdiff.config import Speech
from syncdiff.errors import UserError
from syncdiff.speech.avhubert import AVHubertEncoder, load_encoder
from syncdiff.speech.checkpoint import EncoderConfig
from syncdiff.speech.filterbank import STACKED_DIM
from syncdiff.speech.mel import MEL_DIM

MAX_CONV_POS = 128  # frames, AV-HuBERT's own


class SpeechEncoder(nn.Module):
    """What the denoiser's cross-attention hears: a window of stored speech features, encoded and trained with the UNet.

    One class for all settings: AV-HuBERT's layers above the frozen layer N (or all of it, N = 0) with a checkpoint's
    weights, or without a checkpoint a small encoder of the same form from scratch, on the filterbank or on mels. Each
    place in the window gets a learned offset, since the UNet's attention has no other way to tell the target frame.
    """

    def __init__(self, speech: Speech, sizes: EncoderConfig | None = None) -> None:
        """Build it; with `sizes`, of an encoder that was pretrained, without weights: these are about to be loaded."""
        super().__init__()
        pretrained = speech.checkpoint if speech.encoder == "avhubert" else None
        if speech.frozen_layers and speech.encoder == "avhubert" and not pretrained:
            raise UserError("config: speech.frozen_layers: frozen layers need speech.checkpoint; name one, or set 0")
        if pretrained and sizes:
            self.encoder = AVHubertEncoder(sizes, speech.frozen_layers)
        elif pretrained:
            self.encoder = load_encoder(pretrained, speech.frozen_layers).train()
        else:
            self.encoder = AVHubertEncoder(_from_scratch(speech))
        self.from_scratch = not pretrained
        self.frozen_layers = speech.frozen_layers if pretrained else 0
        self.context_dim = self.encoder.config.dim
        self.place = nn.Parameter(0.1 * torch.randn(speech.window_frames, self.context_dim))

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encode windows of features.

        Args:
            features: (B, W, D): filterbank or mel rows, or the hidden states after the frozen layer.
            valid: (B, W) bool, False outside the clip; every window has a valid frame.

        Returns:
            (B, W, context_dim), zero outside the clip.
        """
        run = self.encoder.upper if self.frozen_layers else self.encoder
        return (run(features, valid) + self.place) * valid[..., None]


def _from_scratch(speech: Speech) -> EncoderConfig:
    """Return the sizes of a small encoder; its positional convolution reaches over the window from any place in it."""
    if speech.dim % speech.heads:
        raise UserError(f"config: speech.heads: {speech.heads} does not divide speech.dim {speech.dim}; change one")
    return EncoderConfig(
        layers=speech.layers,
        dim=speech.dim,
        heads=speech.heads,
        ffn_dim=4 * speech.dim,
        audio_dim=MEL_DIM if speech.encoder == "mel" else STACKED_DIM,
        conv_pos=min(MAX_CONV_POS, 2 * speech.window_frames),
    )
