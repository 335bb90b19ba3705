"""The workflow with validation: from the results without it, the same again, with what val said of the training."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from syncdiff.models.pretrained import read_pretrained_config
from syncdiff.synthesis.export import card
from tests.workflow.conftest import TINY, Snakemake

pytestmark = [pytest.mark.slow, pytest.mark.skip(reason="it has not been run to its end yet")]


def test_a_validated_training_goes_through_to_the_report(finished: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, symlinks=True, dirs_exist_ok=True)  # with what Snakemake knows of its jobs
    done = snakemake("--configfile", TINY, "--config", "validation={every: 10, clips: 2}", folder=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    run = tmp_path / "results/demo/runs/syncdiff"
    rows = pd.read_csv(run / "validation.csv")
    assert rows["step"].tolist() == [10, 20]
    assert rows[["loss_train", "loss_val", "mouth_corr", "lse_c", "sharpness"]].notna().all(axis=None)
    [kept] = rows.loc[rows["kept"] == 1, "step"]
    page = (tmp_path / "results/demo/report.html").read_text()
    assert f"SyncDiff: step {kept} of 20, by mouth_corr" in page
    assert (tmp_path / "results/demo/figures/validation.svg").is_file()
    assert f"the weights after step {kept} were kept" in card(run, read_pretrained_config(run))
    curves = [pd.read_csv(folder / "runs/syncdiff/loss.csv") for folder in (finished / "results/demo", run.parents[1])]
    pd.testing.assert_frame_equal(*curves)  # training went as without
    assert "val" in set(pd.read_parquet(tmp_path / "results/demo/ledger.parquet")["split"])
