"""The command that fills the pages, the file of the demo's figures, and the moving picture."""

import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from syncdiff.errors import UserError
from syncdiff.media.video import write_video
from tools.docs.markers import fill
from tools.docs.picture import EVERY, SIDE, picture
from tools.docs.results import ROOT, plain
from tools.docs.tables import content

sys.path.append(str(ROOT / "benchmarks"))
import demo


@pytest.mark.quick
def test_a_block_stands_between_empty_lines_and_a_figure_in_its_line() -> None:
    page = "a\n<!-- begin t -->\nold\n<!-- end t -->\nb <!-- begin f -->1<!-- end f --> c\n"
    filled = fill(page, lambda name: {"t": "| x |", "f": "2"}[name])
    assert filled == "a\n<!-- begin t -->\n\n| x |\n\n<!-- end t -->\nb <!-- begin f -->2<!-- end f --> c\n"
    assert fill(filled, lambda name: {"t": "| x |", "f": "2"}[name]) == filled


@pytest.mark.quick
@pytest.mark.parametrize("page", ["<!-- begin t -->", "<!-- end t -->", "<!-- begin t -->1<!-- end u -->"])
def test_a_marker_without_its_partner_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="has no partner"):
        fill(page, lambda name: "")


@pytest.mark.quick
@pytest.mark.parametrize("name", ["nothing", "trials nothing", "trial loss/nothing/fid", "headline nothing"])
def test_a_name_that_nothing_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        content(name)


@pytest.mark.quick
def test_numbers_have_a_true_minus_and_zero_has_none() -> None:
    assert [plain(-1.25, 1), plain(-0.001, 2), plain(2.0, 2)] == ["−1.2", "0.00", "2.00"]


@pytest.mark.quick
def test_what_was_kept_is_bold_in_a_table_of_trials() -> None:
    lines = content("trials prediction").splitlines()
    assert [line for line in lines if line.startswith("| **")] == ["| **the network predicts z_0** | 0.57 |"]


@pytest.mark.quick
def test_the_demo_figures_are_those_of_the_table_and_of_the_jobs(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [
            ["syncdiff", "paired", "ssim", "-", 0.9, 0.8, 1.0, 3, 2],
            ["real", "paired", "psnr", "-", np.inf, None, None, 3, 3],
        ],
        columns=["method", "protocol", "metric", "scorer", "value", "ci_low", "ci_high", "n_expected", "n_scored"],
    )
    rows = demo.rows(table)
    assert rows["syncdiff"]["paired"]["ssim"] == {"value": 0.9, "scorer": "-", "n": "2 of 3", "low": 0.8, "high": 1.0}
    assert rows["real"]["paired"]["psnr"]["value"] == "inf"
    for name, seconds in {"evaluate-real.tsv": 2, "evaluate-syncdiff.tsv": 3, "faces/train-00000.tsv": 4.5}.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    assert demo.stages(tmp_path) == {"faces": 4.5, "evaluate": 5.0}


def test_the_moving_picture_shows_pairs_and_stays_small(tmp_path: Path) -> None:
    facts = {"clip": "main/a/1", "video": "main/a/1.mp4", "first_frame": 2, "n_frames": 8}
    brighter = np.arange(10, dtype=np.uint8)[:, None, None, None] * 4  # no two pictures are alike
    real, fake = (np.full((10, 64, 64, 3), value, np.uint8) + brighter for value in (20, 200))
    for path, frames in {"corpus/main/a/1.mp4": real, "runs/syncdiff/videos/paired/main/a/1.mp4": fake[:8]}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        write_video(tmp_path / path, iter(frames), np.zeros(640 * len(frames), np.int16))
    (tmp_path / "test/shards").mkdir(parents=True)
    with tarfile.open(tmp_path / "test/shards/00000.tar", "w") as tar:
        data = json.dumps(facts).encode()
        member = tarfile.TarInfo("x.json")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    image = Image.open(io.BytesIO(picture(tmp_path)))
    assert (image.size, image.n_frames) == ((2 * SIDE, SIDE), 8 // EVERY)
    left, right = (half.mean() for half in np.split(np.asarray(image.convert("RGB"))[100:], 2, axis=1))
    assert left < 80
    assert right > 160


@pytest.mark.quick
def test_a_folder_without_generated_videos_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `make eval` first"):
        picture(tmp_path)
