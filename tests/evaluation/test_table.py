"""The table: columns, counts, order, and a scorer wherever a figure is printed."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from syncdiff.config import parse_config
from syncdiff.evaluation.table import COLUMNS, panels, print_table, summarise, write_table
from syncdiff.pipeline.files import write_parquet

pytestmark = pytest.mark.quick


def scores(method: str, values: list[float], metric: str = "lse_c", scorer: str = "SyncNet of demo") -> pd.DataFrame:
    clips = [f"main/{index}" for index in range(len(values))]
    fixed = {"method": method, "protocol": "paired", "metric": metric, "scorer": scorer, "status": "ok", "reason": ""}
    of_sets = dict.fromkeys(["ci_low", "ci_high", "n_expected", "n_scored"], np.nan)
    return pd.DataFrame({"clip": clips, "value": values, **fixed, **of_sets})


def fid(method: str) -> pd.DataFrame:
    row = scores(method, [3.5], "fid", "texture bank").assign(clip="", ci_low=3.0, ci_high=4.0)
    return row.assign(n_expected=24, n_scored=23)


def test_mean_interval_and_counts() -> None:
    table = summarise(scores("real", [1.0, 2.0, np.nan, 3.0]), resamples=200, seed=0)
    row = table.iloc[0]
    assert list(table.columns) == COLUMNS
    assert row["value"] == 2.0
    assert (row["n_expected"], row["n_scored"]) == (4, 3)
    assert 1.0 <= row["ci_low"] < 2.0 < row["ci_high"] <= 3.0


def test_a_figure_without_any_clip_stays_in_the_table() -> None:
    row = summarise(scores("real", [np.nan, np.nan]), 10, 0).iloc[0]
    assert np.isnan(row["value"])
    assert (row["n_expected"], row["n_scored"]) == (2, 0)


def test_set_figures_keep_their_own_interval_and_counts() -> None:
    row = summarise(pd.concat([scores("real", [1.0, 2.0]), fid("real")]), 10, 0).set_index("metric").loc["fid"]
    assert (row["value"], row["ci_low"], row["ci_high"]) == (3.5, 3.0, 4.0)
    assert (row["n_expected"], row["n_scored"]) == (24, 23)


def test_traces_are_no_figures() -> None:
    assert summarise(scores("real", [0.1, 0.2], "mouth_aperture"), 10, 0).empty


def test_scorers_are_never_averaged_together() -> None:
    rows = pd.concat([scores("real", [1.0, 2.0]), scores("real", [7.0, 8.0], scorer="syncnet_v2")])
    assert summarise(rows, 10, 0)["value"].tolist() == [1.5, 7.5]


def test_files_have_exact_columns_fixed_order_and_the_same_bytes(tmp_path: Path) -> None:
    config = parse_config({"evaluate": {"bootstrap": 20}})
    paths = []
    for method in ("mel", "syncdiff", "no_pose", "frozen", "real", "wav2lip"):
        paths.append(tmp_path / f"{method}.parquet")
        write_parquet(paths[-1], pd.concat([fid(method), scores(method, [1.0, 2.0])]))
    written = []
    for name in ("one", "two"):
        write_table(config, paths, tmp_path / f"{name}.csv", tmp_path / f"{name}.parquet")
        written.append((tmp_path / f"{name}.csv").read_bytes() + (tmp_path / f"{name}.parquet").read_bytes())
    table = pd.read_csv(tmp_path / "one.csv")
    assert written[0] == written[1]
    assert list(table.columns) == COLUMNS
    assert table["method"].drop_duplicates().tolist() == ["real", "frozen", "syncdiff", "mel", "no_pose", "wav2lip"]
    assert table["metric"].head(2).tolist() == ["lse_c", "fid"]


def test_missing_clips_are_marked_where_the_figure_is_printed() -> None:
    table = summarise(pd.concat([scores("real", [1.0, np.nan]), fid("real")]), 10, 0)
    text = io.StringIO()
    print_table(table, Console(file=text, width=150))
    assert "1.00*" in text.getvalue()
    assert "1 of 2" in text.getvalue()
    assert "SyncNet of demo" in text.getvalue()
    assert "texture bank" in text.getvalue()
    assert panels(table)[0].incomplete


def test_figures_are_printed_with_signs_and_infinities() -> None:
    rows = pd.concat([scores("real", [-0.0001, 0.0]), scores("real", [-2.0, -3.0], "sync_offset")])
    rows = pd.concat([rows, scores("real", [np.inf, np.inf], "psnr", "-")])
    cells = panels(summarise(rows, 10, 0))[0].rows["real"]
    assert [cell.value for cell in cells if cell] == ["0.00", "−2.5", "∞"]
