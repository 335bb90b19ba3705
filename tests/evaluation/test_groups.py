"""Groups of clips: by columns of the plan and of curation, as they are, by edges or by quantiles."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncdiff.config import parse_config
from syncdiff.errors import UserError
from syncdiff.evaluation.groups import GROUP_COLUMNS, grouped, read_groups, sizes, write_groups
from syncdiff.pipeline.files import write_parquet

pytestmark = pytest.mark.quick
CLIPS = ["s1/a", "s1/b", "s2/a", "s3/a"]


def series(values: list[object]) -> pd.Series:
    return pd.Series(values, CLIPS[: len(values)], name="column")


def write_inputs(folder: Path) -> tuple[Path, Path, Path]:
    """Scores of two methods over four test clips, a plan with s1 in training, and what curation measured."""
    kinds = {"protocol": "paired", "scorer": "-", "status": "ok", "reason": ""}
    of_set = dict.fromkeys(["ci_low", "ci_high", "n_expected", "n_scored"], np.nan)
    clips = [(clip, "ssim", value) for clip, value in zip(CLIPS, [1.0, 0.5, 0.2, np.nan], strict=True)]
    rows = [
        {"method": method, "clip": clip, "metric": metric, "value": value, **kinds, **of_set}
        for method in ("real", "syncdiff")
        for clip, metric, value in [*clips, ("", "fid", 3.0)]
    ]
    write_parquet(folder / "scores.parquet", pd.DataFrame(rows))
    plan = pd.DataFrame({"clip": ["s1/t", *CLIPS], "split": ["train", *["test"] * 4], "status": "ok", "fps": 25.0})
    write_parquet(folder / "plan.parquet", plan.assign(fps=[25, 25, 25, 30, 30]))
    curation = pd.DataFrame({"clip": CLIPS, "yaw": [0.0, 10.0, 20.0, np.nan]})
    write_parquet(folder / "curation.parquet", curation)
    return folder / "scores.parquet", folder / "plan.parquet", folder / "curation.parquet"


def test_the_table_of_each_group_has_its_own_clips_and_intervals(tmp_path: Path) -> None:
    scores, plan, curation = write_inputs(tmp_path)
    groups = {"speaker_seen": [], "yaw": [15], "fps": []}
    config = parse_config({"evaluate": {"groups": groups, "bootstrap": 50}})
    write_groups(config, [scores], plan, curation, tmp_path / "groups.csv")
    table = pd.read_csv(tmp_path / "groups.csv")
    assert list(table.columns) == GROUP_COLUMNS
    real = table[table["method"] == "real"].set_index(["column", "group"])
    assert real["value"].to_dict() == {
        ("speaker_seen", "seen"): 0.75,
        ("speaker_seen", "unseen"): 0.2,
        ("yaw", "below 15"): 0.75,
        ("yaw", "from 15"): 0.2,
        ("yaw", "unknown"): pytest.approx(np.nan, nan_ok=True),
        ("fps", "25"): 0.75,
        ("fps", "30"): 0.2,
    }
    assert real.loc[("speaker_seen", "unseen"), ["n_clips", "n_expected", "n_scored"]].tolist() == [2, 2, 1]
    assert real.loc[("yaw", "below 15"), ["ci_low", "ci_high"]].tolist() == [0.5, 1.0]
    assert real.loc[("yaw", "from 15"), ["ci_low", "ci_high"]].isna().all()
    assert set(table["metric"]) == {"ssim"}  # a figure of the whole set has no group


def test_what_was_written_is_read_for_the_page_and_a_group_of_one_clip_says_so(tmp_path: Path) -> None:
    scores, plan, curation = write_inputs(tmp_path)
    config = parse_config({"evaluate": {"groups": {"yaw": [15]}, "bootstrap": 50}})
    write_groups(config, [scores], plan, curation, tmp_path / "groups.csv")
    found = read_groups(tmp_path / "groups.csv")["yaw"]
    assert [(group.name, group.clips) for group in found] == [
        ("below 15", "2 clips"),
        ("from 15", "1 clip: no interval"),
        ("unknown", "1 clip: no interval"),
    ]
    assert found[0].panels[0].rows["real"][0].value == "0.750"  # type: ignore[union-attr]
    assert read_groups(tmp_path / "none.csv") == {}


def test_without_groups_the_file_has_its_heading_alone(tmp_path: Path) -> None:
    scores, plan, _ = write_inputs(tmp_path)
    write_groups(parse_config({}), [scores], plan, None, tmp_path / "groups.csv")
    assert (tmp_path / "groups.csv").read_text() == ",".join(GROUP_COLUMNS) + "\n"
    assert read_groups(tmp_path / "groups.csv") == {}


def test_a_column_that_nothing_has_is_one_line_that_names_those_there_are(tmp_path: Path) -> None:
    scores, plan, _ = write_inputs(tmp_path)
    config = parse_config({"evaluate": {"groups": {"yaw": []}}})
    with pytest.raises(UserError, match=r"evaluate\.groups\.yaw: neither .* has this column; there are split, status"):
        write_groups(config, [scores], plan, None, tmp_path / "groups.csv")


def test_numbers_are_cut_at_edges_each_bin_with_its_lower_one() -> None:
    groups = grouped(series([1.0, 2.0, 3.5, 5.0]), [5, 2])
    assert groups.tolist() == ["below 2", "2 to 5", "2 to 5", "from 5"]


def test_numbers_without_edges_are_cut_at_their_thirds_and_few_are_categories() -> None:
    assert sizes(grouped(pd.Series(np.arange(9.0), name="x"), [])) == {
        "below 2.667": 3,
        "2.667 to 5.333": 3,
        "from 5.333": 3,
    }
    assert sizes(grouped(series([25.0, 25.0, 29.97, 25.0]), [])) == {"25": 3, "29.97": 1}


def test_categories_are_as_they_are_and_clips_without_a_value_are_unknown() -> None:
    assert sizes(grouped(series(["b", "a", None, "b"]), [])) == {"a": 1, "b": 2, "unknown": 1}
    assert sizes(grouped(series([True, False, True, True]), [])) == {"False": 1, "True": 3}


@pytest.mark.parametrize(
    ("values", "edges", "reason"),
    [
        (["a", "b"], [1.0], "no numbers"),
        ([str(i) for i in range(60)], [], "60 categories, 50 at most"),
        ([[1.5, 2.0], [], None], [], "each clip has several values"),  # wrong_confidence of curation.parquet
        ([np.array([1.5, 2.0])], [1.0], "each clip has several values"),
    ],
)
def test_columns_that_make_no_groups_are_refused(values: list[str], edges: list[float], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        grouped(pd.Series(values, name="text"), edges)


def test_numbers_that_look_alike_are_printed_with_the_digits_that_tell_them_apart() -> None:
    assert sizes(grouped(series([1000001.0, 1000002.0, 1000002.0]), [])) == {"1000001": 1, "1000002": 2}
    near = grouped(series([1.0, 1.00002, 1.00003, 1.00004]), [1.00002, 1.00003, 1.00004, 1.00004])
    assert [*near.cat.categories] == [
        "below 1.00002",
        "1.00002 to 1.00003",
        "1.00003 to 1.00004",
        "from 1.00004",
        "unknown",
    ]
    assert sizes(grouped(series([10**18, 10**18 + 1]), [])) == {str(10**18): 1, str(10**18 + 1): 1}


def test_infinite_numbers_lie_in_the_outer_bins() -> None:
    assert sizes(grouped(series([-np.inf, 1.0, 2.0, np.inf]), [])) == {"below 1.333": 2, "from 1.667": 2}


def test_an_empty_text_is_unknown_and_so_is_one_that_says_so() -> None:
    assert sizes(grouped(series(["", "a", None, "unknown"]), [])) == {"a": 1, "unknown": 3}


def test_an_edge_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"evaluate\.groups\.yaw\.0: .*finite"):
        parse_config({"evaluate": {"groups": {"yaw": [float("nan")]}}})
