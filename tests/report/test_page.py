"""The report: one page that needs nothing else, with what the table says, the same every time."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.evaluation.groups import write_groups
from syncdiff.evaluation.score import score_method
from syncdiff.evaluation.table import write_table
from syncdiff.report import plots
from syncdiff.report.gallery import GalleryClip
from syncdiff.report.page import Results, count_clips, read_ledgers, read_results, reasons, write_report
from tests.evaluation.drawn import CLIPS, Faked


@pytest.fixture
def reported(faked: Faked) -> Faked:
    """Scores, table and curves of real video and of SyncDiff, which has paired videos only."""
    faked.generate("syncdiff", "paired", lambda frames: np.roll(frames, 3, axis=0))
    for method in ("real", "syncdiff"):
        videos = None if method == "real" else faked.videos(method)
        out = faked.root / f"runs/{method}/scores.parquet"
        score_method(faked.config, method, [faked.shard], videos, faked.syncnet, out, torch.device("cpu"))
    paths = [faked.root / f"runs/{method}/scores.parquet" for method in ("real", "syncdiff")]
    config = faked.config.model_copy(update={"max_failed_fraction": 1.0})  # half of its videos are not there
    write_table(config, paths, faked.root / "table.csv", faked.root / "table.parquet")
    grouped = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"groups": {"speaker": []}})})
    write_groups(grouped, paths, faked.plan, None, faked.root / "groups.csv")
    steps = np.arange(10, 210, 10)
    curve = pd.DataFrame({"step": steps, "learning_rate": 1e-3, "loss": 1 / steps})
    curve.to_csv(faked.root / "loss.csv", index=False)
    return faked


def report(faked: Faked, name: str, looks: dict[str, Path] | None = None) -> str:
    runs = {method: faked.root / "runs" / method for method in ("real", "syncdiff")}
    ledgers = [faked.root / "test/faces/00000.parquet", faked.shard.with_suffix(".parquet")]
    page, curves = faked.root / f"{name}.html", {"denoiser": faked.root / "loss.csv"}
    table = faked.root / "table.parquet"
    results = read_results(faked.config, table, runs, ledgers, faked.plan, curves, looks or {})
    write_report(results, page, faked.root / name)
    return page.read_text(encoding="utf-8")


def test_page_holds_everything_and_needs_nothing(reported: Faked) -> None:
    page = report(reported, "one")
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert not re.findall(r"url\((?!#)|@import", page)
    assert page.count("data:video/mp4;base64,") == 2 * len(CLIPS)
    for said in ("SyncNet of drawings", "texture bank", "Synthetic video", "missing in speech", "frames_per_shard"):
        assert said in page
    assert "c/<i>1" not in page  # names are escaped
    assert "not taken, for want of weights: FVD (evaluate.i3d; syncdiff weights get i3d)" in page.replace("Not", "not")
    assert re.findall(r"<summary>(\w) <small>(.*?)</small>", page) == [
        ("a", "2 clips"),
        ("b", "1 clip: no interval"),
        ("c", "1 clip: no interval"),
    ]
    assert page.count("3 of 4") > 10  # every figure says that a clip is missing
    figures = sorted(path.name for path in (reported.root / "one").iterdir())
    assert figures == ["drift.svg", "gallery.png", "ledger.svg", "loss.svg", "mouth.svg", "sync.svg"]


def test_same_inputs_same_bytes(reported: Faked) -> None:
    assert report(reported, "one") == report(reported, "two")
    for name in ("drift.svg", "gallery.png", "ledger.svg", "loss.svg", "mouth.svg", "sync.svg"):
        assert (reported.root / "one" / name).read_bytes() == (reported.root / "two" / name).read_bytes()


def test_the_page_shows_what_validation_saw_and_what_it_chose(reported: Faked) -> None:
    assert "<h3>Validation</h3>" not in report(reported, "without")
    looks = pd.DataFrame({"step": [400, 800, 1200], "loss_train": [0.3, 0.2, 0.1], "loss_val": [0.3, 0.2, 0.25]})
    figures = {"mouth_corr": [0.5, 0.713, 0.6], "lse_c": [1.0, 2.0, 3.0], "kept": [0, 1, 0]}
    looks.assign(**figures).to_csv(reported.root / "validation.csv", index=False)
    page = report(reported, "with", {"syncdiff": reported.root / "validation.csv"})
    assert "SyncDiff: step 800 of 1,200, by mouth_corr (0.713)" in page
    assert "ended early" not in page
    assert (reported.root / "with/validation.svg").is_file()
    looks.assign(**figures).head(2).to_csv(reported.root / "validation.csv", index=False)
    page = report(reported, "early", {"syncdiff": reported.root / "validation.csv"})
    assert "step 800 of 1,200, by mouth_corr (0.713), ended early at step 800" in page


@pytest.mark.quick
def test_the_gallery_shows_scored_clips_each_of_the_file_that_it_is_in() -> None:
    plan = pd.DataFrame({"clip": ["talk.mp4"], "video": ["videos/talk.mp4"]})
    names = [f"talk.mp4@{first:06d}" for first in (0, 500, 1000)]
    facts = {"stage": "faces", "status": "ok", "split": "test", "file": "talk.mp4", "n_frames": 500.0}
    ledger = pd.DataFrame({"clip": names, "first_frame": [0.0, 500.0, 1000.0]}).assign(**facts)
    scores = pd.DataFrame({"clip": names[1:]})
    config = parse_config({"corpus": {"kind": "folder", "root": "/data"}})
    results = Results(config, pd.DataFrame(), {}, {}, scores, plan, ledger, {}, {})
    shown = [
        GalleryClip(name, Path("/data/videos/talk.mp4"), first, 500)
        for name, first in ((names[1], 500), (names[2], 1000))
    ]
    assert results.test_clips(4) == shown
    assert results.test_clips(1) == shown[:1]


@pytest.mark.quick
def test_ledger_counts_every_stage_and_split(tmp_path: Path) -> None:
    plan = pd.DataFrame(
        {
            "clip": ["a", "b", "c"],
            "stage": "plan",
            "status": ["ok", "ok", "rejected"],
            "reason": ["", "", "no audio stream"],
            "split": ["train", "test", "test"],
        }
    )
    faces = pd.DataFrame(
        {"clip": ["a", "b"], "stage": "faces", "status": ["ok", "failed"], "reason": ["", "OSError: x"]}
    )
    ledger = read_ledgers([faces], plan)
    counts = count_clips(ledger).set_index(["stage", "split"])
    assert counts.loc[("plan", "test"), ["n_in", "ok", "rejected", "failed"]].tolist() == [2, 1, 1, 0]
    assert counts.loc[("faces", "test"), ["n_in", "ok", "rejected", "failed"]].tolist() == [1, 0, 0, 1]
    assert set(reasons(ledger)["reason"]) == {"no audio stream", "OSError: x"}


def test_curves_of_both_signs_are_drawn_each_in_a_colour() -> None:
    steps = np.arange(10, 60, 10)
    losses = {f"loss_{name}": steps * sign for name, sign in zip("abcdefg", (1, -1, 1, 1, 1, 1, 1), strict=True)}
    log = pd.DataFrame({"step": steps, "learning_rate": 1e-3, "loss": steps, **losses})
    figure = plots.curves({"syncdiff, second stage": log, "autoencoder": log.drop(columns="loss_b")})
    both, positive = (axes for axes in figure.axes if axes.lines)
    assert both.get_yscale() == "symlog" and positive.get_yscale() == "log"
    assert len(both.get_legend().get_texts()) == 8  # none is left out
