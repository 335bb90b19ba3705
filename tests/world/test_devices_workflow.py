"""What the workflow asks for: GPUs where there is a network, and features of the checkpoint that is named."""

import re
from pathlib import Path

import pytest

from tests.workflow.conftest import TINY, Snakemake, snakemake

__all__ = ["snakemake"]
pytestmark = pytest.mark.slow


def test_an_experiment_with_another_checkpoint_has_features_of_its_own(snakemake: Snakemake, tmp_path: Path) -> None:
    """And scoring a method names no other external one."""
    for name in ("base.pt", "other.pt"):
        (tmp_path / name).touch()
    dry = snakemake(
        *("--dry-run", "--printshellcmds", "--configfile", TINY, "--config"),
        "speech={checkpoint: base.pt, frozen_layers: 3}",
        "experiments={other: {speech: {checkpoint: other.pt}}}",
        "evaluate={external: {wav2lip: elsewhere}}",
        "device=cuda",
        *("--", "results/demo/runs/other/denoiser.safetensors", "results/demo/runs/real/scores.parquet"),
        folder=tmp_path,
    )
    assert dry.returncode == 0, dry.stdout[-2000:] + dry.stderr[-3000:]
    jobs = re.split(r"\n(?=rule \w+:\n)", dry.stdout)
    [train] = [job for job in jobs if job.startswith("rule train:")]
    folder = re.search(r"train/speech/(avhubert3-[0-9a-f]{8})/", train)
    assert folder, train
    [own] = [job for job in jobs if job.startswith("rule speech_network:") and folder[1] in job]
    assert '"checkpoint": "other.pt"' in own
    assert "gpu=1" in own
    assert "syncdiff speech avhubert3 " in own
    [score] = [job for job in jobs if job.startswith("rule evaluate:")]
    assert "wav2lip" not in score
