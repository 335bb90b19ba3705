"""The figure of docs/results.md: what becomes of the paper's claim, drawn from the ablation's results."""

from __future__ import annotations

import io

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tools.docs.results import ROOT, csv_of

CLAIM = ROOT / "docs/images/claim.svg"
ROWS = {  # label: the experiments with AV-HuBERT's form of encoder and with mel features
    "no previous frame": ("no_pose", "mel_no_pose"),
    "bottleneck (the paper's)": ("syncdiff", "mel"),
    "whole previous frame": ("full_pose", "mel_full_pose"),
}
PANELS = {
    ("paired", "mouth_corr"): "mouth correlation\nhigher: in sync",
    ("paired", "lse_c"): "LSE-C\nhigher: in sync",
    ("silent", "mouth_std_ratio"): "moves in silence\nhigher: copied lips",
    ("paired", "ssim"): "SSIM\nhigher: looks stay",
}
COLOURS = ("#2f6fde", "#8a8f98")
TEXT = "#59636e"  # on white and on black


def claim() -> str:
    """Return the figure as SVG: the three kinds of previous frame, a panel a metric, 95 % intervals over clips."""
    with mpl.rc_context({"svg.hashsalt": "claim", "svg.fonttype": "none", "font.size": 9, "text.color": TEXT}):
        figure = Figure(figsize=(8.6, 2.5), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for axes, ((protocol, metric), title) in zip(panels, PANELS.items(), strict=True):
            _panel(axes, protocol, metric)
            axes.set_title(title, fontsize=9)
        panels[0].set_yticks(range(len(ROWS)), list(ROWS))
        panels[0].invert_yaxis()
        panels[1].axvline(_real_lse_c(), color=TEXT, linewidth=0.8, linestyle="--")
        for name, colour in zip(("encoder of AV-HuBERT's form", "mel features"), COLOURS, strict=True):
            panels[-1].plot([], [], "o", color=colour, markersize=4, label=name)
        panels[1].plot([], [], "--", color=TEXT, linewidth=0.8, label="real video")
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _panel(axes: Axes, protocol: str, metric: str) -> None:
    rows = csv_of("ablation").set_index(["experiment", "protocol", "metric"])
    for place, experiments in enumerate(ROWS.values()):
        for shift, experiment, colour in zip((-0.13, 0.13), experiments, COLOURS, strict=True):
            value, low, high = (
                float(rows.loc[(experiment, protocol, metric)][k]) for k in ("value", "ci_low", "ci_high")
            )
            axes.plot([low, high], [place + shift] * 2, color=colour, linewidth=1.6)
            axes.plot([value], [place + shift], "o", color=colour, markersize=4)
    axes.tick_params(colors=TEXT, length=0)
    axes.set_ylim(-0.5, len(ROWS) - 0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(TEXT)
    axes.grid(axis="x", alpha=0.3)


def _real_lse_c() -> float:
    rows = csv_of("trials").set_index(["group", "trial", "metric"])
    return float(rows.loc[("ablation_rows", "real video", "lse_c")]["value"])
