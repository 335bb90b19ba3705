"""The speech encoders that `speech.encoder` can name, and the names of the features that are stored of each.

A name is of letters, digits and underscores: the folders and members that features are stored in have it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncdiff.errors import UserError
from syncdiff.registry.part import Part


@dataclass(frozen=True)
class Encoder(Part):
    """A speech encoder; what its class must do, `speech.encoders.FrozenEncoder` says.

    hidden: its rows are the hidden states after layer N = `speech.frozen_layers` of the network in `speech.checkpoint`,
        and are stored under the name `<name><N>`; else they need neither, and are stored under the name itself.
    input: of a network whose layers above N are trained together with the denoiser: the encoder that gives its input,
        which is stored where no layer is frozen. Above all others a small network is trained from scratch.
    """

    hidden: bool = False
    input: str | None = None


SPEECH_ENCODERS = {
    "avhubert": Encoder("syncdiff.speech.hidden_states:HiddenStates", on_gpu=True, hidden=True, input="fbank"),
    "fbank": Encoder("syncdiff.speech.filterbank:Filterbank"),
    "mel": Encoder("syncdiff.speech.mel:MelWindows"),
    "mfcc": Encoder("syncdiff.speech.mfcc:Mfcc"),
}


def feature_set(encoder: str, frozen_layers: int) -> str:
    """Return the name under which an encoder's rows are stored, such as `mel` or `avhubert9`.

    Raises:
        ValueError: the encoder is a network that is not trained further, and no layer of it is named.
    """
    part = SPEECH_ENCODERS[encoder]
    if not part.hidden:
        return encoder
    if frozen_layers:
        return f"{encoder}{frozen_layers}"
    if part.input is None:
        raise ValueError(f"{encoder} gives hidden states of a layer: set speech.frozen_layers to its number, from 1")
    return part.input


def encoder_of(features: str) -> tuple[str, int]:
    """Return the encoder and the layer (0: none) of a feature set: the inverse of `feature_set`.

    Raises:
        UserError: no encoder gives features of this name.
    """
    for name in sorted(SPEECH_ENCODERS, key=len, reverse=True):  # wav2vec2's layer 3 before wav2vec's layer 23
        if re.fullmatch(_pattern(name), features):
            return name, int(features.removeprefix(name) or 0)
    known = [f"{name}<N>" if part.hidden else name for name, part in SPEECH_ENCODERS.items()]
    raise UserError(f"{features[:60]}: no such speech features; known are {', '.join(known)}")


def feature_pattern(on_gpu: bool) -> str:
    """Return a regular expression of all feature sets that want a GPU, or of those that do not."""
    names = [_pattern(name) for name, part in SPEECH_ENCODERS.items() if part.on_gpu == on_gpu]
    return "|".join(names)


def _pattern(name: str) -> str:
    return f"{name}[1-9][0-9]*" if SPEECH_ENCODERS[name].hidden else name
