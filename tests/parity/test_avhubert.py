"""Against facebookresearch/av_hubert (golden outputs of random weights) and fairseq 0.12.2's TransformerEncoder."""

import json
import lzma
from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.media.audio import read_audio
from syncdiff.speech.avhubert import AVHubertEncoder, convert, load_encoder
from syncdiff.speech.checkpoint import EncoderConfig
from syncdiff.speech.extract import extract_features
from syncdiff.speech.filterbank import logfbank, stack, stacked_filterbank
from syncdiff.speech.hidden_states import hidden_states

FEATURES_ATOL, STATES_ATOL, ENGINES_ATOL = 1e-5, 5e-5, 1e-5
CASES = ["a", "b_trunc", "b_pad"]
CHECKPOINTS = ["pretrain", "finetuned"]
LAYERS = ["1", "2", "3", "4", "None"]


def compare(name: str, found: np.ndarray, expected: np.ndarray, atol: float) -> None:
    print(f"{name:24} max abs error {abs(found - expected).max():.1e} (tolerance {atol:.0e})")
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def layer_number(name: str) -> int | None:
    return None if name == "None" else int(name)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden/avhubert"


@pytest.fixture(scope="module")
def cases(golden: Path) -> dict[str, dict]:
    return {case["name"]: case for case in json.loads((golden / "cases.json").read_text())["cases"]}


@pytest.fixture(scope="module")
def checkpoints(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in CHECKPOINTS:
        (folder / f"{name}.pt").write_bytes(lzma.decompress((golden / f"{name}.pt.xz").read_bytes()))
    return {name: folder / f"{name}.pt" for name in CHECKPOINTS}


@pytest.mark.parametrize("case", CASES)
def test_features(case: str, golden: Path, cases: dict[str, dict]) -> None:
    audio, n_frames = read_audio(golden / cases[case]["wav"]), cases[case]["n_video_frames"]
    expected = np.load(golden / "features.npz")
    compare(f"{case}.fbank26", logfbank(audio), expected[f"{case}.fbank26"], FEATURES_ATOL)
    compare(f"{case}.stacked_raw", stack(logfbank(audio), n_frames), expected[f"{case}.stacked_raw"], FEATURES_ATOL)
    compare(f"{case}.stacked_ln", stacked_filterbank(audio, n_frames), expected[f"{case}.stacked_ln"], FEATURES_ATOL)


@pytest.mark.parametrize("engine", ["native", "fairseq"])
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("case", CASES)
def test_hidden_states(case: str, checkpoint: str, engine: str, golden: Path, cases: dict, checkpoints: dict) -> None:
    expected = np.load(golden / f"outputs_{checkpoint}.npz")
    for layer in LAYERS:
        found = extract_features(
            golden / cases[case]["wav"],
            checkpoints[checkpoint],
            layer.replace("None", "last"),
            cases[case]["n_video_frames"],
            engine,
        )
        compare(f"{checkpoint} {case}.out_{layer}", found, expected[f"{case}.out_{layer}"], STATES_ATOL)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_batched(checkpoint: str, golden: Path, checkpoints: dict[str, Path]) -> None:
    inputs, expected = np.load(golden / "features.npz"), np.load(golden / f"outputs_{checkpoint}.npz")
    encoder = load_encoder(checkpoints[checkpoint])
    valid = ~inputs["batch.padding_mask"]
    utterances = [rows[mask] for rows, mask in zip(inputs["batch.audio"].transpose(0, 2, 1), valid, strict=True)]
    for layer in ("2", "4", "None"):
        found = hidden_states(encoder, utterances, layer_number(layer))
        for states, outputs, mask in zip(found, expected[f"batch.out_{layer}"], valid, strict=True):
            compare(f"{checkpoint} batch.out_{layer}", states, outputs[mask], STATES_ATOL)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@torch.inference_mode()
def test_inside(checkpoint: str, golden: Path, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """What lies between the features and layer 1; the first twelve rows alone; a converted file."""
    inputs, expected = np.load(golden / "features.npz"), np.load(golden / f"outputs_{checkpoint}.npz")
    convert(checkpoints[checkpoint], tmp_path / "converted.safetensors")
    encoder = load_encoder(tmp_path / "converted.safetensors")
    audio = torch.from_numpy(inputs["a.stacked_ln"])[None]
    projected = encoder.feature_extractor_audio["proj"](audio)
    fused = encoder.layer_norm(torch.cat([projected, torch.zeros_like(projected)], dim=-1))
    inside = {
        "a.mid_audio_proj": projected,
        "a.mid_fused_layer_norm": fused,
        "a.mid_post_extract_proj": encoder.fuse(audio),
        "a.mid_pos_conv": encoder.encoder.pos_conv(encoder.fuse(audio)),
        "audio_only.out_None": encoder(audio[:, :12]),
        "audio_only.out_4": encoder(audio[:, :12], until=4),
    }
    for name, found in inside.items():
        compare(f"{checkpoint} {name}", found[0].numpy(), expected[name], STATES_ATOL)


@torch.inference_mode()
def test_native_and_fairseq_encoders_agree() -> None:
    """Weights of our own making, with padding; the same tensors in both."""
    from syncdiff.speech.fairseq_compat import FairseqTransformer

    torch.manual_seed(0)
    config = EncoderConfig(layers=3, dim=64, heads=4, ffn_dim=128)
    native, other = AVHubertEncoder(config).eval(), AVHubertEncoder(config)
    for parameter in native.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    other.encoder = FairseqTransformer(config)
    other.load_state_dict(native.state_dict())
    other.eval()
    audio, valid = torch.randn(2, 40, 104), torch.arange(40) < torch.tensor([[40], [23]])
    for until in (1, 2, 3, None):
        found, expected = native(audio, valid, until)[valid], other(audio, valid, until)[valid]
        compare(f"fairseq layer {until}", found.numpy(), expected.numpy(), ENGINES_ATOL)
