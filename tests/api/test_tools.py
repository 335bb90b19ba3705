"""score, features and fidelity on plain paths."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import syncdiff
from syncdiff.errors import UserError
from syncdiff.media.video import write_video
from syncdiff.models.syncnet import SyncNet

COLUMNS = ["video", "offset", "lse_d", "lse_c", "n_windows", "failed"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short videos, a file that is none, and a SyncNet with random weights that sees whole frames."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        frames = random.integers(256, size=(12, 64, 64, 3), dtype=np.uint8)
        sound = random.integers(-9000, 9000, 12 * 640).astype(np.int16)
        write_video(folder / f"videos/{name}.mp4", frames, [sound])
    (folder / "damaged.mp4").write_bytes(b"no video")
    torch.manual_seed(0)
    torch.save(SyncNet(width=1.0).state_dict(), folder / "syncnet.model")  # as the published one: no crop of its own
    return folder


def test_score_takes_the_same_video_twice_and_none(files: Path) -> None:
    videos = [files / "videos/a.mp4"] * 2
    twice = syncdiff.score(videos, syncnet=files / "syncnet.model", device="cpu")
    assert twice["video"].tolist() == list(map(str, videos))
    assert twice["lse_d"].nunique() == 1
    assert syncdiff.score([], syncnet=files / "syncnet.model", device="cpu").columns.tolist() == COLUMNS


def test_score_has_a_row_for_every_video_in_the_order_asked_for(files: Path) -> None:
    videos = [files / "videos/b.mp4", str(files / "damaged.mp4"), files / "videos/a.mp4"]
    table = syncdiff.score(videos, syncnet=files / "syncnet.model", device="cpu")
    assert list(table.columns) == COLUMNS
    assert table["video"].tolist() == [str(video) for video in videos]
    assert (table["failed"] == "").tolist() == [True, False, True]
    assert table["lse_d"].isna().tolist() == [False, True, False]
    assert table["lse_d"][0] != table["lse_d"][2]
    alone = syncdiff.score(str(videos[2]), syncnet=files / "syncnet.model", device="cpu")
    assert alone["lse_c"].tolist() == [table["lse_c"][2]]


def test_features_are_rows_of_the_video_or_of_the_sound(files: Path, tmp_path: Path) -> None:
    rows = syncdiff.features(files / "videos/a.mp4")
    assert (rows.shape, rows.dtype) == ((12, 104), np.float32)
    soundfile.write(tmp_path / "s.wav", np.random.default_rng(0).normal(size=16000), 16000)
    assert len(syncdiff.features(str(tmp_path / "s.wav"), frames=7)) == 7
    with pytest.raises(UserError, match="layer 9"):
        syncdiff.features(tmp_path / "s.wav", layer=9)


def test_fidelity_names_its_scorers_figures(files: Path) -> None:
    figures = syncdiff.fidelity(files / "videos", str(files / "videos"), device="cpu")
    assert figures["fid"] == pytest.approx(0, abs=1e-6)
    assert figures["ssim"] == 1
    assert "stand-in" in figures["scorer"]
