"""What the pose frame does in sampling: the same weights with Î_{t-1} as it is, and with zeros in its place.

python benchmarks/pose.py [results/demo], from the folder that the run was made in; writes benchmarks/results/pose.json.
All clips of the test split. Zeros are what the denoiser sees in training where the pose frame is dropped.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from machine import one_core, save

from syncdiff.config import Config, merge, parse_config
from syncdiff.evaluation.metrics.bootstrap import mean_interval
from syncdiff.evaluation.score import score_method
from syncdiff.pipeline.provenance import config_of
from syncdiff.synthesis.generate import Callback, Previous
from syncdiff.synthesis.sample import sample_experiment

CPU = torch.device("cpu")
PER_CLIP = ("mouth_corr", "lse_c", "ssim", "flicker_mouth")
RESAMPLES = 1000


def main() -> None:
    """Sample and score with and without, and compare clip by clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo"))
    folder = parser.parse_args().folder
    one_core()
    changes = {"sample": {"max_clips": None}, "evaluate": {"protocols": ["paired"], "bootstrap": 10}}
    config = parse_config(merge(config_of(folder / "runs/syncdiff/denoiser.safetensors"), changes))
    kept = scores(config, folder)
    zeros = scores(config, folder, without_pose)
    figures: dict[str, object] = {"fid": {"kept": fid(kept), "zeros": fid(zeros)}}
    for metric in PER_CLIP:
        low, high = mean_interval((zeros[metric] - kept[metric]).dropna().to_numpy(), RESAMPLES, config.seed)
        means = {"kept": kept[metric].mean(), "zeros": zeros[metric].mean(), "low": low, "high": high}
        figures[metric] = {name: round(float(value), 4) for name, value in means.items()}
    save("pose", {"clips": len(kept.drop(index="")), "zeros_minus_kept": figures})


def without_pose(_: int, previous: Previous) -> Previous:
    """Put zeros in the place of the pose frame."""
    return replace(previous, pose=torch.zeros_like(previous.pose))


def scores(config: Config, folder: Path, callback: Callback | None = None) -> pd.DataFrame:
    """Sample the test split and return its figures: a row a clip, a column a metric; the row "" holds the FID."""
    denoiser, autoencoder = folder / "runs/syncdiff/denoiser.safetensors", folder / "autoencoder"
    [shard] = sorted((folder / "test/shards").glob("*.tar"))
    with tempfile.TemporaryDirectory() as name:
        videos, ledger, out = Path(name, "videos"), Path(name, "ledger.parquet"), Path(name, "scores.parquet")
        sample_experiment(config, shard, denoiser, autoencoder, videos, ledger, CPU, callback)
        score_method(config, "syncdiff", [shard], videos, folder / "syncnet/syncnet.safetensors", out, CPU)
        return pd.read_parquet(out).pivot_table(index="clip", columns="metric", values="value")


def fid(figures: pd.DataFrame) -> float:
    """Return the FID of the whole set."""
    return round(float(figures.loc["", "fid"]), 4)


if __name__ == "__main__":
    main()
