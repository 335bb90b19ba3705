"""The figures of the report, as SVG whose bytes depend on the data alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from syncdiff.config import Curate
from syncdiff.curation.measures import MEASURES, SIGNED
from syncdiff.evaluation.metrics.bootstrap import mean_interval
from syncdiff.evaluation.names import method_label
from syncdiff.media.video import FPS
from syncdiff.registry.metrics import DRIFT, METRICS
from syncdiff.report.drift import course, slope

INK = "#1f2430"  # the page replaces it by the text colour of its theme
MUTED = "#8b93a1"
ACCENT = "#3b74e8"
COLOURS = {"real": INK, "reconstruction": "#2a9d8f", "frozen": MUTED, "syncdiff": ACCENT}
REJECTED = "#d9822b"
MORE_COLOURS = ("#d9822b", "#a55cc2", "#c8504f", "#6d8f2f", "#1f9bcf", "#b0785a")
STYLE: Any = {
    "svg.hashsalt": "syncdiff",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,  # names of clips may have dollars
}
WIDTH = 10.4  # inches
SMOOTHING = 0.9  # of the exponential average over logged losses
HISTOGRAM_BINS = 24
WHOLE_FRAMES = np.arange(-15.5, 16)  # the bins of offsets
RESAMPLES = 1000  # behind each interval


@mpl.rc_context(STYLE)
def to_svg(figure: Figure) -> str:
    """Render a figure: the same data give the same text."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


