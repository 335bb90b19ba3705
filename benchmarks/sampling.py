"""Speed of sampling against quality: solvers, steps and guidance on the test clips of a finished run.

python benchmarks/sampling.py [results/demo]; writes benchmarks/results/sampling.json and sampling.svg. The reference is
DDIM in 50 steps. GFLOP are those of one output frame, encoder and decoder included; frames/s of one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from machine import RESULTS, one_core, save

from syncdiff.config import merge, parse_config
from syncdiff.evaluation.score import score_method
from syncdiff.models.cost import Networks
from syncdiff.provenance import config_of
from syncdiff.synthesis.split import sample_experiment

CPU = torch.device("cpu")
SETTINGS = [
    {"sampler": "ddim", "steps": 50, "guidance": 2.0},
    {"sampler": "ddim", "steps": 10, "guidance": 2.0},
    {"sampler": "dpm_solver++", "steps": 10, "guidance": 2.0},
    {"sampler": "dpm_solver++", "steps": 5, "guidance": 2.0},
    {"sampler": "dpm_solver++", "steps": 3, "guidance": 2.0},
    {"sampler": "dpm_solver++", "steps": 2, "guidance": 2.0},
    {"sampler": "dpm_solver++", "steps": 1, "guidance": 2.0},
    {"sampler": "dpm_solver++", "steps": 3, "guidance": 1.0},
]
MEASURES = ("mouth_corr", "lse_c", "ssim", "fid")


def main() -> None:
    """Sample and score the same clips with each setting, and keep speed beside quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo"))
    folder = parser.parse_args().folder
    one_core()
    rows = []
    for setting in SETTINGS:
        rows.append({**setting, **measured(folder, setting)})
        print(json.dumps(rows[-1]), flush=True)
    save("sampling", {"clips": int(rows[0]["clips"]), "settings": rows})
    draw(rows, RESULTS / "sampling.svg")


def measured(folder: Path, setting: dict[str, object]) -> dict[str, float]:
    """Return speed and scores of one setting, under the protocol `paired`."""
    denoiser = folder / "runs/syncdiff/denoiser.safetensors"
    changes = {"sample": setting, "evaluate": {"protocols": ["paired"], "bootstrap": 1}}
    config = parse_config(merge(config_of(denoiser), changes))
    [shard] = sorted((folder / "test/shards").glob("*.tar"))
    with tempfile.TemporaryDirectory() as name:
        videos, ledger, scores = Path(name, "videos"), Path(name, "ledger.parquet"), Path(name, "scores.parquet")
        start = time.process_time()
        sample_experiment(config, shard, denoiser, folder / "autoencoder", videos, ledger, CPU)
        seconds = time.process_time() - start
        made = pd.read_parquet(ledger)
        score_method(config, "syncdiff", [shard], videos, folder / "syncnet/syncnet.safetensors", scores, CPU)
        values = pd.read_parquet(scores).query("clip == ''").set_index("metric")["value"]
    speed = {"clips": len(made), "frames_per_s": round(made["n_frames"].sum() / seconds, 1)}
    figures = {measure: round(float(values[measure]), 4) for measure in MEASURES}
    return {**speed, "gflop_per_frame": round(Networks(config).frame_gflop(), 3), **figures}


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """Plot mouth_corr and SSIM against frames/s, with the number of steps at each point."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, measure in zip(axes, ("mouth_corr", "ssim"), strict=True):
        for sampler, marker in (("ddim", "s"), ("dpm_solver++", "o")):
            own = [row for row in rows if row["sampler"] == sampler and row["guidance"] != 1]
            speed, quality = ([row[key] for row in own] for key in ("frames_per_s", measure))
            axis.plot(speed, quality, marker, ls="-", label=sampler)
            for row in own:
                axis.annotate(f" {row['steps']}", (row["frames_per_s"], row[measure]), fontsize=8)
        axis.set(xlabel="frames/s, one core", ylabel=measure, xscale="log")
    axes[0].legend(title="solver, steps")
    figure.savefig(path)


if __name__ == "__main__":
    main()
