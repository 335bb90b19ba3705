"""The report: one self-contained HTML page, and its figures as files for Snakemake's own report."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from markupsafe import Markup
from matplotlib.figure import Figure
from packaging.requirements import Requirement

from syncdiff.config import OTHER_CURVES, Config
from syncdiff.evaluation.groups import Group, read_groups
from syncdiff.evaluation.names import method_label
from syncdiff.evaluation.table import panels
from syncdiff.pipeline.files import atomic, read_parquet, write_text
from syncdiff.pipeline.ledger import LEDGER_COLUMNS
from syncdiff.pipeline.stages import STAGES
from syncdiff.registry.metrics import METRICS, why_not_taken
from syncdiff.report import plots
from syncdiff.report.gallery import GalleryClip, contact_sheet, tiles
from syncdiff.report.jinja import template
from syncdiff.report.study import MAX_PAIRS, write_study
from syncdiff.training.validation import CURVE

GALLERY_CLIPS = 4
HEADLINES = ("lse_c", "fid", "ssim", "mouth_corr")  # of `syncdiff`, paired, beside the rows that bound it
STATUSES = ("ok", "rejected", "failed")
MAX_REASONS = 20


def report_corpus(config: Config, folder: Path, out_html: Path) -> None:
    """Write the report of the results that lie in `folder`, with its figures in `figures/` beside the page.

    Beside it lie study.html, for raters, and study_key.csv, which says what they saw.
    """
    runs = {path.parent.name: path.parent for path in sorted(folder.glob("runs/*/scores.parquet"))}
    ledgers = [path for split in config.splits for path in sorted(folder.glob(f"{split}/**/*.parquet"))]
    ledgers += sorted(folder.glob("runs/*/sampled/*.parquet"))
    ledgers += [path for path in [folder / "curation.parquet"] if path.is_file()]
    trained = {name: folder / name for name in OTHER_CURVES} | runs
    trained |= {f"{name}, second stage": run / "second_stage" for name, run in runs.items()}
    curves = {name: run / "loss.csv" for name, run in trained.items() if (run / "loss.csv").is_file()}
    looks = {name: run / CURVE for name, run in runs.items() if (run / CURVE).is_file()}
    plan, table = folder / "plan/clips.parquet", folder / "table.parquet"
    write_report(read_results(config, table, runs, ledgers, plan, curves, looks), out_html, out_html.parent / "figures")


class Results(NamedTuple):
    """What a report tells of."""

    config: Config
    table: pd.DataFrame  # rows of `write_table`
    groups: Mapping[str, list[Group]]  # by column, of `write_groups`
    runs: Mapping[str, Path]  # method of the table: its folder, of those that have one
    scores: pd.DataFrame  # rows of `score_method`, of all these
    plan: pd.DataFrame
    ledger: pd.DataFrame  # of `read_ledgers`
    curves: Mapping[str, pd.DataFrame]  # training run: its losses
    looks: Mapping[str, pd.DataFrame]  # training run: what validation saw, of those that had one

    @property
    def methods(self) -> list[str]:
        """Return the table's methods, in its order."""
        return list(dict.fromkeys(self.table["method"]))

    def test_clips(self, n: int) -> list[GalleryClip]:
        """Choose n test clips that were scored, evenly over the sorted ids, so that several speakers are seen."""
        faces = self.ledger[(self.ledger["stage"] == "faces") & (self.ledger["status"] == "ok")]
        scored = faces[(faces["split"] == "test") & faces["clip"].isin(self.scores["clip"])].sort_values("clip")
        source = dict(zip(self.plan["clip"], self.plan["video"], strict=True))
        places = np.linspace(0, len(scored) - 1, min(len(scored), n)).round().astype(int)
        return [
            GalleryClip(
                row["clip"],
                self.config.corpus_root / source[row["file"]],
                int(row["first_frame"]),
                int(row["n_frames"]),
            )
            for row in scored.iloc[places].to_dict("records")
        ]


