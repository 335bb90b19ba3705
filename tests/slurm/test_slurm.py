"""The profile on a real SLURM: the whole workflow, and jobs that fail, run out of time, are pre-empted or cancelled."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.slurm.cluster import jobs, jobs_of, slurm
from tests.slurm.conftest import ROOT, Start, until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
SMALL = Path(__file__).with_name("small.smk")
SIZES = [
    "corpus={demo: {identities: 4, clips_per_identity: 3, seconds: 1.2}}",
    "autoencoder={steps: 4}",
    "syncnet={steps: 4}",
    "train={steps: 100, batch_size: 2, checkpoint_every: 5}",
]
TINY = ["--configfile", str(ROOT / "config/tiny.yaml"), "--config", *SIZES]
RUN = "results/demo/runs/syncdiff"
TRAIN_LOG = "results/demo/logs/train-syncdiff.log"


@dataclass(frozen=True)
class Ran:
    """A call of Snakemake: where, and how it ended."""

    folder: Path
    process: "subprocess.Popen[str]"

    def wait(self) -> int:
        return self.process.wait(600)

    @property
    def said(self) -> str:
        return (self.folder / "said.txt").read_text()


@pytest.fixture(scope="module")
def small(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The two rules of small.smk, which run beside the other tests: they mostly wait."""
    folder = tmp_path_factory.mktemp("small")
    grows = ["--set-resources", "late:runtime=1 * attempt"]
    return Ran(folder, start(*grows, folder=folder, snakefile=SMALL))


@pytest.fixture(scope="module")
def finished(start: Start, small: Ran, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The tiny workflow, run to its table; an urgent job takes the GPUs from its training."""
    folder = tmp_path_factory.mktemp("tiny")
    ran = Ran(folder, start("results/demo/table.csv", *TINY, folder=folder))
    until(lambda: (folder / RUN / "resume.pt").exists() or ran.process.poll() is not None, 600)
    assert ran.process.poll() is None, ran.said[-6000:]
    slurm("sbatch", "--partition=urgent", "--gpus=2", "--mem=100", "--output=/dev/null", "--wrap=sleep 2")
    assert ran.wait() == 0, ran.said[-6000:]
    return ran


def test_the_whole_workflow_runs_to_its_table(finished: Ran) -> None:
    table = pd.read_csv(finished.folder / "results/demo/table.csv")
    assert set(table["method"]) == {"real", "reconstruction", "frozen", "syncdiff"}


@pytest.mark.parametrize(
    ("rule", "partition", "memory", "time_limit", "gpus"),
    [
        ("train", "gpu", "32000M", "3-00:00:00", "gres:gpu:1"),
        ("evaluate", "gpu", "16000M", "08:00:00", "gres:gpu:1"),
        ("faces", "cpu", "8000M", "04:00:00", None),
        ("table", "cpu", "2000M", "00:30:00", None),
    ],
)
def test_a_job_asks_for_what_the_profile_says(
    finished: Ran, rule: str, partition: str, memory: str, time_limit: str, gpus: str | None
) -> None:
    job = jobs_of(rule, finished.folder)[0]
    asked = [job[key] for key in ("Partition", "MinMemoryNode", "TimeLimit")]
    assert asked == [partition, memory, time_limit]
    assert job.get("TresPerJob") == gpus


def test_a_preempted_training_goes_on_from_its_checkpoint(finished: Ran) -> None:
    job = jobs_of("train", finished.folder)[0]
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert "train: resumed at step" in (finished.folder / TRAIN_LOG).read_text()


def test_a_cancelled_training_goes_on_when_the_workflow_is_run_again(finished: Ran, start: Start) -> None:
    """The same folder with a longer training; the log of the first run says nothing of resuming."""
    longer = [f"{RUN}/denoiser.safetensors", *TINY, "train={steps: 110}"]
    log, checkpoint = finished.folder / TRAIN_LOG, finished.folder / RUN / "resume.pt"
    before = checkpoint.stat().st_mtime_ns
    first = Ran(finished.folder, start("--retries", "0", *longer, folder=finished.folder))
    # The one of the shorter training is set aside first.
    until(lambda: checkpoint.exists() and checkpoint.stat().st_mtime_ns != before, 60)
    slurm("scancel", jobs_of("train", finished.folder)[-1]["JobId"])
    assert first.wait() != 0
    assert "CANCELLED" in first.said
    assert "resumed" not in log.read_text()
    again = Ran(finished.folder, start(*longer, folder=finished.folder))
    assert again.wait() == 0, again.said[-6000:]
    assert "train: resumed at step" in log.read_text()


def test_without_gpus_nothing_asks_for_one(finished: Ran, start: Start) -> None:
    scores = "results/demo/runs/real/scores.parquet"
    ran = Ran(finished.folder, start("--dry-run", "--force", scores, *TINY, "device=cpu", folder=finished.folder))
    assert ran.wait() == 0, ran.said[-6000:]
    assert "gpu=0" in ran.said
    assert "gpu=1" not in ran.said


def test_a_failed_job_is_tried_again_with_more_and_then_ends_the_run(small: Ran) -> None:
    assert small.wait() != 0
    assert "Error in rule broken" in small.said
    assert "logs/broken.log" in small.said
    assert "no such clip" in small.said
    tried = [(job["JobState"], job["TimeLimit"], job["MinMemoryNode"]) for job in jobs_of("broken", small.folder)]
    assert tried == [
        ("FAILED", "01:00:00", "4000M"),
        ("FAILED", "02:00:00", "8000M"),
        ("FAILED", "03:00:00", "12000M"),
    ]


def test_a_job_out_of_time_is_tried_again_with_more_time(small: Ran) -> None:
    small.wait()
    assert "TIMEOUT" in small.said
    assert (small.folder / "late.txt").exists()
    tried = [(job["JobState"], job["TimeLimit"]) for job in jobs_of("late", small.folder)]
    assert tried == [("TIMEOUT", "00:01:00"), ("COMPLETED", "00:02:00")]


def test_nothing_is_left_in_the_queue(finished: Ran, small: Ran) -> None:
    small.wait()
    assert not [job["JobId"] for job in jobs() if job["JobState"] in ("RUNNING", "PENDING")]
