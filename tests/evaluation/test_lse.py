"""LSE of whole files: which ones are scored, which are refused and why, and checkpoints that are not SyncNets."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import syncdiff
from syncdiff.cli import app
from syncdiff.config import Faces
from syncdiff.errors import ClipRejected, UserError
from syncdiff.evaluation.metrics.lse import embed_lips, lse, score, score_videos
from syncdiff.media.video import write_video
from syncdiff.models.syncnet import SyncNet, for_inference, load_syncnet, save_syncnet

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def net() -> SyncNet:
    torch.manual_seed(0)
    return for_inference(SyncNet(0.125, 64))


def noise(n_frames: int, size: int = 64) -> np.ndarray:
    return RNG.integers(0, 256, (n_frames, size, size, 3), dtype=np.uint8)


def speech(n_samples: int) -> np.ndarray:
    return RNG.integers(-8000, 8000, n_samples).astype(np.int16)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("n_frames", "n_samples", "n_windows"),
    [(30, 30 * 640, 25), (30, 20 * 640 + 639, 15), (20, 30 * 640, 15), (6, 6 * 640, 1)],
)
def test_windows_are_counted_as_the_reference_counts(
    net: SyncNet, n_frames: int, n_samples: int, n_windows: int
) -> None:
    """min(n_frames, floor(n_samples / 640)) - 5."""
    assert score(noise(n_frames), speech(n_samples), net).n_windows == n_windows


@pytest.mark.quick
@pytest.mark.parametrize(("n_frames", "n_samples"), [(5, 16_000), (25, 1_600), (0, 16_000), (25, 0)])
def test_too_short_is_rejected_with_the_reason(net: SyncNet, n_frames: int, n_samples: int) -> None:
    with pytest.raises(ClipRejected, match="too short for SyncNet: it needs 6 frames"):
        score(noise(n_frames), speech(n_samples), net)


@pytest.mark.quick
def test_embeddings_do_not_depend_on_the_chunks(net: SyncNet, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = noise(23)
    whole = embed_lips(frames, net)
    monkeypatch.setattr("syncdiff.evaluation.metrics.lse.LIP_WINDOWS_PER_PASS", {"cpu": 0.33})  # 4 windows at 64 pixels
    torch.testing.assert_close(embed_lips(frames, net), whole, atol=1e-5, rtol=0)
    assert whole.shape == (19, 1024)


@pytest.mark.quick
@pytest.mark.parametrize("early", [-7, 0, 4])
def test_offset_is_found(early: int) -> None:
    """Positive where the sound comes before the lips, as in the reference."""
    torch.manual_seed(0)
    shared = torch.randn(80, 1024)
    result = lse(shared[20:60], shared[20 + early : 60 + early])
    assert result.offset == early
    assert result.lse_c > 5 * result.lse_d


def test_files_that_cannot_be_scored_are_listed(tmp_path: Path) -> None:
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    write_video(tmp_path / "good.mp4", noise(12), [speech(12 * 640)])
    write_video(tmp_path / "silent.mp4", noise(12), None)
    write_video(tmp_path / "short.mp4", noise(3), [speech(3 * 640)])
    (tmp_path / "empty.mp4").touch()
    videos = [tmp_path / f"{name}.mp4" for name in ("good", "silent", "short", "empty")]
    report = score_videos(videos, tmp_path / "syncnet_v2.model")
    assert [Path(row["video"]).stem for row in report["videos"]] == ["good"]
    assert report["mean"]["n_expected"] == 4
    assert report["mean"]["n_scored"] == 1
    assert report["mean"]["lse_c"] == report["videos"][0]["lse_c"]
    reasons = {Path(row["video"]).stem: row["reason"] for row in report["failed"]}
    assert reasons["silent"] == "no audio stream"
    assert "too short for SyncNet" in reasons["short"]
    assert "empty file" in reasons["empty"]


def test_a_syncnet_of_the_workflow_sees_aligned_faces(tmp_path: Path) -> None:
    save_syncnet(SyncNet(0.125, 64), tmp_path / "syncnet.safetensors", "test")
    write_video(tmp_path / "faceless.mp4", noise(12), [speech(12 * 640)])
    report = score_videos([tmp_path / "faceless.mp4"], tmp_path / "syncnet.safetensors")
    assert report["crop"] == "aligned"
    assert "no face" in report["failed"][0]["reason"]


@pytest.mark.quick
def test_score_finds_faces_with_the_landmarker_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        misses = ""

        def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
            yield from ([] for _ in frames)

    def opened(faces: Faces) -> Nobody:
        asked.append((faces.backend, faces.size, faces.min_track_frames))
        return Nobody()

    asked: list[tuple[str, int, int]] = []
    monkeypatch.setattr("syncdiff.evaluation.crops.open_landmarker", opened)
    save_syncnet(SyncNet(0.125, 64), tmp_path / "syncnet.safetensors", "test", 96)
    write_video(tmp_path / "a.mp4", noise(12), [speech(12 * 640)])
    config = '{"faces": {"backend": "face_alignment", "size": 128}}'
    command = ["score", str(tmp_path / "a.mp4"), "--syncnet", str(tmp_path / "syncnet.safetensors"), "--config", config]
    done = CliRunner().invoke(app, command)
    assert "not scored: no face" in done.output
    faces = Faces(backend="face_alignment", size=128)
    table = syncdiff.score(tmp_path / "a.mp4", syncnet=tmp_path / "syncnet.safetensors", faces=faces)
    assert table["failed"][0].startswith("no face")
    assert asked == [("face_alignment", 96, 6)] * 2


@pytest.mark.quick
def test_own_checkpoint_says_its_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = SyncNet(0.125, 112)
    save_syncnet(net, tmp_path / "syncnet.safetensors", "grid")
    loaded = load_syncnet(tmp_path / "syncnet.safetensors")
    assert (loaded.scorer, loaded.crop) == ("SyncNet of grid (112 px, width 0.125)", "aligned")
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[name], value)


class Malicious:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.quick
def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    torch.save(Malicious(trap), tmp_path / "malicious.model")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.model")
    torch.save([1, 2], tmp_path / "list.model")
    torch.save(SyncNet(0.125, 64).state_dict(), tmp_path / "narrow.model")
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "text.model").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    for path in [*sorted(tmp_path.glob("*.model")), *tmp_path.glob("*.safetensors"), tmp_path / "missing.model"]:
        with pytest.raises(UserError) as caught:
            load_syncnet(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    assert not trap.exists()
