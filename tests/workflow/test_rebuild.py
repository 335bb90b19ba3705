"""What runs again, and when: the same bytes from the same config, and no more work than a change asks for."""

import hashlib
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syncdiff.pipeline.stages import STAGES
from tests.workflow.conftest import ROOT, TINY, Snakemake

pytestmark = pytest.mark.slow

MODELS = {"autoencoder", "latents", "latents_ledger", "train", "baseline", "sample", "evaluate", "table", "report"}
SHARDS = {"shards", "ledger", "syncnet", *MODELS}
FEATURES = {"faces", "priors", "speech", *SHARDS}
ALL = {"corpus", "plan", *FEATURES}
SAMPLES = {"sample", "evaluate", "table", "report"}

# The rebuild matrix: a changed key, and the rules that run again for it.
KEYS = {
    "corpus={demo: {seconds: 2.4}}": ALL,
    "plan={max_seconds: 50}": ALL - {"corpus"},
    "faces={smoothing_frames: 3}": FEATURES,
    "priors={pose_size: 4}": FEATURES - {"faces", "speech"},
    "speech={encoder: mel}": {"speech", *SHARDS},
    "speech={window_frames: 5}": {"train", *SAMPLES},
    "autoencoder={steps: 21}": MODELS,
    "syncnet={steps: 11}": {"syncnet", "evaluate", "table", "report"},
    "denoiser={bottleneck_dim: 8}": {"train", *SAMPLES},
    "pretraining={steps: 11}": {"train", *SAMPLES},
    "train={steps: 21}": {"train", *SAMPLES},
    "validation={clips: 3}": {"report"},  # without `every` nobody reads it
    "sample={steps: 4}": SAMPLES,
    "evaluate={bootstrap: 21}": {"evaluate", "table", "report"},
    "evaluate={groups: {fps: []}}": {"table", "report"},
    "evaluate={study: []}": {"report"},
    "max_failed_fraction=0.5": {"ledger", "report"},
    "seed=1": ALL,
    "mixed_precision=bf16": {"syncnet", *MODELS},
    "device=cpu": {"report"},  # which shows the whole config
}
# The same for a raised version of a stage's code.
VERSIONS = {
    "corpus": ALL,
    "plan": ALL - {"corpus"},
    "faces": FEATURES,
    "priors": FEATURES - {"faces", "speech"},
    "speech": FEATURES - {"faces", "priors"},
    "shards": SHARDS,
    "ledger": {"ledger", "report"},
    "autoencoder": MODELS,
    "latents": MODELS - {"autoencoder", "baseline"},
    "syncnet": {"syncnet", "evaluate", "table", "report"},
    "measures": set(),  # the demo has no thresholds
    "curation": set(),
    "train": {"train", *SAMPLES},
    "sample": SAMPLES,
    "baseline": {"baseline", "evaluate", "table", "report"},
    "evaluate": {"evaluate", "table", "report"},
    "table": {"table", "report"},
    "ablation": set(),  # `eval` does not ask for it
    "report": {"report"},
}


def _reruns(snakemake: Snakemake, folder: Path, *arguments: str, project: Path = ROOT) -> set[str]:
    """Return the rules that a run would run, of those that make something."""
    dry = snakemake("--dry-run", "--nolock", "--configfile", TINY, *arguments, folder=folder, project=project)
    assert dry.returncode == 0, dry.stderr[-3000:]
    return set(re.findall(r"^rule (\w+):$", dry.stdout, re.MULTILINE)) - {"eval"}


def test_run_again_it_has_nothing_to_do(finished: Path, snakemake: Snakemake) -> None:
    assert _reruns(snakemake, finished) == set()


def test_newer_times_rerun_nothing(finished: Path, snakemake: Snakemake) -> None:
    for name in (
        "plan/clips.parquet",
        "train/faces/00000.tar",
        "autoencoder/config.json",
        "syncnet/syncnet.safetensors",
    ):
        (finished / "results/demo" / name).touch()
    assert _reruns(snakemake, finished) == set()


@pytest.mark.parametrize("change", KEYS)
def test_a_changed_key_reruns_what_depends_on_it_and_nothing_else(
    finished: Path, snakemake: Snakemake, change: str
) -> None:
    assert _reruns(snakemake, finished, "--config", change) == KEYS[change]


def test_every_stage_has_a_row() -> None:
    assert VERSIONS.keys() == STAGES.keys()


@pytest.mark.parametrize("stage", VERSIONS)
def test_a_raised_version_reruns_its_stage_and_what_comes_after(
    finished: Path, snakemake: Snakemake, tmp_path: Path, stage: str
) -> None:
    for part in ("syncdiff", "workflow", "config"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path)
    stages = tmp_path / "syncdiff/pipeline/stages.py"
    stages.write_text(stages.read_text().replace(f'"{stage}": Stage(', f'"{stage}": Stage(9'))
    assert _reruns(snakemake, finished, project=tmp_path) == VERSIONS[stage]


