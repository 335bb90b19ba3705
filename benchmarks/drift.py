"""Drift over long clips: figures second by second along clips of 10 s and more of people unseen in training.

python benchmarks/drift.py [results/demo] [--keep FOLDER]; writes benchmarks/results/drift.json and drift.svg. Renders
clips with the demo corpus's generator, prepares them by the stages of the workflow, and samples them with the networks
of a finished run. Beside them, to tell drift from what is harder to say late in these clips: the same clips with the
autoregression begun anew at 7 s, and the autoencoder's round trip, which knows no previous frame.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from machine import RESULTS, one_core, save
from matplotlib.figure import Figure

from syncdiff.config import Config, merge, parse_config
from syncdiff.corpus.demo import FIRST_PROGRAMME
from syncdiff.corpus.demo.clip import Script, render_identity
from syncdiff.corpus.demo.person import random_person
from syncdiff.corpus.demo.sentences import unique_sentences
from syncdiff.corpus.demo.speech import speak
from syncdiff.evaluation.metrics.bootstrap import interval, resample
from syncdiff.evaluation.metrics.mouth import mouth_corr
from syncdiff.evaluation.score import score_method
from syncdiff.faces.shard import faces_shard
from syncdiff.media.audio import SAMPLE_RATE
from syncdiff.media.video import FPS, read_frames
from syncdiff.pipeline.files import read_parquet, write_parquet
from syncdiff.pipeline.provenance import config_of
from syncdiff.priors import priors_shard
from syncdiff.registry.metrics import METRICS
from syncdiff.report.plots import colour_of, to_svg
from syncdiff.shards.pack import pack_shard
from syncdiff.speech.shard import speech_shard
from syncdiff.synthesis.generate import Previous
from syncdiff.synthesis.sample import sample_baseline, sample_experiment

CPU = torch.device("cpu")
CLIPS, SECONDS = 12, 11.0  # a text takes only about so long; those that take less than LATE are passed over
EARLY, LATE = (1, 3), (8, 10)  # seconds that are compared
METHODS = ("syncdiff", "restarted", "reconstruction")
LABELS = {
    "syncdiff": "SyncDiff",
    "restarted": "SyncDiff, begun anew at 7 s",
    "reconstruction": "autoencoder round trip",
}
RESTART = 7 * FPS  # frame
BEGIN = {"mouth_corr": 0, "ssim": 0, "aperture_error": 0, "flicker_mouth": 1}  # frame of a series' first value
RESAMPLES = 1000
SHEET_TIMES = (0.5, 1.5, 2.5, 7.5, 8.5, 9.5)  # seconds
Series = dict[str, dict[str, list[np.ndarray]]]  # method -> metric -> a series a clip


def main() -> None:
    """Render, prepare, sample, score, and compare seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo"))
    parser.add_argument("--keep", type=Path, help="folder for what is made; what it holds already is not made again")
    arguments = parser.parse_args()
    one_core()
    with tempfile.TemporaryDirectory() as name:
        made = arguments.keep or Path(name)
        config = run_config(arguments.folder)
        shard = prepared(config, made)
        scores = pd.concat([scored(config, method, shard, arguments.folder, made) for method in ("real", *METHODS)])
        contact_sheet(shard, made, made / "sheet.png")
    series = by_clip(scores)
    figures = {method: {metric: windows(series, method, metric) for metric in BEGIN} for method in METHODS}
    compared = {method: {metric: ratio(series, method, metric) for metric in BEGIN} for method in METHODS}
    changes = {metric: since_restart(series, metric) for metric in BEGIN}
    lengths = [len(clip) for clip in series["real"]["mouth_aperture"]]
    save(
        "drift",
        {
            "clips": len(lengths),
            "shortest_s": round(min(lengths) / FPS, 1),
            "late_over_early": compared,
            "late_minus_late_restarted": changes,
            "by_second": figures,
        },
    )
    draw(figures, RESULTS / "drift.svg")


