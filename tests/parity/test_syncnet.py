"""Against joonson/syncnet_python: SyncNetModel.S and SyncNetInstance.evaluate."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from syncdiff.evaluation.metrics.lse import embed_audio, embed_lips, lse, mean_distances, score, score_videos
from syncdiff.media.audio import read_wav
from syncdiff.media.video import read_frames
from syncdiff.models.syncnet import SyncNet, for_inference, load_syncnet
from syncdiff.speech.mfcc import audio_windows, mfcc
from tests.parity.golden import compare, golden_weights


@pytest.fixture(scope="module")
def checkpoint(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    torch.save(golden_weights(shared / "golden/syncnet"), path)
    return path


@pytest.mark.parametrize("mode", ["direct", "jpeg"])
def test_golden(mode: str, checkpoint: Path, shared: Path) -> None:
    folder = shared / "golden/syncnet"
    expected = json.loads((folder / "expected.json").read_text())[mode]
    arrays = np.load(folder / "expected.npz")
    net = for_inference(load_syncnet(checkpoint).net)
    audio = read_wav(folder / "audio.wav")
    frames = list(read_frames(folder / "clip.mkv")) if mode == "direct" else jpegs(folder / "jpeg_frames.zip")
    lip, sound = embed_lips(frames[:-2], net), embed_audio(mfcc(audio), expected["n_windows"], net)
    result = score(frames, audio, net)
    compare("mfcc", mfcc(audio).T, arrays["mfcc"], 1e-6)
    compare(f"{mode} lip embeddings", lip, arrays[f"{mode}_lip_emb"], 5e-4)
    compare(f"{mode} audio embeddings", sound, arrays[f"{mode}_aud_emb"], 5e-4)
    compare(f"{mode} 31 distances", mean_distances(lip, sound), expected["mean_dist_31"], 1e-3)
    compare(f"{mode} LSE-D, LSE-C", result[1:3], [expected["lse_d"], expected["lse_c"]], 1e-3)
    assert (result.offset, result.n_windows) == (expected["offset"], expected["n_windows"])


def jpegs(path: Path) -> list[np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        pictures = [cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR) for name in names]
    return [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in pictures]


def test_command_on_golden_clip(checkpoint: Path, shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden/syncnet"
    expected = json.loads((folder / "expected.json").read_text())
    report = score_videos([folder / "clip.mkv", tmp_path / "missing.mp4"], checkpoint)
    found = report["videos"][0]
    compare(
        "file to LSE", [found["lse_d"], found["lse_c"]], [expected["direct"][key] for key in ("lse_d", "lse_c")], 1e-3
    )
    assert (found["offset"], found["n_windows"], report["scorer"]) == (3, 69, "syncnet_v2")
    assert report["mean"]["n_expected"] == 2
    assert [failure["video"] for failure in report["failed"]] == [str(tmp_path / "missing.mp4")]
    jpeg = score_videos([folder / "clip.mkv"], checkpoint, jpeg=True)["videos"][0]
    # ffmpeg 5.1.9 made the reference's JPEGs; ours differ by 0.8 grey levels, which these random filters amplify.
    compare(
        "own JPEG to LSE", [jpeg["lse_d"], jpeg["lse_c"]], [expected["jpeg"][key] for key in ("lse_d", "lse_c")], 0.1
    )


@pytest.mark.quick
@pytest.mark.parametrize("image_size", [64, 112, 224])
def test_streaming_and_fusing_change_nothing(image_size: int) -> None:
    """The reference's way: batch norms as they are, window by window, all in one batch."""
    torch.manual_seed(0)
    net = randomised(SyncNet(0.125, image_size))
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (21, image_size, image_size, 3), dtype=np.uint8)
    audio = rng.integers(-8000, 8000, 21 * 640).astype(np.int16)
    bgr = torch.from_numpy(frames[..., ::-1].copy()).float().permute(3, 0, 1, 2)  # (3, T, S, S)
    with torch.no_grad():
        lip = torch.cat([net.lip(bgr[None, :, v : v + 5])[0] for v in range(16)])
        sound = net.audio(torch.from_numpy(np.stack([mfcc(audio)[4 * v : 4 * v + 20].T for v in range(16)])).float())
    fast = for_inference(net)
    compare("lip", embed_lips(frames[:-1], fast), lip, 1e-4)
    compare("audio", embed_audio(mfcc(audio), 16, fast), sound, 1e-4)


def randomised(net: SyncNet) -> SyncNet:
    """Give the batch norms statistics that folding has to get right."""
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


@pytest.mark.quick
def test_distances_as_the_reference_writes_them() -> None:
    """calc_pdist: one window at a time against a zero-padded row of 31."""
    torch.manual_seed(0)
    lip, audio = torch.randn(40, 1024), torch.randn(40, 1024)
    padded = torch.nn.functional.pad(audio, (0, 0, 15, 15))
    rows = [torch.nn.functional.pairwise_distance(lip[[i]].repeat(31, 1), padded[i : i + 31]) for i in range(40)]
    means = torch.stack(rows, 1).mean(1)
    compare("31 distances", mean_distances(lip, audio), means, 1e-5)
    result = lse(lip, audio)
    assert result.offset == 15 - int(means.argmin())
    compare("LSE", result[1:3], [means.min(), means.median() - means.min()], 1e-5)


@pytest.mark.quick
def test_every_window_has_its_mfcc() -> None:
    """6 frames of sound hold 23 MFCC frames: enough for the one window that they score, and for the next."""
    features = mfcc(np.zeros(6 * 640, np.int16))
    assert features.shape == (23, 13)
    assert audio_windows(features).shape == (1, 13, 20)
