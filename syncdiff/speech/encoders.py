"""The frozen part of a speech encoder: what makes the features that are stored. `registry.speech_encoders` has each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from syncdiff.errors import UserError
from syncdiff.registry.speech_encoders import SPEECH_ENCODERS, encoder_of


class FrozenEncoder(Protocol):
    """Turns speech into rows of features, one for each frame of video; nothing in it is trained here.

    Made without arguments; one of hidden states with (checkpoint, layer, device): the file or folder that
    `speech.checkpoint` names, a layer counted from 1, and a device as `choose_device` takes it.
    """

    dim: int  # D, of a row
    context_frames: int  # of audio on either side that decide a row; where all of it does, as much as is enough

    def encode(self, clips: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """Return the rows of several clips, so that a network can batch them; no clip depends on another.

        Args:
            clips: of each its audio, (n,) int16 mono at 16 kHz with n >= 1, and its number of frames at 25 fps.
                640 samples are a frame, but the audio may be shorter or longer than its frames.

        Returns:
            (n_frames, D) float32 each.
        """
        ...


def open_encoder(features: str, checkpoint: str | None = None, device: str = "cpu") -> FrozenEncoder:
    """Return what makes a feature set.

    Args:
        features: as `Speech.feature_set` gives it, or another of the registry.
        checkpoint, device: of a network; others do not read them.

    Raises:
        UserError: there is no such feature set, or its network cannot be loaded or has no such layer.
    """
    name, layer = encoder_of(features)
    part = SPEECH_ENCODERS[name]
    if not part.hidden:
        encoder: FrozenEncoder = part.load()()
        return encoder
    if not checkpoint:
        raise UserError(f"config: speech.checkpoint: missing; the features {features} come out of a checkpoint")
    network: FrozenEncoder = part.load()(checkpoint, layer, device)
    return network