@mpl.rc_context(STYLE)
def curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the losses of each training run over its steps: as logged (faint) and smoothed.

    Args:
        logs: run -> table with the columns step, learning_rate, loss and others.
    """
    figure, grid = _panels(len(logs), columns=3, height=2.3)
    for axes, (name, log) in zip(grid, logs.items(), strict=False):
        names = [column for column in log.columns if column not in ("step", "learning_rate")]
        for column, colour in zip(names, cycle([ACCENT, *MORE_COLOURS]), strict=False):
            smooth = log[column].ewm(alpha=1 - SMOOTHING).mean()
            axes.plot(log["step"], log[column], color=colour, alpha=0.2, linewidth=0.7)
            axes.plot(log["step"], smooth, color=colour, linewidth=1.4, label=f"{column} {smooth.iloc[-1]:.3g}")
        axes.set_yscale("log" if bool((log[names] > 0).all(axis=None)) else "symlog")  # a critic's score has both signs
        axes.minorticks_off()
        axes.set(title=name, xlabel="step")
        axes.legend(fontsize=8, loc="best")
    return figure


@mpl.rc_context(STYLE)
def validation(looks: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw what validation saw over the steps of each run; a ring is around the step whose weights are kept.

    Args:
        looks: run -> rows of `validation.csv`: step, loss_train, loss_val, figures of val's clips, kept.
    """
    figures = [name for name in next(iter(looks.values())).columns if name in METRICS]
    figure, grid = _panels(1 + len(figures), columns=3, height=2.3)
    for run, rows in looks.items():
        colour = colour_of(run, list(looks))
        grid[0].plot(rows["step"], rows["loss_train"], color=colour, linewidth=1.2, linestyle="--")
        for axes, name in zip(grid, ["loss_val", *figures], strict=True):
            axes.plot(rows["step"], rows[name], ".-", color=colour, linewidth=1.4, markersize=5)
            kept = rows[rows["kept"] == 1]
            ring: Any = {"markerfacecolor": "none", "markeredgewidth": 1.4, "markersize": 11, "clip_on": False}
            axes.plot(kept["step"], kept[name], "o", color=colour, **ring)
    titles = ["Loss at the lips ↓", *(METRICS[name].heading for name in figures)]
    for axes, title in zip(grid, titles, strict=True):
        axes.set(title=title, xlabel="step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    styles: Any = {"val": {"linestyle": "-", "marker": "."}, "training clips": {"linestyle": "--"}}
    lines = [Line2D([], [], color=MUTED, label=name, **style) for name, style in styles.items()]
    grid[0].legend(handles=lines, fontsize=8, loc="best")
    names = [Line2D([], [], color=colour_of(run, list(looks)), label=method_label(run)) for run in looks]
    figure.legend(handles=names, ncols=len(names), fontsize=8, loc="outside upper right")
    return figure


@mpl.rc_context(STYLE)
def sync_distribution(scores: pd.DataFrame, methods: Sequence[str], seed: int) -> Figure:
    """Draw LSE-C clip by clip: a dot each, the mean and its interval above them.

    Args:
        scores: tidy rows of all methods.
        methods: in the order of the rows; `real` and `syncdiff` also under the other protocols.
        seed: of the bootstrap.
    """
    rows = [(method, "paired") for method in methods]
    rows += [(method, protocol) for protocol in ("cross", "silent") for method in ("real", "syncdiff")]
    lse_c = scores[scores["metric"] == "lse_c"].dropna(subset=["value"])
    values = {row: lse_c[(lse_c["method"] == row[0]) & (lse_c["protocol"] == row[1])]["value"] for row in rows}
    values = {row: clips for row, clips in values.items() if len(clips) and row != ("real", "silent")}
    figure = Figure(figsize=(WIDTH, 0.7 + 0.34 * len(values)), layout="constrained")
    axes = figure.add_subplot()
    for y, ((method, _), clips) in enumerate(values.items()):
        _strip(axes, y, clips.to_numpy(float), colour_of(method, methods), seed)
    axes.set_yticks(range(len(values)), [_row_label(*row) for row in values], color=INK)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("LSE-C, by " + ", ".join(sorted(lse_c["scorer"].unique())))
    return figure


@mpl.rc_context(STYLE)
def mouth_traces(scores: pd.DataFrame, clips: Sequence[str], methods: Sequence[str]) -> Figure:
    """Draw the mouth aperture over time under the clip's own sound, real against generated.

    Args:
        scores: tidy rows of all methods; those of the mouth aperture carry a `series`.
        clips: one panel each.
        methods: one line each.
    """
    traces = _series(scores, "mouth_aperture")
    figure, grid = _panels(len(clips), columns=2, height=1.75)
    for axes, clip in zip(grid, clips, strict=False):
        for method in methods:
            for series in traces[(traces["clip"] == clip) & (traces["method"] == method)]["series"]:
                width = 1.8 if method in ("real", "syncdiff") else 1.0
                colour = colour_of(method, methods)
                axes.plot(
                    np.arange(len(series)) / FPS, series, color=colour, linewidth=width, label=method_label(method)
                )
        axes.set(title=clip, xlabel="seconds", ylim=(0, None))
        axes.margins(x=0)
    if len(clips):
        figure.legend(*grid[0].get_legend_handles_labels(), ncols=len(methods), fontsize=8, loc="outside upper right")
    return figure


@mpl.rc_context(STYLE)
def drift(scores: pd.DataFrame, methods: Sequence[str], seed: int) -> Figure:
    """Draw figures over time along the clips, under the clip's own sound: the mean over clips with its interval.

    Below each panel stands, in the colours of the methods, the slope per second with its interval, and how many clips
    have the first and the last of the frames. Lines are faint where fewer than half of the clips are left.

    Args:
        scores: tidy rows of all methods; those of the metrics in `DRIFT` carry a `series`.
        methods: one line each.
        seed: of the bootstrap.
    """
    figure, grid = _panels(len(DRIFT), columns=3, height=2.8 + 0.15 * len(methods))
    for axes, (metric, first) in zip(grid, DRIFT.items(), strict=True):
        rows = _series(scores, metric)
        for method in methods:
            series = rows[rows["method"] == method]["series"].tolist()
            if series:
                _course(axes, series, first / FPS, METRICS[metric].digits + 1, colour_of(method, methods), seed)
        axes.set(title=METRICS[metric].heading, xlabel="seconds")
        axes.margins(x=0)
        title = "slope per second (95 % interval), clips at start → end"
        below: Any = {"loc": "upper left", "bbox_to_anchor": (-0.05, -0.2), "alignment": "left"}
        axes.legend(handles=axes.get_legend_handles_labels()[0], title=title, fontsize=8, title_fontsize=8, **below)
    names = [Line2D([], [], color=colour_of(method, methods), label=method_label(method)) for method in methods]
    figure.legend(handles=names, ncols=len(methods), fontsize=8, loc="outside upper right")
    return figure


@mpl.rc_context(STYLE)
def ablation(table: pd.DataFrame) -> Figure:
    """Draw each figure of each experiment with its interval; faint ticks are the least and the greatest of its seeds.

    Args:
        table: of `evaluation.ablation.compare`; the broken line is its first experiment, `syncdiff`.
    """
    n_seeds = table.groupby("experiment", sort=False)["n_seeds"].max()
    labels = map(method_label, table["experiment"].unique())
    names = [f"{label}, {n} seeds" if n > 1 else label for label, n in zip(labels, n_seeds, strict=True)]
    panels = [rows for _, rows in table.groupby(["protocol", "metric"], sort=False)]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.26 * len(names)), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True)
    for axes, rows in zip(grid, panels, strict=True):
        axes.axvline(rows["value"].iloc[0], color=ACCENT, linewidth=0.8, linestyle="--")
        for y, (_, row) in enumerate(rows.set_index("experiment").reindex(n_seeds.index).iterrows()):
            colour = ACCENT if y == 0 else INK
            axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=2, solid_capstyle="round")
            axes.plot([row["seed_low"], row["seed_high"]], [y, y], "|", color=colour, alpha=0.5, markersize=9)
            axes.plot([row["value"]], [y], "o", color=colour, markersize=4.5)
        axes.set_title(f"{METRICS[rows['metric'].iloc[0]].heading}\n{rows['protocol'].iloc[0]}", fontsize=8)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.5)
    grid[0].set_yticks(range(len(names)), names, color=INK)
    grid[0].invert_yaxis()
    return figure


