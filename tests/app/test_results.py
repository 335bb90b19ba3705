"""What the page shows of a results folder: the worst first, by verdict, and nothing that lies outside of it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from syncdiff.app.results import Results, read_results
from syncdiff.errors import UserError
from syncdiff.media.video import read_frames
from syncdiff.report.gallery import Tile
from tests.app.folder import write_results

pytestmark = pytest.mark.quick


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return read_results(write_results(tmp_path / "results"))


def _level(tile: Tile) -> float:
    return float(next(read_frames(base64.b64decode(tile.data))).mean())


def test_the_worst_clip_comes_first_by_score_or_measure(results: Results) -> None:
    assert [*results.measures("syncdiff")] == ["LSE-C of syncdiff", "SSIM of syncdiff", "Sharpness of the clip"]
    table = results.table("syncdiff", "LSE-C of syncdiff")
    assert table.columns.tolist() == ["clip", "LSE-C ↑", "split", "verdict", "why"]
    assert table["clip"].tolist() == ["a/2", "b/1", "a/1"]
    assert table["LSE-C ↑"].tolist() == [1.0, 2.0, 3.0]
    assert results.table("syncdiff", "Sharpness of the clip")["clip"].tolist() == ["a/2", "b/1", "a/1"]


def test_verdicts_are_the_curations_and_filter_the_clips(results: Results) -> None:
    assert results.verdicts == ["ok", "rejected"]
    rejected = results.table("syncdiff", "LSE-C of syncdiff", "rejected")
    assert rejected[["clip", "why"]].to_numpy().tolist() == [["a/2", "blurred"]]


def test_real_and_generated_are_shown_together(results: Results) -> None:
    tiles, notes = results.tiles("a/1", "syncdiff")
    assert [(tile.label, tile.note) for tile in tiles] == [("real video", ""), ("SyncDiff", "synthetic")]
    assert [_level(tile) for tile in tiles] == pytest.approx([90, 200], abs=3)
    assert notes == []


def test_what_lies_outside_of_the_folder_is_not_shown(results: Results, tmp_path: Path) -> None:
    """A link of a file, a link of a folder in a folder, and a clip whose name leads out."""
    outside = tmp_path / "outside"
    (results.folder / "corpus/main/a").rename(outside)
    (results.folder / "corpus/main/a").symlink_to(outside)
    generated = results.folder / "runs/syncdiff/videos/paired/b/1.mp4"
    generated.rename(tmp_path / "1.mp4")
    generated.symlink_to(tmp_path / "1.mp4")
    tiles, notes = results.tiles("a/1", "syncdiff")
    assert [tile.label for tile in tiles] == ["SyncDiff"]
    assert notes == [f"real: its video lies outside of {results.folder}, and is not shown"]
    assert [tile.label for tile in results.tiles("b/1", "syncdiff")[0]] == ["real video"]
    with pytest.raises(UserError, match="no clip"):
        results.tiles("../../outside/1", "syncdiff")


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no plan/clips\.parquet; name a results folder"):
        read_results(tmp_path)
