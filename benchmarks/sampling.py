"""Speed of sampling against quality: solvers, steps, guidance and wavefront on the test clips of a finished run.

python benchmarks/sampling.py [results/demo], from the folder that the run was made in; writes
benchmarks/results/sampling.json and sampling.svg. The reference is DDIM in 50 steps, frame by frame. frames/s are those
of one core's time: of the stage, which batches the clips and writes their videos, and of one clip alone, crops only.
GFLOP are those of one output frame, encoder and decoder included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from machine import RESULTS, one_core, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from syncdiff.config import Config, merge, parse_config
from syncdiff.evaluation.score import score_method
from syncdiff.models.cost import NetworkCosts
from syncdiff.pipeline.provenance import config_of
from syncdiff.registry.metrics import METRICS
from syncdiff.report.plots import to_svg
from syncdiff.speech.extract import features
from syncdiff.synthesis.generate import Target, generate, load_networks
from syncdiff.synthesis.protocols import driving_audio, scored_clips
from syncdiff.synthesis.sample import Job, sample_experiment

CPU = torch.device("cpu")
DDIM, DPM = "ddim", "dpm_solver++"
SETTINGS = [  # sampler, steps, steps of the frame before (None: all), guidance
    (DDIM, 50, None, 2.0),
    (DDIM, 10, None, 2.0),
    (DPM, 2, None, 2.0),
    (DPM, 3, 1, 2.0),
    (DPM, 2, 1, 2.0),
    (DPM, 1, 1, 2.0),
    (DPM, 2, 1, 1.0),
    (DPM, 2, 1, 1.5),
    (DPM, 2, 1, 3.0),
]
KEYS = ("sampler", "steps", "pose_steps", "guidance")
MEASURES = ("mouth_corr", "lse_c", "ssim", "flicker_mouth", "fid")
ONE_CLIP_WARM_UP, ONE_CLIP_FRAMES = 3, 50
WAYS: list[tuple[str, str, str, Callable[[dict[str, Any]], bool], str]] = [  # which rows they are, and what marks them
    ("DDIM (steps)", "s", "#8b93a1", lambda row: row["sampler"] == DDIM, "steps"),
    (
        "DPM-Solver++, frame by frame (steps)",
        "o",
        "#2a9d8f",
        lambda row: row["sampler"] == DPM and not row["pose_steps"],
        "steps",
    ),
    ("wavefront (steps)", "D", "#3b74e8", lambda row: row["pose_steps"] and row["guidance"] == 2, "steps"),
    ("wavefront, 2 steps (guidance)", "^", "#d9822b", lambda row: row["pose_steps"] and row["steps"] == 2, "guidance"),
]


def main() -> None:
    """Sample and score the same clips with each setting, and keep speed beside quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo"))
    folder = parser.parse_args().folder
    one_core()
    rows = []
    for setting in SETTINGS:
        settings = dict(zip(KEYS, setting, strict=True))
        rows.append({**settings, **measured(folder, settings)})
        print(json.dumps(rows[-1]), flush=True)
    save("sampling", {"clips": int(rows[0]["clips"]), "settings": rows})
    draw(rows, RESULTS / "sampling.svg")


def measured(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return speed and scores of one setting, under the protocol `paired`."""
    denoiser, autoencoder = folder / "runs/syncdiff/denoiser.safetensors", folder / "autoencoder"
    changes = {"sample": settings, "evaluate": {"protocols": ["paired"], "bootstrap": 10}}
    config = parse_config(merge(config_of(denoiser), changes))
    [shard] = sorted((folder / "test/shards").glob("*.tar"))
    with tempfile.TemporaryDirectory() as name:
        videos, ledger, scores = Path(name, "videos"), Path(name, "ledger.parquet"), Path(name, "scores.parquet")
        start = time.process_time()
        sample_experiment(config, shard, denoiser, autoencoder, videos, ledger, CPU)
        seconds = time.process_time() - start
        made = pd.read_parquet(ledger)
        score_method(config, "syncdiff", [shard], videos, folder / "syncnet/syncnet.safetensors", scores, CPU)
        values = pd.read_parquet(scores).groupby("metric")["value"].mean()  # over clips; of FID there is one
    speed = {"clips": len(made), "frames_per_s": round(made["n_frames"].sum() / seconds, 1)}
    alone = {"one_clip_frames_per_s": one_clip(config, shard, denoiser, autoencoder)}
    figures = {measure: round(float(values[measure]), 4) for measure in MEASURES}
    return {**speed, **alone, "gflop_per_frame": round(NetworkCosts(config).frame_gflop(), 3), **figures}


def one_clip(config: Config, shard: Path, denoiser: Path, autoencoder: Path) -> float:
    """Return the frames/s of one clip, sampled alone; the first time, where torch sets itself up, does not count."""
    networks = load_networks(config, denoiser, autoencoder, CPU)
    [sample] = scored_clips(shard, 1)
    driving = driving_audio("paired", sample, None)
    assert driving is not None
    job = Job(sample, "paired", driving)
    speech = features(driving.audio, driving.n_frames, config.speech.feature_set, config.speech)

    def seconds(n_frames: int) -> float:
        target = Target(job.crops[:n_frames], job.identity, speech[:n_frames], noise_seed=config.seed)
        start = time.process_time()
        assert len(list(generate(networks, [target]))) == n_frames
        return time.process_time() - start

    seconds(ONE_CLIP_WARM_UP)
    return round(ONE_CLIP_FRAMES / seconds(ONE_CLIP_FRAMES), 1)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot quality against the frames/s of one clip; shaded is what counts as no worse than the reference."""
    reference = rows[0]
    margins = {"mouth_corr": 0.02, "ssim": 0, "flicker_mouth": 0, "fid": 0.05 * reference["fid"]}
    figure = Figure(figsize=(10.4, 6.4), layout="constrained", facecolor="white")
    for index, (measure, margin) in enumerate(margins.items()):
        axes = figure.add_subplot(2, 2, index + 1)
        axes.axhspan(reference[measure] - margin, reference[measure] + margin, color="0.92", lw=0.8, zorder=0)
        plot(axes, rows, measure)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), ncols=4, frameon=False, loc="outside upper center")
    path.write_text(to_svg(figure))


def plot(axes: Axes, rows: list[dict[str, Any]], measure: str) -> None:
    """Draw one measure: a line a way of sampling, the number of steps or the guidance beside each point."""
    for label, marker, colour, belongs, note in WAYS:
        own = sorted((row for row in rows if belongs(row)), key=itemgetter(note))
        speed, quality = ([row[key] for row in own] for key in ("one_clip_frames_per_s", measure))
        axes.plot(speed, quality, marker, ls="-", lw=1, ms=5, color=colour, label=label)
        for row, x, y in zip(own, speed, quality, strict=True):
            axes.annotate(f"{row[note]:g}", (x, y), xytext=(3, 4), textcoords="offset points", fontsize=8, color=colour)
    axes.axvline(25, color="0.6", lw=0.8, ls=":")
    axes.set(xlabel="frames/s of one clip, one core", ylabel=METRICS[measure].heading, xscale="log")
    axes.set_xticks([1, 2, 5, 10, 25, 50], labels=["1", "2", "5", "10", "25", "50"])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
