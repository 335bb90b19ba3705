"""The ablation: a row for each experiment, averaged over its seeds, and how it differs from `syncdiff` clip by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from syncdiff.config import Config, Experiment
from syncdiff.evaluation.metrics.bootstrap import mean_interval
from syncdiff.pipeline.files import read_parquet, write_text
from syncdiff.report import plots

# Protocol and metric of each figure: does the mouth follow its sound, another clip's and silence, and how does it look?
FIGURES = [
    ("paired", "mouth_corr"),
    ("paired", "lse_c"),
    ("cross", "lse_c"),
    ("silent", "mouth_std_ratio"),
    ("paired", "fid"),
    ("paired", "ssim"),
    ("paired", "flicker_mouth"),
]


def write_ablation(config: Config, scores: Sequence[Path], out_csv: Path, out_svg: Path) -> None:
    """Compare the runs whose files of `score_method` are given, in one table and one figure, in the order of the files.

    Raises:
        UserError: a file of scores is missing or damaged.
    """
    runs = pd.concat([read_parquet(path) for path in scores], ignore_index=True)
    there = [name for name in runs["method"].unique() if name in config.experiments]
    seeds = seeds_of({name: config.experiments[name] for name in there})
    table = compare(runs, seeds, config.evaluate.bootstrap, config.seed)
    write_text(out_csv, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(out_svg, plots.to_svg(plots.ablation(table)))


def seeds_of(experiments: Mapping[str, Experiment]) -> dict[str, list[str]]:
    """Group the runs that differ in the seed alone: name of the first -> names of all; `syncdiff` comes first."""
    groups: dict[str, list[str]] = {}
    for name, experiment in {"syncdiff": Experiment(), **experiments}.items():
        changes = experiment.model_dump_json(exclude={"seed"}, exclude_defaults=True)
        groups.setdefault(changes, []).append(name)
    return {names[0]: names for names in groups.values()}


def compare(scores: pd.DataFrame, seeds: Mapping[str, Sequence[str]], resamples: int, seed: int) -> pd.DataFrame:
    """Return one row per experiment and figure.

    Args:
        scores: tidy rows of all runs, `syncdiff` among them.
        seeds: experiment -> its runs; those without scores are left out.
        resamples: of clips behind each interval.
        seed: of the resamples.

    Returns:
        Rows with experiment, n_seeds, protocol, metric, value, ci_low, ci_high (of the mean over seeds of each clip),
        seed_low, seed_high (least and greatest of the seeds), difference, difference_low, difference_high (to
        `syncdiff`, clip by clip). A figure of a whole set, as FID, has an interval where one seed is behind it, and
        its difference has none.
    """
    rows = []
    for protocol, metric in FIGURES:
        own = scores[(scores["protocol"] == protocol) & (scores["metric"] == metric)]
        values = own.pivot_table(index="clip", columns="method", values="value", sort=False)
        bounds = own.set_index("method")[["ci_low", "ci_high"]].apply(tuple, axis=1)
        for name, runs in seeds.items():
            there = [run for run in runs if run in values]
            base = [run for run in seeds["syncdiff"] if run in values]
            if there and base:
                row = _row(values[there], values[base], resamples, seed)
                if "" in values.index and len(there) == 1:
                    row["ci_low"], row["ci_high"] = bounds[there[0]]
                rows.append({"experiment": name, "protocol": protocol, "metric": metric, **row})
    return pd.DataFrame(rows)


def _row(values: pd.DataFrame, base: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Summarise the values (clips, seeds) of an experiment against those of `syncdiff`."""
    of_clips, of_seeds = values.mean(axis=1).dropna(), values.mean()
    difference = (of_clips - base.mean(axis=1)).dropna()
    low, high = mean_interval(of_clips.to_numpy(), resamples, seed)
    difference_low, difference_high = mean_interval(difference.to_numpy(), resamples, seed)
    return {
        "n_seeds": len(of_seeds),
        "value": of_clips.mean(),
        "ci_low": low,
        "ci_high": high,
        "seed_low": of_seeds.min(),
        "seed_high": of_seeds.max(),
        "difference": difference.mean(),
        "difference_low": difference_low,
        "difference_high": difference_high,
    }
