"""The whole workflow on a tiny demo corpus: from nothing to a table and a report."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from syncdiff.pipeline.provenance import SUFFIX
from syncdiff.registry.metrics import METRICS, NETWORKS
from tests.workflow.conftest import RESULTS

pytestmark = pytest.mark.slow
STAGES = ["faces", "priors", "speech/fbank", "latents"]


def test_the_table_has_every_row_and_metric(finished: Path) -> None:
    table = pd.read_csv(finished / "results/demo/table.csv")
    named = ["method", "protocol", "metric", "scorer", "value", "ci_low", "ci_high", "n_expected", "n_scored"]
    assert list(table.columns) == named
    cells = set(zip(table["method"], table["protocol"], table["metric"], strict=True))
    for method in ("real", "reconstruction", "frozen", "syncdiff"):
        for metric in (name for name, taken in METRICS.items() if taken.in_table and "paired" in taken.protocols):
            if METRICS[metric].scorer in NETWORKS:  # its published weights are not given
                continue
            assert (method, "paired", metric) in cells
        for protocol in ("cross", "silent"):
            assert (method, protocol, "lse_c") in cells
    real = table[(table["method"] == "real") & (table["protocol"] == "paired")].set_index("metric")["value"]
    assert real["ssim"] == 1
    assert real["mouth_corr"] == 1


def test_every_clip_has_a_row_at_every_stage(finished: Path) -> None:
    results = finished / "results/demo"
    plan = pd.read_parquet(results / "plan/clips.parquet")
    train = plan[(plan["split"] == "train") & (plan["status"] == "ok")]["clip"]
    for stage in STAGES:
        ledgers = [pd.read_parquet(path) for path in sorted((results / "train" / stage).glob("*.parquet"))]
        assert sorted(pd.concat(ledgers)["clip"]) == sorted(train), stage


def test_the_videos_are_whole_frames_that_say_they_are_synthetic(finished: Path) -> None:
    import av

    videos = sorted((finished / "results/demo/runs/syncdiff/videos/paired").rglob("*.mp4"))
    assert videos
    with av.open(str(videos[0])) as container:
        assert "synthetic" in container.metadata["comment"]
        assert container.streams.audio
        assert (container.streams.video[0].width, container.streams.video[0].height) == (192, 192)


def verify(folder: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "syncdiff", "verify", str(folder)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_every_artifact_has_a_provenance_that_holds(finished: Path) -> None:
    verified = verify(Path("results/demo"), finished)
    assert verified.returncode == 0, verified.stdout
    told = {path.name.removesuffix(SUFFIX) for path in (finished / "results/demo").rglob(f"*{SUFFIX}")}
    assert {"corpus", "clips.parquet", "ledger.parquet", "00000.tar", "denoiser.safetensors", "table.csv"} <= told


def test_a_copy_is_judged_by_itself_from_anywhere(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a copy"
    shutil.copytree(finished / "results/demo", copy)
    verified = verify(copy, Path("/"))
    assert verified.returncode == 0, verified.stdout
    with (copy / "test/faces/00000.tar").open("ab") as file:  # from which priors, speech and shards are made
        file.write(b"spoiled")
    verified = verify(Path("a copy"), tmp_path)
    assert verified.returncode == 1
    assert len(verified.stdout.splitlines()) == 1
    assert "a copy/test/faces/00000.tar: " in verified.stdout


def test_all_that_is_written_has_the_mode_of_the_umask(finished: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    written = [path for path in (finished / RESULTS).rglob("*") if path.is_file()]
    assert [path for path in written if path.stat().st_mode & 0o777 != 0o666 & ~umask] == []


def test_a_name_that_a_shell_would_change_leaves_nothing_beside_the_results(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {"config.yaml", "results", RESULTS, ".snakemake"}