def _digests(results: Path) -> dict[str, str]:
    """Return the digest of each artifact of the corpus stages."""
    files = (path for path in sorted(results.rglob("*")) if path.suffix in (".tar", ".parquet", ".mp4", ".txt"))
    kept = (path for path in files if not {"runs", "latents", "syncnet"} & set(path.parts))
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def test_another_folder_and_one_core_give_the_same_bytes(finished: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    done = snakemake("data", "--configfile", TINY, "--cores", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    alone, beside = _digests(tmp_path / "results/demo"), _digests(finished / "results/demo")
    assert any(name.endswith("shards/00000.tar") for name in alone)
    both = alone.keys() & beside.keys()  # the second run has made what only `shards` asks for
    assert [name for name in both if alone[name] != beside[name]] == []
    assert beside.keys() - alone.keys() == {"ledger.parquet", "latents.parquet", "table.parquet"}


def test_a_sync_loss_has_a_syncnet_of_its_own_and_another_one_scores(snakemake: Snakemake, tmp_path: Path) -> None:
    """From nothing: which jobs there are, what they read and with which seed. Without it, none of its files."""
    jobs = _planned(snakemake, tmp_path)
    assert "sync_expert/" not in "".join(jobs)
    assert "mfcc" not in "".join(jobs)
    jobs = _planned(snakemake, tmp_path, "--config", "second_stage={steps: 2, sync_weight: 0.1}", "seed=5")
    scorer, expert = sorted(job for job in jobs if job.startswith("rule syncnet:"))[::-1]
    assert "output: results/demo/sync_expert/syncnet.safetensors" in expert
    assert '"seed": 6' in expert
    assert "output: results/demo/syncnet/syncnet.safetensors" in scorer
    assert '"seed": 5' in scorer
    [train] = [job for job in jobs if job.startswith("rule train:")]
    inputs = next(line for line in train.splitlines() if "input:" in line)
    for name in ("sync_expert/syncnet.safetensors", "autoencoder/config.json", "train/speech/mfcc/00000.tar"):
        assert f"results/demo/{name}" in inputs
    assert "--expert results/demo/sync_expert/syncnet.safetensors" in train
    scores = [job for job in jobs if job.startswith("rule evaluate:")]
    assert scores
    assert "sync_expert" not in "".join(scores)


def test_thresholds_bring_measures_and_verdicts_that_training_sampling_and_scoring_read(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    """From nothing. By default another SyncNet than the scorer curates; without thresholds nothing of it is there."""
    assert "curation.parquet" not in "".join(_planned(snakemake, tmp_path))
    jobs = _planned(snakemake, tmp_path, "--config", "curate={max_chance: 0.03}")
    measures = [job for job in jobs if job.startswith("rule measures:")]
    assert {re.search(r"output: (\S+)", job)[1] for job in measures} == {  # type: ignore[index]
        f"results/demo/{split}/measures/00000.parquet" for split in ("train", "test")
    }
    assert all("--syncnet results/demo/sync_expert/syncnet.safetensors" in job for job in measures)
    [curation] = [job for job in jobs if job.startswith("rule curation:")]
    assert '"max_chance": 0.03' in curation
    assert "max_chance" not in "".join(measures)  # another threshold measures nothing anew
    readers = {re.match(r"rule (\w+):", job)[1] for job in jobs if "--curation results/demo/curation.parquet" in job}  # type: ignore[index]
    assert readers == {"train", "sample", "baseline", "evaluate"}


def test_validation_brings_val_and_the_scorer_to_training_and_without_it_neither_is_there(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    """From nothing. Another sampler for the test clips must not train again."""
    plain = _planned(snakemake, tmp_path)
    assert "results/demo/val/" not in "".join(plain)
    assert '"validation":' not in "".join(job for job in plain if not job.startswith("rule report:"))
    jobs = _planned(snakemake, tmp_path, "--config", "validation={every: 10}", "sample={steps: 7, guidance: 3}")
    [train] = [job for job in jobs if job.startswith("rule train:")]
    inputs = next(line for line in train.splitlines() if "input:" in line)
    for name in ("val/shards/00000.tar", "val/speech/fbank/00000.tar", "syncnet/syncnet.safetensors"):
        assert f"results/demo/{name}" in inputs
    assert "--scorer results/demo/syncnet/syncnet.safetensors" in train
    assert '"every": 10' in train
    assert '"guidance"' not in train
    assert "results/demo/val/latents" not in "".join(jobs)


def test_a_corpus_without_val_is_trained_on_and_said_to_be(snakemake: Snakemake, tmp_path: Path) -> None:
    few = ["corpus={demo: {identities: 3}}", "validation={every: 10}"]
    dry = snakemake("--dry-run", "--printshellcmds", "--configfile", TINY, "--config", *few, folder=tmp_path)
    assert dry.returncode == 0, dry.stderr[-3000:]
    assert (dry.stdout + dry.stderr).count("validation.every: there is no val split") == 1
    assert "--val-shards" not in dry.stdout


def _planned(snakemake: Snakemake, folder: Path, *arguments: str) -> list[str]:
    """Return the text of each job that a run would run."""
    dry = snakemake("--dry-run", "--printshellcmds", "--configfile", TINY, *arguments, folder=folder)
    assert dry.returncode == 0, dry.stderr[-3000:]
    return re.split(r"\n(?=rule \w+:\n)", dry.stdout)


def test_of_two_runs_in_one_folder_one_works_and_the_other_says_why_not(snakemake: Snakemake, tmp_path: Path) -> None:
    """Snakemake's lock. The plan is made once.

    The second begins when the first has its lock: Snakemake looks for a lock and then writes its own, so that two which
    begin in one millisecond both may, or neither.
    """
    plan = "results/demo/plan/clips.parquet"
    with ThreadPoolExecutor(1) as other:
        first = other.submit(snakemake, plan, "--configfile", TINY, folder=tmp_path)
        while not first.done() and not list(tmp_path.glob(".snakemake/locks/*")):
            time.sleep(0.05)
        refused, worked = snakemake(plan, "--configfile", TINY, folder=tmp_path), first.result()
    assert (worked.returncode, refused.returncode) == (0, 1)
    assert "cannot be locked" in refused.stderr
    assert "Finished jobid" not in refused.stderr
    assert (tmp_path / plan).exists()
