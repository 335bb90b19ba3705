"""docs/extending.md, A metric: what is shown has rows in the scores, a column in the table and one in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from syncdiff.evaluation.score import score_method
from syncdiff.evaluation.table import write_table
from syncdiff.priors import mouth_mask
from syncdiff.registry.metrics import METRICS, Metric
from syncdiff.report.page import read_results, write_report
from tests.docs.blocks import install
from tests.evaluation.drawn import CLIPS, N_FRAMES, SIZE, DrawnLandmarker, make

BRIGHTER = 20  # grey levels under the mouth mask, and twice that outside it


def changed(frames: np.ndarray) -> np.ndarray:
    masked = mouth_mask(SIZE)[..., None] > 0
    return np.clip(frames.astype(int) + np.where(masked, BRIGHTER, 2 * BRIGHTER), 0, 255).astype(np.uint8)


def test_the_metric_shown_is_scored_printed_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install("A metric", "syncdiff.evaluation.metrics.mouth_error", METRICS, Metric, monkeypatch)
    monkeypatch.setattr("syncdiff.evaluation.clip_scorer.open_landmarker", lambda faces, device: DrawnLandmarker())
    drawn = make(tmp_path)
    drawn.generate("frozen", "paired", changed)
    runs = {method: tmp_path / "runs" / method for method in ("real", "frozen")}
    files = [run / "scores.parquet" for run in runs.values()]
    for method, file in zip(runs, files, strict=True):
        videos = None if method == "real" else drawn.videos(method)
        score_method(drawn.config, method, [drawn.shard], videos, drawn.syncnet, file, torch.device("cpu"))
    rows = pd.concat(map(pd.read_parquet, files)).query("metric == 'mouth_error'").set_index("method")
    assert set(rows["protocol"]) == {"paired"} and set(rows["scorer"]) == {"-"}
    assert rows.loc["real", "value"].dropna().tolist() == [0] * len(CLIPS)
    assert rows.loc["frozen", "value"].dropna().tolist() == pytest.approx([BRIGHTER] * len(CLIPS), abs=4)
    assert [len(series) for series in rows["series"].dropna()] == [N_FRAMES] * 2 * len(CLIPS)
    csv, parquet, page = (tmp_path / name for name in ("table.csv", "table.parquet", "report.html"))
    write_table(drawn.config, files, csv, parquet)
    table = pd.read_csv(csv).query("metric == 'mouth_error'").set_index("method")
    assert table["n_scored"].to_dict() == dict.fromkeys(runs, len(CLIPS))
    assert table.loc["frozen", "value"] == pytest.approx(rows.loc["frozen", "value"].mean(), rel=1e-5)
    ledgers = [drawn.shard.with_suffix(".parquet")]
    write_report(read_results(drawn.config, parquet, runs, ledgers, drawn.plan, {}, {}), page, tmp_path / "figures")
    for printed in (capsys.readouterr().out, page.read_text(encoding="utf-8")):
        assert "Error, mouth" in printed
