"""The encoder: padding, parts of it, and the denoiser's speech encoder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from syncdiff.config import Speech
from syncdiff.errors import UserError
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.speech.avhubert import AVHubertEncoder, load_encoder
from syncdiff.speech.hidden_states import hidden_states

pytestmark = pytest.mark.quick


def rows(n_frames: int) -> torch.Tensor:
    return torch.randn(n_frames, 104, generator=torch.Generator().manual_seed(n_frames))


@torch.no_grad()
def test_until_the_last_layer_leaves_the_final_norm_out(encoder: AVHubertEncoder) -> None:
    audio = rows(20)[None]
    before = encoder(audio, until=3)
    torch.testing.assert_close(encoder.encoder.layer_norm(before), encoder(audio))
    assert (before - encoder(audio)).abs().max() > 0.1


def test_clip_does_not_depend_on_its_batch(encoder: AVHubertEncoder) -> None:
    utterances = [rows(n).numpy() for n in (12, 50, 3, 50, 31)]
    for layer in (1, 3, None):
        batched = hidden_states(encoder, utterances, layer)
        for alone, together in zip(utterances, batched, strict=True):
            np.testing.assert_allclose(hidden_states(encoder, [alone], layer)[0], together, atol=1e-5)


@torch.no_grad()
def test_padding_needs_the_mask(encoder: AVHubertEncoder) -> None:
    padded = torch.nn.functional.pad(rows(12), (0, 0, 0, 20))[None]
    assert (encoder(padded)[0, :12] - encoder(rows(12)[None])[0]).abs().max() > 0.01


@torch.no_grad()
def test_layers_above_n_continue_the_whole_encoder(
    encoder: AVHubertEncoder, save_official: Callable[..., Path]
) -> None:
    audio, upper = rows(20)[None], load_encoder(save_official(), first_layer=2)
    torch.testing.assert_close(upper.upper(encoder(audio, until=2)), encoder(audio))
    assert {name.split(".")[2] for name in upper.state_dict() if "layers" in name} == {"2"}


def test_frozen_layers_need_that_many(save_official: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="has 3 layers"):
        load_encoder(save_official(), first_layer=4)


SETTINGS = [Speech(), Speech(encoder="mel", dim=64), Speech(window_frames=1, layers=1)]


@pytest.mark.parametrize("speech", SETTINGS)
def test_speech_encoder_from_scratch(speech: Speech) -> None:
    width = 1280 if speech.encoder == "mel" else 104
    encoder = SpeechEncoder(speech)
    valid = torch.ones(4, speech.window_frames, dtype=torch.bool)
    context = encoder(torch.randn(4, speech.window_frames, width), valid)
    context.square().sum().backward()
    assert context.shape == (4, speech.window_frames, encoder.context_dim)
    assert encoder.context_dim == speech.dim
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("frozen_layers", [0, 1, 2, 3])
def test_speech_encoder_continues_a_checkpoint(
    frozen_layers: int, encoder: AVHubertEncoder, save_official: Callable[..., Path]
) -> None:
    speech = Speech(checkpoint=str(save_official()), frozen_layers=frozen_layers, window_frames=9)
    audio = rows(9)[None]
    with torch.no_grad():
        stored = encoder(audio, until=frozen_layers) if frozen_layers else audio
        context = SpeechEncoder(speech)
        heard = context(stored, torch.ones(1, 9, dtype=torch.bool)) - context.place
        torch.testing.assert_close(heard, encoder(audio))


def test_frames_outside_the_clip_are_zero_and_change_nothing() -> None:
    encoder = SpeechEncoder(Speech())
    features, valid = torch.randn(1, 13, 104), torch.arange(13)[None] >= 5
    other = torch.where(valid[..., None], features, 99.0)
    context = encoder(features, valid)
    assert not context[0, :5].any()
    torch.testing.assert_close(encoder(other, valid), context)


def test_speech_encoder_survives_safetensors(tmp_path: Path) -> None:
    encoder, other = SpeechEncoder(Speech()), SpeechEncoder(Speech())
    save_file(encoder.state_dict(), tmp_path / "speech.safetensors")
    other.load_state_dict(load_file(tmp_path / "speech.safetensors"))
    features, valid = torch.randn(2, 13, 104), torch.ones(2, 13, dtype=torch.bool)
    torch.testing.assert_close(encoder(features, valid), other(features, valid))


@pytest.mark.parametrize(
    ("speech", "key"), [(Speech(frozen_layers=3), "speech.frozen_layers"), (Speech(heads=3), "speech.heads")]
)
def test_impossible_settings_are_named(speech: Speech, key: str) -> None:
    with pytest.raises(UserError, match=key):
        SpeechEncoder(speech)
