"""The report: one self-contained HTML page, and its figures as files for Snakemake's own report."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import yaml
from markupsafe import Markup
from matplotlib.figure import Figure
from packaging.requirements import Requirement

from syncdiff.config import Config
from syncdiff.evaluation.names import PROTOCOLS, method_label
from syncdiff.evaluation.table import panels
from syncdiff.pipeline.files import atomic, read_parquet, write_text
from syncdiff.pipeline.ledger import LEDGER_COLUMNS
from syncdiff.pipeline.stages import STAGES
from syncdiff.registry.metrics import METRICS
from syncdiff.report import plots
from syncdiff.report.gallery import GalleryClip, contact_sheet, tiles

GALLERY_CLIPS = 4
HEADLINES = ("lse_c", "fid", "ssim", "mouth_corr")  # of `syncdiff`, paired, beside the rows that bound it
STATUSES = ("ok", "rejected", "failed")
MAX_REASONS = 20


def report_corpus(config: Config, folder: Path, out_html: Path) -> None:
    """Write the report of the results that lie in `folder`, with its figures in `figures/` beside the page."""
    runs = {path.parent.name: path.parent for path in sorted(folder.glob("runs/*/scores.parquet"))}
    ledgers = [path for split in config.splits for path in sorted(folder.glob(f"{split}/**/*.parquet"))]
    ledgers += sorted(folder.glob("runs/*/sampled/*.parquet"))
    trained = [folder / "autoencoder", folder / "syncnet", folder / "sync_expert", *runs.values()]
    curves = {run.name: run / "loss.csv" for run in trained if (run / "loss.csv").is_file()}
    plan, table = folder / "plan/clips.parquet", folder / "table.parquet"
    write_report(config, table, runs, ledgers, plan, curves, out_html, out_html.parent / "figures")


def write_report(
    config: Config,
    table: Path,
    runs: Mapping[str, Path],
    ledgers: Sequence[Path],
    plan: Path,
    curves: Mapping[str, Path],
    out_html: Path,
    figures: Path,
) -> None:
    """Write the page, and loss.svg, sync.svg, mouth.svg, drift.svg, ledger.svg and gallery.png into `figures`.

    The page needs no network and no other file. The same inputs give the same bytes.

    Args:
        table: table.parquet of `write_table`.
        runs: method -> folder with scores.parquet and videos/; of an external method only scores.parquet.
        ledgers: parquet files of all stages and shards.
        plan: plan/clips.parquet.
        curves: training run -> loss.csv.
        out_html: the page.
        figures: folder for the figures.

    Raises:
        UserError: an input is missing or damaged.
    """
    rows = read_parquet(table)
    methods = list(dict.fromkeys(rows["method"]))
    runs = {method: runs[method] for method in methods if method in runs}
    scores = pd.concat([read_parquet(run / "scores.parquet") for run in runs.values()], ignore_index=True)
    planned = read_parquet(plan)
    ledger = read_ledgers([read_parquet(path) for path in ledgers], planned)
    counts = count_clips(ledger)
    gallery = gallery_clips(ledger[ledger["clip"].isin(scores["clip"])], planned, config.corpus_root)
    drawn = {
        "loss": plots.curves({name: pd.read_csv(path) for name, path in curves.items()}),
        "ledger": plots.ledger_bars(counts),
        **_of_scores(scores, methods, [shown.clip for shown in gallery], config.seed),
    }
    svgs = {name: plots.to_svg(figure) for name, figure in drawn.items()}
    for name, svg in svgs.items():
        write_text(figures / f"{name}.svg", svg)
    with atomic(figures / "gallery.png") as temporary:
        temporary.write_bytes(contact_sheet(config, gallery, runs))
    page = {
        "corpus": config.corpus_name,
        "headlines": headlines(rows),
        "panels": panels(rows),
        "gallery": [(shown.clip, tiles(config, shown, runs)) for shown in gallery],
        "figures": {name: Markup(svg.replace(plots.INK, "currentColor")) for name, svg in svgs.items()},
        "counts": counts.to_dict("records"),
        "reasons": reasons(ledger).to_dict("records"),
        "config": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        "versions": versions(),
    }
    write_text(out_html, _template().render(page))


def headlines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return SyncDiff's main figures, each with the same figure of the rows that bound it."""
    found = []
    for panel in panels(table):
        if panel.protocol == "paired" and "syncdiff" in panel.rows:
            for column, (metric, scorer) in enumerate(panel.columns):
                cell = panel.rows["syncdiff"][column]
                beside = {method_label(m): panel.rows[m][column] for m in ("real", "frozen") if m in panel.rows}
                if metric in HEADLINES and cell is not None:
                    found.append({"metric": METRICS[metric], "scorer": scorer, "cell": cell, "beside": beside})
    return found


