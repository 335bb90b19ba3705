"""The whole workflow on a tiny demo corpus: from nothing to a table and a report, and nothing to do after that."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from syncdiff.provenance import SUFFIX
from tests.workflow.conftest import ROOT, Snakemake

pytestmark = pytest.mark.slow
TINY = str(ROOT / "config/tiny.yaml")
STAGES = ["faces", "priors", "speech/fbank", "latents"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Path:
    """A folder in which the tiny workflow has run."""
    folder = tmp_path_factory.mktemp("workflow")
    done = snakemake("--configfile", TINY, folder=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


def _again(snakemake: Snakemake, folder: Path, *arguments: str) -> str:
    dry = snakemake("--dry-run", "--configfile", TINY, *arguments, folder=folder)
    return dry.stdout + dry.stderr


def test_the_table_has_every_row_and_metric(finished: Path) -> None:
    table = pd.read_csv(finished / "results/demo/table.csv")
    named = ["method", "protocol", "metric", "scorer", "value", "ci_low", "ci_high", "n_expected", "n_scored"]
    assert list(table.columns) == named
    cells = set(zip(table["method"], table["protocol"], table["metric"], strict=True))
    for method in ("real", "reconstruction", "frozen", "syncdiff"):
        for metric in ("lse_c", "lse_d", "sync_offset", "fid", "ssim", "psnr", "lmd", "mouth_corr"):
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


def test_every_artifact_has_a_provenance_that_holds(finished: Path) -> None:
    verified = subprocess.run(
        [sys.executable, "-m", "syncdiff", "verify", "results/demo"],
        cwd=finished,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout
    told = {path.name.removesuffix(SUFFIX) for path in (finished / "results/demo").rglob(f"*{SUFFIX}")}
    assert {"corpus", "clips.parquet", "ledger.parquet", "00000.tar", "denoiser.safetensors", "table.csv"} <= told


def test_run_again_it_has_nothing_to_do(finished: Path, snakemake: Snakemake) -> None:
    assert "Nothing to be done" in _again(snakemake, finished)


@pytest.mark.parametrize(
    ("change", "reruns", "stays"),
    [
        ("sample={steps: 3}", {"sample", "score", "table"}, {"train", "faces", "shard", "syncnet"}),
        ("speech={window_frames: 5}", {"train", "sample"}, {"speech", "faces", "autoencoder"}),
        ("faces={size: 96}", {"faces", "priors", "shard", "train", "score"}, {"plan", "demo_corpus"}),
    ],
)
def test_a_changed_key_reruns_what_depends_on_it(
    finished: Path, snakemake: Snakemake, change: str, reruns: set[str], stays: set[str]
) -> None:
    printed = _again(snakemake, finished, "--config", change)
    jobs = {line.split()[0] for line in printed.splitlines() if len(line.split()) == 2 and line.split()[1].isdigit()}
    assert reruns <= jobs
    assert not stays & jobs