def run_config(folder: Path) -> Config:
    """Return the config of the run's denoiser, for long clips under the protocol `paired`."""
    changes = {
        "corpus": {"demo": {"seconds": SECONDS}},
        "sample": {"max_clips": None},
        "evaluate": {"protocols": ["paired"], "bootstrap": 10},
    }
    return parse_config(merge(config_of(folder / "runs/syncdiff/denoiser.safetensors"), changes))


def prepared(config: Config, folder: Path) -> Path:
    """Render clips of people beyond those of the run's corpus, and join their faces, priors and speech to a shard."""
    stages = ("plan", "faces", "priors", "speech", "shards")
    plan, faces, priors, speech, shard = (folder / f"{stage}.tar" for stage in stages)
    if shard.exists():
        return shard
    rows = [row for person in range(CLIPS) for row in rendered(config, folder, person)]
    write_parquet(plan, pd.DataFrame(rows))
    faces_shard(config, plan, "test", "0", faces, faces.with_suffix(".parquet"))
    priors_shard(config, faces, priors, priors.with_suffix(".parquet"))
    speech_shard(config, [config.speech.feature_set], faces, speech, speech.with_suffix(".parquet"))
    pack_shard(config, faces, priors, speech, shard, shard.with_suffix(".parquet"), shard.with_suffix(".json"))
    return shard


def rendered(config: Config, folder: Path, person: int) -> Iterator[dict[str, object]]:
    """Render one clip of a person whom no corpus of this size holds; yield its row of a plan."""
    demo = config.corpus.demo
    identity = demo.identities + person
    voice = random_person(np.random.default_rng([config.seed, identity])).voice
    texts = unique_sentences(np.random.default_rng([config.seed, identity]), demo.seconds)
    text = next(text for text in texts if len(speak(text, voice).audio) >= LATE[1] * SAMPLE_RATE)
    clip = f"{FIRST_PROGRAMME + identity}/00001"
    render_identity(Script(identity, {clip: text}), folder, demo.size, config.seed)
    video = folder / "mvlrs_v1/main" / f"{clip}.mp4"
    facts = {"clip": clip, "video": str(video), "width": demo.size, "height": demo.size, "text": ""}
    yield {**facts, "status": "ok", "split": "test", "shard": "0"}


def scored(config: Config, method: str, shard: Path, run: Path, made: Path) -> pd.DataFrame:
    """Sample a method's videos, where it has some, and return its scores."""
    out, videos = made / f"{method}.parquet", made / method
    if not out.exists():
        ledger, autoencoder = made / f"{method}-ledger.parquet", run / "autoencoder"
        denoiser = run / "runs/syncdiff/denoiser.safetensors"
        if method in ("syncdiff", "restarted"):
            callback = Restart() if method == "restarted" else None
            sample_experiment(config, shard, denoiser, autoencoder, videos, ledger, CPU, callback)
        elif method == "reconstruction":
            sample_baseline(config, method, shard, autoencoder, videos, ledger, CPU)
        source = None if method == "real" else videos
        score_method(config, method, [shard], source, run / "syncnet/syncnet.safetensors", out, CPU)
    return pd.read_parquet(out)


class Restart:
    """Let the identity frame come before frame RESTART, as before frame 0; nothing else is changed."""

    def __call__(self, t: int, previous: Previous) -> Previous:
        """Keep what comes before frame 0, and give it back at RESTART for the clips that are that long."""
        if t == 0:
            self.first = previous
        n = len(previous.pose)
        return Previous(self.first.pose[:n], self.first.latents[:n]) if t == RESTART else previous


def by_clip(scores: pd.DataFrame) -> Series:
    """Return the series (T,) of each metric that has one, clips in the same order everywhere."""
    kept = scores[scores["series"].notna()].sort_values("clip")
    return {
        str(method): {str(metric): rows["series"].tolist() for metric, rows in group.groupby("metric")}
        for method, group in kept.groupby("method")
    }