def read_results(
    config: Config,
    table: Path,
    runs: Mapping[str, Path],
    ledgers: Sequence[Path],
    plan: Path,
    curves: Mapping[str, Path],
    looks: Mapping[str, Path],
) -> Results:
    """Read what a report tells of.

    Args:
        table: table.parquet of `write_table`; groups.csv of `write_groups` is looked for beside it.
        runs: method -> folder with scores.parquet and videos/; of an external method only scores.parquet.
        ledgers: parquet files of all stages and shards.
        plan: plan/clips.parquet.
        curves: training run -> loss.csv.
        looks: training run -> validation.csv, of those that have one.

    Raises:
        UserError: an input is missing or damaged.
    """
    rows, planned = read_parquet(table), read_parquet(plan)
    shown = {method: runs[method] for method in dict.fromkeys(rows["method"]) if method in runs}
    return Results(
        config,
        rows,
        read_groups(table.with_name("groups.csv")),
        shown,
        pd.concat([read_parquet(run / "scores.parquet") for run in shown.values()], ignore_index=True),
        planned,
        read_ledgers([read_parquet(path) for path in ledgers], planned),
        {name: pd.read_csv(path) for name, path in curves.items()},
        {name: pd.read_csv(path) for name, path in looks.items()},
    )


def write_report(results: Results, out_html: Path, figures: Path) -> None:
    """Write the page, and loss.svg, sync.svg, mouth.svg, drift.svg, ledger.svg and gallery.png into `figures`.

    Where trainings were validated, validation.svg too.

    Beside the page: study.html and study_key.csv. Neither page needs the network or another file. The same inputs give
    the same bytes.
    """
    config, runs, gallery = results.config, results.runs, results.test_clips(GALLERY_CLIPS)
    counts = count_clips(results.ledger)
    svgs = {name: plots.to_svg(figure) for name, figure in _drawn(results, counts, gallery).items()}
    for name, svg in svgs.items():
        write_text(figures / f"{name}.svg", svg)
    with atomic(figures / "gallery.png") as temporary:
        temporary.write_bytes(contact_sheet(config, gallery, runs))
    page = {
        "corpus": config.corpus_name,
        "headlines": headlines(results.table),
        "panels": panels(results.table),
        "not_taken": why_not_taken(set(results.table["metric"])),
        "groups": results.groups,
        "gallery": [(shown.clip, tiles(config, shown, runs)) for shown in gallery],
        "figures": {name: Markup(svg.replace(plots.INK, "currentColor")) for name, svg in svgs.items()},
        "kept": list(kept_steps(results)),
        "counts": counts.to_dict("records"),
        "reasons": reasons(results.ledger).to_dict("records"),
        "config": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        "versions": versions(),
    }
    write_text(out_html, template("report.html.j2").render(page))
    beside = (out_html.with_name(name) for name in ("study.html", "study_key.csv"))
    write_study(config, results.test_clips(MAX_PAIRS), runs, *beside)


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


def kept_steps(results: Results) -> Iterator[str]:
    """Yield of each run that was validated which weights it keeps, and by what."""
    by = results.config.validation.by
    for run, rows in results.looks.items():
        steps = results.config.experiment(run).last_stage.steps
        [row] = rows[rows["kept"] == 1].to_dict("records")
        ended = "" if rows["step"].max() == steps else f", ended early at step {rows['step'].max():,}"
        yield f"{method_label(run)}: step {row['step']:,} of {steps:,}, by {by} ({row[by]:.3f}){ended}"


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


def _drawn(results: Results, counts: pd.DataFrame, gallery: Sequence[GalleryClip]) -> dict[str, Figure]:
    """Draw the figures; the mouths of the gallery's clips alone."""
    scores, methods, seed = results.scores, results.methods, results.config.seed
    traced = [method for method in ("frozen", "real", "syncdiff") if method in methods]
    validated = {"validation": plots.validation(results.looks)} if results.looks else {}
    return validated | {
        "loss": plots.curves(results.curves),
        "ledger": plots.ledger_bars(counts),
        "sync": plots.sync_distribution(scores, methods, seed),
        "mouth": plots.mouth_traces(scores, [shown.clip for shown in gallery], traced),
        "drift": plots.drift(scores, methods, seed),
    }
