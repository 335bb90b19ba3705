"""The denoiser's speech encoder: windows of stored features in, what its cross-attention reads out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from syncdiff.config import Speech
from syncdiff.errors import UserError
from syncdiff.registry.speech_encoders import SPEECH_ENCODERS
from syncdiff.speech.avhubert import AVHubertEncoder, load_encoder
from syncdiff.speech.checkpoint import EncoderConfig
from syncdiff.speech.encoders import open_encoder

MAX_CONV_POS = 128  # frames, AV-HuBERT's own


class SpeechEncoder(nn.Module):
    """What the denoiser's cross-attention hears: a window of stored speech features, encoded and trained with the UNet.

    One class for all settings: AV-HuBERT's layers above the frozen layer N (or all of it, N = 0) with a checkpoint's
    weights; or, on the features of any other encoder of the registry, or of AV-HuBERT's input without a checkpoint, a
    small encoder of the same form from scratch. Each place in the window gets a learned offset, since the UNet's
    attention has no other way to tell the target frame.
    """

    def __init__(self, speech: Speech, sizes: EncoderConfig | None = None) -> None:
        """Build it; with `sizes`, of an encoder that was pretrained, without weights: these are about to be loaded.

        Raises:
            UserError: layers are to be frozen, and there is no checkpoint that has them; see also `open_encoder`.
        """
        super().__init__()
        part = SPEECH_ENCODERS[speech.encoder]
        if part.hidden and speech.frozen_layers and not speech.checkpoint:
            raise UserError("config: speech.frozen_layers: frozen layers need speech.checkpoint; name one, or set 0")
        pretrained = speech.checkpoint if part.input else None
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
            features: (B, W, D): rows of `Speech.feature_set`, as they are stored.
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
        audio_dim=open_encoder(speech.feature_set, speech.checkpoint).dim,
        conv_pos=min(MAX_CONV_POS, 2 * speech.window_frames),
    )