@mpl.rc_context(STYLE)
def ledger_bars(counts: pd.DataFrame) -> Figure:
    """Draw how many clips each stage let through, refused and failed on.

    Args:
        counts: rows with stage, split, ok, rejected, failed.
    """
    figure = Figure(figsize=(WIDTH, 0.8 + 0.28 * len(counts)), layout="constrained")
    axes = figure.add_subplot()
    left = np.zeros(len(counts))
    for status, colour in (("ok", ACCENT), ("rejected", REJECTED), ("failed", "#c8504f")):
        axes.barh(range(len(counts)), counts[status], left=left, height=0.6, color=colour, label=status)
        left += counts[status].to_numpy(float)
    axes.set_yticks(range(len(counts)), [f"{row.stage} · {row.split}" for row in counts.itertuples()], color=INK)
    axes.invert_yaxis()
    axes.set_xlabel("clips")
    axes.legend(ncols=3, loc="lower right", fontsize=8)
    return figure


@mpl.rc_context(STYLE)
def measures(clips: pd.DataFrame, limits: Curate) -> Figure:
    """Draw how each measure of a curation is spread, with its threshold: fit clips, and above them the others.

    Args:
        clips: rows of `curation.verdicts.judge`.
        limits: the thresholds.
    """
    names = [name for name in MEASURES if clips[name].notna().any()]
    figure, grid = _panels(len(names), columns=4, height=1.75)
    fit = clips["status"] == "ok"
    for axes, name in zip(grid, names, strict=False):
        values = clips[name].replace([np.inf, -np.inf], np.nan)
        bins = WHOLE_FRAMES if name == "offset" else np.histogram_bin_edges(values.dropna(), HISTOGRAM_BINS)
        parts = [values[fit].dropna(), values[~fit].dropna()]
        axes.hist(parts, bins.tolist(), stacked=True, color=[ACCENT, REJECTED], linewidth=0)
        for limit in _limits(name, limits.limits.get(name)):
            axes.axvline(limit, color=INK, linewidth=1, linestyle="--")
        axes.set(title=MEASURES[name].label, xlabel=MEASURES[name].unit)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return figure


def _limits(name: str, limit: float | None) -> list[float]:
    """Return where a threshold is drawn: that of a measure of either sign on both sides."""
    if limit is None:
        return []
    return [-limit, limit] if name in SIGNED else [limit]


def colour_of(method: str, methods: Sequence[str]) -> str:
    """Return the colour of a method; the experiments and external ones take theirs in order."""
    others = [name for name in methods if name not in COLOURS]
    return COLOURS.get(method) or MORE_COLOURS[others.index(method) % len(MORE_COLOURS)]


def _panels(n: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    rows = max(1, -(-n // columns))
    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, index + 1) for index in range(n)]


def _series(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    return scores[(scores["metric"] == metric) & (scores["protocol"] == "paired") & scores["series"].notna()]


def _course(axes: Axes, series: Sequence[np.ndarray], begin: float, digits: int, colour: str, seed: int) -> None:
    line, trend = course(series, RESAMPLES, seed), slope(series, FPS, RESAMPLES, seed)
    value, low, high = (f"{number:z.{digits}f}".replace("-", "−") for number in trend)
    seconds = begin + np.arange(len(line.mean)) / FPS
    most = line.n_clips >= line.n_clips[0] / 2
    axes.fill_between(seconds, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(seconds, line.mean, color=colour, linewidth=0.8, alpha=0.4)
    label = f"{value} ({low} – {high}), {line.n_clips[0]} → {line.n_clips[-1]}"
    axes.plot(seconds[most], line.mean[most], color=colour, linewidth=1.4, label=label)


def _strip(axes: Axes, y: float, values: np.ndarray, colour: str, seed: int) -> None:
    spread = 0.22 * np.cos(np.pi * np.arange(len(values)) * 0.618)  # apart, and the same every time
    axes.scatter(np.sort(values), y + spread, s=14, color=colour, alpha=0.4, linewidths=0)
    low, high = mean_interval(values, RESAMPLES, seed)
    axes.plot([low, high], [y, y], color=colour, linewidth=2.5, solid_capstyle="round")
    axes.plot([values.mean()], [y], "o", color=colour, markersize=6)


def _row_label(method: str, protocol: str) -> str:
    sound = {"paired": "", "cross": ", another clip's audio", "silent": ", driven by silence"}
    return method_label(method) + sound[protocol]
