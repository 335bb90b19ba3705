"""Checkpoints: every published layout is read, nothing in a pickle runs, other files get one line."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from syncdiff.errors import UserError
from syncdiff.speech.avhubert import AVHubertEncoder, convert, load_encoder
from syncdiff.speech.checkpoint import FINE_TUNED_PREFIX, EncoderConfig, encoder_config, read_checkpoint

pytestmark = pytest.mark.quick

Save = Callable[..., Path]
SIZES = {"encoder_layers": 3, "encoder_embed_dim": 32, "encoder_attention_heads": 4, "encoder_ffn_embed_dim": 64}


def same_weights(one: AVHubertEncoder, other: AVHubertEncoder) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_pretrained(encoder: AVHubertEncoder, save_official: Save) -> None:
    assert same_weights(load_encoder(save_official()), encoder)


def test_older_torch_format(encoder: AVHubertEncoder, save_official: Save) -> None:
    assert same_weights(load_encoder(save_official(zipped=False)), encoder)


def test_fine_tuned(encoder: AVHubertEncoder, save_official: Save) -> None:
    model = {"_name": "av_hubert", "conv_pos": 16, "audio_feat_dim": 104, **SIZES}
    cfg = {"model": {"_name": "av_hubert_seq2seq", "decoder_layers": 2, "w2v_args": {"model": model}}}
    assert same_weights(load_encoder(save_official(prefix=FINE_TUNED_PREFIX, cfg=cfg)), encoder)


def test_config_as_omegaconf_objects(encoder: AVHubertEncoder, save_official: Save) -> None:
    cfg = OmegaConf.create({"model": {"_name": "av_hubert", "conv_pos": 16, "lr": [0.1], **SIZES}})
    assert same_weights(load_encoder(save_official(cfg=cfg)), encoder)


def test_sizes_left_out_are_those_of_base() -> None:
    config = encoder_config({"model": {"_name": "av_hubert", "layer_norm_first": True}}, Path("x.pt"))
    assert config == EncoderConfig(12, 768, 12, 3072, 104, 128, 16)


def test_converted_file_needs_no_pickle(encoder: AVHubertEncoder, save_official: Save, tmp_path: Path) -> None:
    convert(save_official(), tmp_path / "one.safetensors")
    assert same_weights(load_encoder(tmp_path / "one.safetensors"), encoder)
    convert(tmp_path / "one.safetensors", tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


class Evaluated:
    """Evaluates Python when it is unpickled."""

    def __reduce__(self) -> tuple:
        return eval, ("1 + 1",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("zipped", [True, False, None])
def test_malicious_pickle_is_refused_by_name(protocol: int, zipped: bool | None, tmp_path: Path) -> None:
    path, victim = tmp_path / "bad.pt", tmp_path / "victim"
    bad = {"cfg": Malicious(victim), "model": {}}
    if zipped is None:
        path.write_bytes(pickle.dumps(bad, protocol=protocol))
    else:
        torch.save(bad, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"bad\.pt: refused, its pickle asks for (pathlib|builtins\.getattr)"):
        read_checkpoint(path)
    assert not victim.exists()


def test_harmless_packages_do_not_open_builtins(save_official: Save) -> None:
    with pytest.raises(UserError, match=r"asks for builtins\.eval"):
        read_checkpoint(save_official(extra_state=Evaluated()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cfg": {"model": {"_name": "hubert"}}}, "a checkpoint of 'hubert'"),
        ({"cfg": {"model": {"_name": "av_hubert", "layer_norm_first": False}}}, "layer_norm_first is False"),
        ({"cfg": {"model": {"_name": "av_hubert", "encoder_layers": 4, **SIZES}}}, "pos_conv"),
        ({"cfg": None}, "its `cfg` is not that of an AV-HuBERT model"),
        ({"model": {"encoder.layers.0.fc1.weight": torch.zeros(2, 2)}}, "is missing"),
        ({"model": {"backbone.weight": torch.zeros(2)}}, "unknown tensor backbone.weight"),
    ],
)
def test_checkpoint_of_another_model(changes: dict, message: str, save_official: Save) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_encoder(save_official(**changes))
    assert "\n" not in str(error.value)


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    state_dict, text, converted = (tmp_path / name for name in ("net.pt", "text.pt", "x.safetensors"))
    torch.save({"conv1.weight": torch.zeros(3)}, state_dict)
    text.write_text("not a checkpoint")
    converted.write_text("not a checkpoint")
    for path, message in [
        (state_dict, "not an AV-HuBERT checkpoint"),
        (text, "not a readable torch checkpoint"),
        (converted, "not written by `syncdiff convert`"),
        (tmp_path / "nothing.pt", "no such checkpoint"),
    ]:
        with pytest.raises(UserError, match=message) as error:
            read_checkpoint(path)
        assert "\n" not in str(error.value)
