"""The ablation: seeds of one experiment are one row, differences are taken clip by clip, and the figure draws both."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncdiff.config import parse_config
from syncdiff.pipeline.files import write_parquet
from syncdiff.report.ablation import compare, seeds_of, write_ablation

pytestmark = pytest.mark.quick
EXPERIMENTS = {
    "mel": {"speech": {"encoder": "mel"}},
    "again": {"seed": 1},
    "no_pose": {"denoiser": {"pose_frame": "none"}},
    "no_pose_again": {"denoiser": {"pose_frame": "none"}, "seed": 2},
}
SEEDS = {"syncdiff": ["syncdiff", "again"], "no_pose": ["no_pose", "no_pose_again"], "mel": ["mel"]}


def scores(method: str, values: list[float], metric: str = "lse_c", protocol: str = "paired") -> pd.DataFrame:
    clips = [f"main/{index}" for index in range(len(values))]
    fixed = {"method": method, "protocol": protocol, "metric": metric, "ci_low": np.nan, "ci_high": np.nan}
    return pd.DataFrame({"clip": clips, "value": values, **fixed})


def fid(method: str, value: float) -> pd.DataFrame:
    return scores(method, [value], "fid").assign(clip="", ci_low=value - 1, ci_high=value + 1)


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.concat(
        [
            scores("syncdiff", [1.0, 2.0, 6.0]),
            scores("again", [3.0, 2.0, 4.0]),
            scores("no_pose", [0.0, 1.0, 4.0]),
            scores("no_pose_again", [2.0, 1.0, 4.0]),
            scores("mel", [1.0, np.nan, 2.0]),
            fid("syncdiff", 5.0),
            fid("again", 6.0),
            fid("mel", 8.0),
        ],
        ignore_index=True,
    )


def test_experiments_that_differ_in_the_seed_alone_are_one_row() -> None:
    assert seeds_of(parse_config({"experiments": EXPERIMENTS}).experiments) == SEEDS


def test_seeds_are_averaged_before_clips_are(rows: pd.DataFrame) -> None:
    table = compare(rows, SEEDS, 200, 0).query("metric == 'lse_c'").set_index("experiment")
    assert table["n_seeds"].to_dict() == {"syncdiff": 2, "no_pose": 2, "mel": 1}
    assert table["value"].to_dict() == {"syncdiff": 3.0, "no_pose": 2.0, "mel": 1.5}
    assert table.loc["no_pose", ["seed_low", "seed_high"]].tolist() == pytest.approx([5 / 3, 7 / 3])
    assert 1 <= table.loc["no_pose", "ci_low"] < 2 < table.loc["no_pose", "ci_high"] <= 4


def test_a_difference_is_that_of_the_same_clips(rows: pd.DataFrame) -> None:
    """Every clip is one below: the interval is a point, however far apart the clips are. `mel` lacks one clip."""
    table = compare(rows, SEEDS, 200, 0).query("metric == 'lse_c'").set_index("experiment")
    assert table.loc["no_pose", ["difference", "difference_low", "difference_high"]].tolist() == [-1.0, -1.0, -1.0]
    assert table.loc["mel", "difference"] == pytest.approx(((1 - 2) + (2 - 5)) / 2)
    assert table.loc["syncdiff", "difference"] == 0


def test_a_figure_of_the_set_keeps_the_interval_of_its_one_seed(rows: pd.DataFrame) -> None:
    table = compare(rows, SEEDS, 200, 0).query("metric == 'fid'").set_index("experiment")
    assert table["value"].to_dict() == {"syncdiff": 5.5, "mel": 8.0}
    assert table.loc["mel", ["ci_low", "ci_high"]].tolist() == [7.0, 9.0]
    assert np.isnan(table.loc["syncdiff", "ci_low"])


def test_table_and_figure_are_written_and_the_same_again(rows: pd.DataFrame, tmp_path: Path) -> None:
    paths = []
    for name, own in rows.groupby("method", sort=False):
        paths.append(tmp_path / f"{name}.parquet")
        write_parquet(paths[-1], own)
    outs = [(tmp_path / f"{n}.csv", tmp_path / f"{n}.svg") for n in range(2)]
    for out in outs:
        write_ablation(parse_config({"experiments": EXPERIMENTS}), paths, *out)
    assert outs[0][0].read_bytes() == outs[1][0].read_bytes()
    assert outs[0][1].read_bytes() == outs[1][1].read_bytes()
    drawn = outs[0][1].read_text()
    names = ["SyncDiff, 2 seeds", "no_pose, 2 seeds", ">mel<"]  # in the order of the files, not of the config
    places = [drawn.index(name) for name in names]
    assert places == sorted(places)
    assert "LSE-C" in drawn
