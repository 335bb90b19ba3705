"""AV-HuBERT's hidden states as stored features: its lowest layers, frozen, on clips of any length in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from syncdiff.device import choose_device, full_fp32
from syncdiff.errors import UserError
from syncdiff.speech.avhubert import AVHubertEncoder, load_encoder
from syncdiff.speech.filterbank import stacked_filterbank

BATCH_FRAMES = 2048  # of a padded batch: bounds the memory, and is enough to fill a CPU or a GPU


class HiddenStates:
    """AV-HuBERT up to a layer as a `FrozenEncoder`."""

    context_frames = 100  # it attends to all that there is

    def __init__(self, checkpoint: str, layer: int, device: str) -> None:
        """Load the network; see `FrozenEncoder`.

        Raises:
            UserError: see `load_encoder`; or the network has no such layer.
        """
        self._encoder, self._layer = _loaded(checkpoint, device), layer
        self.dim = self._encoder.config.dim
        if layer > self._encoder.config.layers:
            found = self._encoder.config.layers
            raise UserError(f"config: speech.frozen_layers: {checkpoint} has only {found} layers")

    def encode(self, clips: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """See `FrozenEncoder.encode`: (n_frames, the encoder's width) each."""
        rows = [stacked_filterbank(audio, n_frames) for audio, n_frames in clips]
        return hidden_states(self._encoder, rows, self._layer)


@lru_cache(maxsize=1)
def _loaded(checkpoint: str, device: str) -> AVHubertEncoder:
    return load_encoder(checkpoint).to(choose_device(device))


def hidden_states(encoder: AVHubertEncoder, utterances: Sequence[np.ndarray], layer: int | None) -> list[np.ndarray]:
    """Encode stacked filterbank rows, batched by length with padding masked: no clip depends on its batch (to 1e-5).

    Args:
        encoder: on the device and in the dtype to compute in.
        utterances: (T_i, 104) each.
        layer: counted from 1, without the final layer norm; None: the last, with it.

    Returns:
        (T_i, D) float32 each, in the order of `utterances`.
    """
    like = next(encoder.parameters())
    states: dict[int, np.ndarray] = {}
    for batch in _batches([len(rows) for rows in utterances]):
        padded = pad_sequence([torch.from_numpy(utterances[i]) for i in batch], batch_first=True).to(like)
        lengths = torch.tensor([len(utterances[i]) for i in batch], device=like.device)
        valid = torch.arange(padded.shape[1], device=like.device) < lengths[:, None]  # (B, T)
        with torch.inference_mode(), full_fp32():
            encoded = encoder(padded, None if valid.all() else valid, layer).float().cpu().numpy()
        states |= {i: encoded[row, : len(utterances[i])] for row, i in enumerate(batch)}
    return [states[i] for i in range(len(utterances))]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices, longest first, in groups whose padded size stays under BATCH_FRAMES (or that have one member)."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > BATCH_FRAMES:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