def read_ledgers(ledgers: Sequence[pd.DataFrame], plan: pd.DataFrame) -> pd.DataFrame:
    """Join the plan and the ledgers of all stages: clip, stage, status, reason, split and the stages' own columns."""
    frames = [frame for frame in (plan[[*LEDGER_COLUMNS, "split"]], *ledgers) if len(frame)]
    joined = pd.concat([frame.drop(columns="split", errors="ignore") for frame in frames], ignore_index=True)
    return joined.assign(split=joined["clip"].map(dict(zip(plan["clip"], plan["split"], strict=True))))


def count_clips(ledger: pd.DataFrame) -> pd.DataFrame:
    """Count the clips (of `sample`, the videos) that each stage let through, in the order of the flow.

    Returns:
        Rows with stage, split, n_in, ok, rejected, failed.
    """
    groups = ledger.groupby(["stage", "split"], sort=False)["status"]
    counts = groups.value_counts().unstack(fill_value=0).reindex(columns=list(STATUSES), fill_value=0)
    counts = counts.assign(n_in=counts.sum(axis=1)).reset_index()
    return counts.sort_values("stage", key=lambda stage: stage.map(list(STAGES).index), kind="stable")


def reasons(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return why clips were refused or cut, most frequent first: rows with stage, status, reason, n."""
    with_reason = ledger[ledger["reason"].fillna("") != ""]
    counted = with_reason.groupby(["stage", "status", "reason"], sort=False).size().reset_index(name="n")
    return counted.sort_values("n", ascending=False, kind="stable").head(MAX_REASONS)


def gallery_clips(ledger: pd.DataFrame, plan: pd.DataFrame, root: Path) -> list[GalleryClip]:
    """Choose test clips evenly over the sorted ids, so that several speakers are seen; `root` is the corpus's."""
    passed = ledger[(ledger["stage"] == "faces") & (ledger["split"] == "test") & (ledger["status"] == "ok")]
    source = dict(zip(plan["clip"], plan["video"], strict=True))
    places = np.linspace(0, len(passed) - 1, min(len(passed), GALLERY_CLIPS)).round().astype(int)
    chosen = passed.sort_values("clip").iloc[places]
    return [
        GalleryClip(row["clip"], root / source[row["file"]], int(row["first_frame"]), int(row["n_frames"]))
        for row in chosen.to_dict("records")
    ]


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and what it depends on."""
    names = sorted({Requirement(line).name for line in requires("syncdiff") or [] if "extra ==" not in line})
    found = {"python": platform.python_version(), "syncdiff": version("syncdiff")}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _of_scores(scores: pd.DataFrame, methods: Sequence[str], clips: Sequence[str], seed: int) -> dict[str, Figure]:
    """Draw the figures of the scores; the mouths of a few clips alone."""
    traced = [method for method in ("frozen", "real", "syncdiff") if method in methods]
    return {
        "sync": plots.sync_distribution(scores, methods, seed),
        "mouth": plots.mouth_traces(scores, clips, traced),
        "drift": plots.drift(scores, methods, seed),
    }


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("syncdiff.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"metrics": METRICS, "protocols": PROTOCOLS, "label": method_label}
    return environment.get_template("report.html.j2")