def values(series: Series, method: str, metric: str, seconds: tuple[float, float]) -> np.ndarray:
    """Return a metric within a window of time, a value a clip (n,)."""
    cut = slice(*(max(0, round(second * FPS) - BEGIN[metric]) for second in seconds))
    if metric == "mouth_corr":
        pairs = zip(series[method]["mouth_aperture"], series["real"]["mouth_aperture"], strict=True)
        return np.array([mouth_corr(generated[cut], real[cut]) for generated, real in pairs])
    return np.array([clip[cut].mean() for clip in series[method][metric]])


def windows(series: Series, method: str, metric: str) -> list[dict[str, float]]:
    """Return a metric in each whole second that all clips have: the mean over clips and its interval."""
    n_seconds = min(len(clip) for clip in series["real"]["mouth_aperture"]) // FPS
    return [
        {"second": second, **bounded(values(series, method, metric, (second, second + 1)))}
        for second in range(n_seconds)
    ]


def bounded(sample: np.ndarray) -> dict[str, float]:
    """Return the mean of values (n,) of clips and its interval."""
    means = sample[resample(len(sample), RESAMPLES, 0)].mean(axis=1)
    return rounded(float(sample.mean()), interval(means))


def ratio(series: Series, method: str, metric: str) -> dict[str, float]:
    """Return a metric early and late, and late over early with the interval of that: the same clips in both."""
    early, late = (values(series, method, metric, seconds) for seconds in (EARLY, LATE))
    draws = resample(len(early), RESAMPLES, 0)
    ratios = late[draws].mean(axis=1) / early[draws].mean(axis=1)
    change = rounded(float(late.mean() / early.mean()), interval(ratios))
    return {"early": round(float(early.mean()), 4), "late": round(float(late.mean()), 4), **change}


def since_restart(series: Series, metric: str) -> dict[str, float]:
    """Return a metric late in clips, less its value there with the autoregression begun anew shortly before."""
    going_on, anew = (values(series, method, metric, LATE) for method in ("syncdiff", "restarted"))
    return bounded(going_on - anew)


def rounded(value: float, bounds: tuple[float, float]) -> dict[str, float]:
    """A value and its interval, in four digits."""
    return {"value": round(value, 4), "low": round(bounds[0], 4), "high": round(bounds[1], 4)}


def draw(figures: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]], path: Path) -> None:
    """Plot each metric over the seconds, with its interval."""
    figure = Figure(figsize=(10, 5.6), layout="constrained", facecolor="white")
    for index, metric in enumerate(BEGIN):
        axes = figure.add_subplot(2, 2, index + 1)
        for seconds in (EARLY, LATE):
            axes.axvspan(*seconds, color="0.94", zorder=0)
        for method in METHODS:
            table = pd.DataFrame(figures[method][metric])
            time, colour = table["second"] + 0.5, colour_of(method, METHODS)
            axes.fill_between(time, table["low"], table["high"], color=colour, alpha=0.15, linewidth=0)
            axes.plot(time, table["value"], "o-", ms=3, lw=1.4, color=colour, label=LABELS[method])
        axes.set(xlabel="seconds", ylabel=METRICS[metric].heading)
        if metric != "ssim":
            axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, loc="lower left")
    path.write_text(to_svg(figure))


def contact_sheet(shard: Path, made: Path, out: Path) -> None:
    """Write real pictures above generated ones, clip by clip, in the first and in the last of the seconds."""
    plan = read_parquet(shard.with_name("plan.tar"))
    rows = []
    for row in plan.to_dict("records"):
        for video in (Path(row["video"]), made / "syncdiff/paired" / f"{row['clip']}.mp4"):
            shown = {round(second * FPS) for second in SHEET_TIMES}
            rows.append(np.hstack([frame for index, frame in enumerate(read_frames(video)) if index in shown]))
    cv2.imwrite(str(out), np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
