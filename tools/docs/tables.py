"""The tables and quoted figures of README.md and docs/, each by its name, made from benchmarks/results."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from statistics import mean

import pandas as pd

from syncdiff.config import load_config
from syncdiff.estimate import Gpu, estimate
from syncdiff.estimate.rows import Row
from syncdiff.estimate.rows import figure as number
from syncdiff.evaluation.names import method_label
from syncdiff.registry.metrics import METRICS
from syncdiff.report.ablation import FIGURES
from tools.docs import reference
from tools.docs.results import ROOT, csv_of, figure, heading, json_of, listing, plain, table

A100_TFLOPS, UTILISATION = 312.0, 0.1
DEMO_COLUMNS = [
    ("paired", "lse_c"),
    ("paired", "lse_d"),
    ("paired", "fid"),
    ("paired", "ssim"),
    ("paired", "psnr"),
    ("paired", "mouth_corr"),
    ("cross", "lse_c"),
    ("silent", "lse_c"),
]
MESHES = ("facemesh_with_attention", "facemesh_alone")  # in the order of the columns
SHOTS = {  # of the made film, by what happens in them
    "": "{}",
    "fade": "{}, fading in",
    "leaves": "{}; A leaves for 3 s",
    "hand": "{}, with a hand before the mouth",
    "far": "{}, far away",
}
SILENCE = {  # figures, and their digits
    "movement": 3,
    "largest_change_in_silence": 1,
    "largest_change_at_edges": 1,
    "largest_change_with_sound": 1,
}
DRIFT = ("mouth_corr", "ssim", "aperture_error", "flicker_mouth")


def content(name: str) -> str:
    """Return what belongs into the place of this name.

    `trials GROUP` is a table of trials.csv and `trial GROUP/TRIAL/METRIC` one of its figures, `clock …` the same as a
    time; `estimate CORPUS` is what a shipped config needs and `need CORPUS/SECTION/NAME` one figure of it;
    `headline EXPERIMENT` is the lead over a baseline.

    Raises:
        ValueError: nothing has this name.
    """
    kind, _, rest = name.partition(" ")
    if not rest and name in BLOCKS:
        return BLOCKS[name]()
    if kind in NAMED and rest:
        try:
            return NAMED[kind](*rest.split("/"))
        except KeyError as error:
            raise ValueError(f"{name}: no {error} in the results") from None
    raise ValueError(f"{name}: no table or figure has this name; see tools/docs/tables.py")


# ---- the demo -------------------------------------------------------------------------------------------------------


def demo() -> str:
    """The demo's table: a row a method, the paired protocol first."""
    headings = ["row", *(heading(metric) + ("" if p == "paired" else f", {p}") for p, metric in DEMO_COLUMNS)]
    rows = [[_bold(method), *(demo_figure(method, *column) for column in DEMO_COLUMNS)] for method in _demo()]
    return table(headings, rows)


def demo_figure(method: str, protocol: str, metric: str) -> str:
    """One figure of the demo's table, without its interval; – where the table has none."""
    found = _demo()[method].get(protocol, {}).get(metric)
    return "–" if found is None else figure(metric, float(found["value"]))


def demo_intervals() -> str:
    """SyncDiff's row of the demo with 95 % intervals, a line a metric, beside real video and the round trip."""
    rows = []
    for protocol, metric in [*DEMO_COLUMNS, ("silent", "mouth_std_ratio"), ("paired", "flicker_mouth")]:
        cells = [_with_interval(method, protocol, metric) for method in ("syncdiff", "reconstruction", "real")]
        rows.append([f"{heading(metric)}, {protocol}", *cells])
    return table(["", "SyncDiff", "autoencoder round trip", "real video"], rows)


def demo_stages() -> str:
    """Seconds of the demo's stages, in the order of the data."""
    stages = json_of("demo")["stages_s"]
    return table(["stage", "seconds"], [[stage, f"{seconds:.0f}"] for stage, seconds in stages.items()])


def demo_minutes() -> str:
    """How long `make eval` took where the demo's table was made."""
    return clock(json_of("demo")["wall_s"])


def demo_machine() -> str:
    """The machine of the demo's table."""
    machine = json_of("demo")["machine"]
    return f"{machine['cores']} cores of an {machine['cpu']}".replace("(R)", "")


def clock(seconds: float) -> str:
    """Return a time in minutes and seconds."""
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def _demo() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    return json_of("demo")["rows"]


def _with_interval(method: str, protocol: str, metric: str) -> str:
    found = _demo()[method].get(protocol, {}).get(metric)
    if found is None:
        return "–"
    return figure(metric, float(found["value"]), found.get("low"), found.get("high"))


def _bold(method: str) -> str:
    return "**SyncDiff**" if method == "syncdiff" else method_label(method)


# ---- the ablation ---------------------------------------------------------------------------------------------------


def ablation() -> str:
    """Every experiment of the ablation, and what bounds them; `differences` has the intervals."""
    names = csv_of("ablation")["experiment"].drop_duplicates()
    headings = ["experiment", "seeds", *(f"{heading(m)}, {p}" for p, m in FIGURES)]
    rows = []
    for name in names:
        seeds = _ablation(name, *FIGURES[0])["n_seeds"]
        rows.append([name, seeds, *(ablation_figure(name, *column) for column in FIGURES)])
    return table(headings, [*rows, *map(_beside_the_ablation, ("real video", "autoencoder round trip"))])


def _beside_the_ablation(row: str) -> list[str]:
    """Return a row of the same clips and scorer that no experiment is."""
    names = {("cross", "lse_c"): "lse_c_cross"}
    found = csv_of("trials").set_index(["group", "trial", "metric"])["value"]
    keys = [("ablation_rows", row, names.get(column, column[1])) for column in FIGURES]
    return [row, "–", *(found.get(key, "–") for key in keys)]


def differences() -> str:
    """The differences of every experiment to `syncdiff`, with intervals."""
    # FID is a set's figure, with nothing clip by clip
    columns = [column for column in FIGURES if column[1] != "fid" and column[0] != "cross"]
    headings = ["experiment", *(f"{heading(m)}, {p}" for p, m in columns)]
    names = csv_of("ablation")["experiment"].drop_duplicates()
    return table(headings, [[n, *(difference(n, *column) for column in columns)] for n in names if n != "syncdiff"])


def seeds() -> str:
    """How far the three seeds of `syncdiff` lie apart."""
    spans = []
    for (protocol, metric), name, digits in (
        (("paired", "mouth_corr"), "mouth correlation", 3),
        (("paired", "lse_c"), "LSE-C", 2),
        (("silent", "mouth_std_ratio"), "silence", 2),
    ):
        row = _ablation("syncdiff", protocol, metric)
        spans.append(f"{plain(float(row['seed_low']), digits)} to {plain(float(row['seed_high']), digits)} in {name}")
    return f"{spans[0]}, {spans[1]} and {spans[2]}"


def ablation_figure(experiment: str, protocol: str, metric: str) -> str:
    """One figure of the ablation."""
    return figure(metric, float(_ablation(experiment, protocol, metric)["value"]))


def difference(experiment: str, protocol: str, metric: str) -> str:
    """The difference of an experiment to `syncdiff`, clip by clip, with its interval and its sign."""
    row = _ablation(experiment, protocol, metric)
    digits = METRICS[metric].digits + (metric == "mouth_corr")
    texts = [plain(float(row[name]), digits) for name in ("difference", "difference_low", "difference_high")]
    sign = "" if texts[0].startswith("−") or not float(texts[0]) else "+"
    return f"{sign}{texts[0]} [{texts[1]}, {texts[2]}]"


def headline(baseline: str) -> str:
    """The lead of `syncdiff` in LSE-C over a baseline, in percent."""
    ours, theirs = (float(_ablation(name, "paired", "lse_c")["value"]) for name in ("syncdiff", baseline))
    percent = 100 * (ours / theirs - 1)
    return f"{'+' if percent > 0 else ''}{plain(percent, 1)} %"


def _ablation(experiment: str, protocol: str, metric: str) -> pd.Series:
    rows = csv_of("ablation").set_index(["experiment", "protocol", "metric"])
    return rows.loc[(experiment, protocol, metric)]


def _bounds(row: pd.Series, low: str, high: str) -> tuple[float, float] | tuple[()]:
    return (float(row[low]), float(row[high])) if row[low] and row[high] else ()


# ---- trials that no script repeats ----------------------------------------------------------------------------------


def trials(group: str) -> str:
    """A group of trials as a table; what was kept is bold. Below it, how they were made."""
    rows = csv_of("trials")
    rows = rows[rows["group"] == group]
    if rows.empty:
        raise KeyError(group)
    metrics, setting = list(rows["metric"].drop_duplicates()), rows["setting"].iloc[0]
    lines = []
    for trial, own in rows.groupby("trial", sort=False):
        cells = dict(zip(own["metric"], map(_trial_cell, own.to_dict("records")), strict=True))
        kept = own["kept"].iloc[0] == "yes"
        lines.append([f"**{trial}**" if kept else str(trial), *(cells.get(metric, "–") for metric in metrics)])
    return table(["", *map(heading, metrics)], lines) + f"\n\n*{setting[0].upper()}{setting[1:]}.*"


def trial(group: str, name: str, metric: str) -> str:
    """One figure of a trial."""
    return _trial_cell(csv_of("trials").set_index(["group", "trial", "metric"]).loc[(group, name, metric)].to_dict())


def trial_clock(group: str, name: str, metric: str) -> str:
    """One time of a trial, in minutes and seconds."""
    return clock(float(trial(group, name, metric)))


def _trial_cell(row: dict[str, str]) -> str:
    interval = f" [{row['low']}, {row['high']}]" if row["low"] else ""
    return (row["value"] + interval).replace("-", "−")


# ---- what the scripts of benchmarks/ measured -----------------------------------------------------------------------


def sampling() -> str:
    """Speed against quality of the sampler's settings."""
    metrics = ("mouth_corr", "lse_c", "ssim", "fid", "flicker_mouth")
    headings = ["setting", "frames/s, one clip", "frames/s, twelve", "GFLOP a frame", *map(heading, metrics)]
    rows = []
    for setting in json_of("sampling")["settings"]:
        speeds = [f"{setting[key]:.1f}" for key in ("one_clip_frames_per_s", "frames_per_s", "gflop_per_frame")]
        rows.append([_setting(setting), *speeds, *(figure(metric, setting[metric]) for metric in metrics)])
    return table(headings, rows)


def _setting(setting: dict[str, float | str | None]) -> str:
    name = "DDIM" if setting["sampler"] == "ddim" else "DPM-Solver++"
    order = "frame by frame" if setting["pose_steps"] is None else "wavefront"
    text = f"{name}, {setting['steps']} step{'s' * (setting['steps'] != 1)}, guidance {setting['guidance']:g}, {order}"
    default = load_config().sample
    is_default = all(setting[key] == getattr(default, key) for key in ("sampler", "steps", "pose_steps", "guidance"))
    return f"**{text} (default)**" if is_default else text


def drift() -> str:
    """Errors late in long clips against early ones."""
    parts = json_of("drift")["late_over_early"]
    rows = []
    for metric in DRIFT:
        ours, restarted = parts["syncdiff"][metric], parts["restarted"][metric]
        value, low, high = (plain(ours[key], METRICS[metric].digits) for key in ("value", "low", "high"))
        early, late, anew = (figure(metric, value) for value in (ours["early"], ours["late"], restarted["late"]))
        rows.append([heading(metric), early, late, f"{value} [{low}, {high}]", anew])
    headings = ["", "seconds 1 to 3", "seconds 8 to 10", "ratio", "seconds 8 to 10, begun anew at 7 s"]
    return table(headings, rows)


def pose() -> str:
    """The same weights with the pose frame as sampled, and at zero."""
    rows = []
    for metric, row in json_of("pose")["zeros_minus_kept"].items():
        digits = METRICS[metric].digits + 1
        interval = f"[{plain(row['low'], digits)}, {plain(row['high'], digits)}]" if "low" in row else "–"
        change = plain(row["zeros"] - row["kept"], digits)
        rows.append([heading(metric), *(plain(row[key], digits) for key in ("kept", "zeros")), change, interval])
    return table(["", "pose frame kept", "at zero", "difference", "95 % interval"], rows)


def grid() -> str:
    """GRID: real people, the test split as a whole."""
    rows = csv_of("grid").set_index(["method", "protocol", "metric"])
    wanted = [("paired", m) for m in ("mouth_corr", "lse_c", "ssim", "fid")]
    wanted += [("cross", "lse_c"), ("silent", "mouth_std_ratio")]
    lines = []
    for protocol, metric in wanted:
        cells = []
        for method in ("syncdiff", "reconstruction", "real"):
            cells.append(_score(rows, (method, protocol, metric)))
        lines.append([f"{heading(metric)}, {protocol}", *cells])
    return table(["", "SyncDiff", "autoencoder round trip", "real video"], lines)


def grid_128() -> str:
    """GRID at 128 pixels: recipes beside each other, all test clips."""
    columns = [("paired", m) for m in ("mouth_corr", "lse_c", "sharpness", "ssim", "fid", "flicker_mouth")]
    return _grid_128([*columns, ("silent", "mouth_std_ratio")], ["all"])


def grid_128_speakers() -> str:
    """The same, of speakers whom the training has seen and of one whom it has not."""
    columns = [("paired", m) for m in ("mouth_corr", "sharpness", "ssim")]
    return _grid_128([*columns, ("silent", "mouth_std_ratio")], ["seen", "unseen"])


def _grid_128(columns: list[tuple[str, str]], groups: list[str]) -> str:
    rows = csv_of("grid_128")
    kept = rows.set_index(["row", "group", "protocol", "metric"])
    lines = []
    for group in groups:
        for row in rows["row"].drop_duplicates():
            keys = [(row, group, *column) for column in columns]
            cells = [_score(kept, key) for key in keys]
            lines.append([row if group == "all" else f"{row}, {group}", *cells])
    return table(["", *(heading(metric) for _, metric in columns)], lines)


def _score(rows: pd.DataFrame, key: tuple[str, ...]) -> str:
    """A row's score with its interval; the last of the key is the metric."""
    if key not in rows.index or not rows.loc[key, "value"]:
        return "–"
    row = rows.loc[key]
    return figure(key[-1], float(row["value"]), *_bounds(row, "ci_low", "ci_high"))


def memory() -> str:
    """Peak memory of the stages that read long videos."""
    results, rows = json_of("memory-1080"), []
    for key, name in (("run_faces", "faces"), ("run_dub", "dub")):
        rows += [[name, f"{run['minutes']:.0f}", f"{run['peak_mb']:.0f}"] for run in results[key]]
    return table(["command", "minutes of 1080p", "peak MB"], rows)


def speeds() -> str:
    """Speed of the stages that read videos, with the script that measures each."""
    faces, loader, parse, score = (json_of(name) for name in ("faces", "loader", "parse", "score"))
    rows = [
        ["`faces`, frames a second of CPU time", f"{faces['stage']['frames_per_cpu_s']:.0f}", "faces"],
        ["… MediaPipe's FaceMesh alone", f"{faces['facemesh_alone']['frames_per_cpu_s']:.0f}", "faces"],
        ["… with its attention mesh", f"{faces['facemesh_with_attention']['frames_per_cpu_s']:.0f}", "faces"],
        ["training waits for data, share of the time", f"{loader['shards']['waiting_share']:.1%}", "loader"],
        ["crops decoded a second and core", f"{loader['crops_decoded_per_s_and_core']:,}", "loader"],
        [f"dry run on {parse['clips']:,} clips, s", f"{parse['lrs2']['first_dry_run_s']:.1f}", "parse"],
        ["`score`, time over its convolutions'", f"{score['score_over_convolutions_fp32']:.2f}", "score"],
        ["AV-HuBERT Base, times real time (fp32)", _avhubert(), "avhubert"],
    ]
    return table(["what", "figure", "measured by"], [[a, b, f"`benchmarks/{c}.py`"] for a, b, c in rows])


def faces_cost() -> str:
    """The CPU time of `faces` beside that of its landmarks alone, by size of the picture."""
    report = json_of("faces")
    rows = [
        [size["pictures"].replace("x", " × "), *(f"{size[f'stage_to_{mesh}']:.2f}" for mesh in MESHES)]
        for size in (report, *report["sizes"])
    ]
    return table(["pictures", "times the attention mesh alone", "times FaceMesh's defaults"], rows)


def cuts() -> str:
    """Precision, recall and cost of what finds scene changes."""
    report = json_of("cuts")
    rows = [
        [name, *(f"{found[key]:.2f}" for key in ("precision", "recall", "cpu_ms_per_frame"))]
        for name, found in report["detectors"].items()
    ]
    changes, frames = (sum(film[key] for film in report["films"].values()) for key in ("changes", "frames"))
    caption = f"*{changes} changes in {frames:,} frames, all detectors in one run.*"
    return table(["detector", "precision", "recall", "CPU, ms a frame"], rows) + f"\n\n{caption}"


def resampled() -> str:
    """What resampling keeps of a mouth's sharpness, by the size of the crop, and what it costs."""
    report = json_of("resolution")
    sizes = [key for key in next(iter(report["resampled"].values())) if key.isdigit()]
    rows = [
        [name, *(f"{kept[size]:.2f}" for size in sizes), f"{kept['cpu_ms_of_a_crop']:.2f}"]
        for name, kept in report["resampled"].items()
    ]
    head = ["weights", *(f"{size} px" for size in sizes), "ms to cut out 128 px"]
    covers = 128 / mean(report["crop_px_128_a_source_px"])
    return table(head, rows) + f"\n\n*{report['clips']} clips of GRID; a crop covers {covers:.0f} of their pixels.*"


def codes() -> str:
    """What linear codes keep of a mouth's sharpness, resampling counted in."""
    rows = [
        [f"{code['size']} px, {code['channels']} for {code['patch']} × {code['patch']}", f"{code['sharpness']:.2f}"]
        for code in json_of("resolution")["codes"]
    ]
    return table(["code", "Sharpness → 1"], rows)


def _avhubert() -> str:
    return f"{json_of('avhubert')['times_real_time']['native, batched']['cpu']:g}"


def metrics() -> str:
    """Every metric of the table, with its direction and meaning."""
    shown = [(name, metric) for name, metric in METRICS.items() if metric.in_table]
    rows = [[m.label, m.better or "–", f"`{name}`", reference.cell(m.meaning)] for name, m in shown]
    return listing(["metric", "better", "in table.csv", "meaning"], rows)


def needs(corpus: str) -> str:
    """What `syncdiff estimate` says of a shipped config."""
    rows = [[f"{row.section}: {row.name}", _amount(row), row.grade, row.basis] for row in _estimated(corpus)]
    return listing(["", "needs", "grade", "basis"], rows)


def need(corpus: str, section: str, name: str) -> str:
    """One figure of `needs`, with its unit."""
    [row] = [row for row in _estimated(corpus) if (row.section, row.name) == (section, name)]
    return _amount(row)


@cache
def _estimated(corpus: str) -> list[Row]:
    config = load_config(str(ROOT / f"config/{corpus}.yaml"), need_root=False)
    return estimate(config, Gpu(A100_TFLOPS, UTILISATION, None, None))


def _amount(row: Row) -> str:
    return f"{number(row.value)} {row.unit}".strip()


def curation() -> str:
    """What curation found of the demo's known faults, by a SyncNet of each length of training."""
    reports = {steps: json_of(f"curation_demo_{steps}") for steps in (600, 2500)}
    first = reports[600]
    kinds = [kind for kind in first if isinstance(first[kind], dict) and "found" in first[kind]]
    lines = {"good clips lost": ("good", "lost"), "good clips shifted": ("good", "shifted")}
    lines |= {f"`{kind}` found" if kind != "wrong_sound" else "wrong sound found": (kind, "found") for kind in kinds}
    lines |= {"offset of a shifted clip right": ("shifted", "offset_right"), "and corrected": ("shifted", "corrected")}
    rows = [
        [name, str(first[kind]["clips"]), *(f"{report[kind][key]:.1%}" for report in reports.values())]
        for name, (kind, key) in lines.items()
    ]
    return table(["", "clips", *(f"SyncNet of {steps:,} steps" for steps in reports)], rows)


# ---- dubbing --------------------------------------------------------------------------------------------------------


def dub_shots() -> str:
    """What became of each shot of the made film."""
    rows = []
    for index, shot in enumerate(json_of("dub_film")["film"]["shots"], start=1):
        what = SHOTS[shot["event"]].format(" and ".join(shot["who"]))
        passed = ", ".join(f"{n} {reason}" for reason, n in shot["passed"].items()) or "–"
        correlations = (shot[key] for key in ("mouth_corr", "mouth_corr_before", "own_mouth_corr"))
        figures = ("–" if r is None else plain(r, 2) for r in correlations)
        rows.append(
            [f"{index}: {what}", *(str(shot[key]) for key in ("frames", "a_shown", "dubbed")), passed, *figures]
        )
    headings = ["shot", "frames", "show A", "dubbed", "passed", "mouth r", "… before", "… of its own sound"]
    return table(headings, rows)


def dub_sides() -> str:
    """What the headers of the made film say, and those of what came out."""
    sides = json_of("dub_film")["film"]["sides"]
    return listing(["", "in", "out"], [[name, *pair] for name, pair in sides.items()])


def dub_outside() -> str:
    """How much the made film has changed outside the mask."""
    film = json_of("dub_film")["film"]
    return table(
        ["pixels outside the mask", "mean difference, grey levels", "PSNR, dB", "largest shift of a frame's colour"],
        [
            [name, *(plain(film[key][figure], 2) for figure in ("mean", "psnr", "largest_shift"))]
            for name, key in (("dubbed", "outside_mask"), ("encoded alone", "encoded_alone"))
        ],
    )


def dub_forms() -> str:
    """One shot, dubbed in other forms of video."""
    rows = []
    for row in json_of("dub_film")["forms"]:
        figures = (
            plain(row["late_ms"], 1),
            f"{row['squeezed']:+.1%}".replace("-", "−"),
            plain(row["largest_shift"], 2),
        )
        offsets = (plain(row[key], 0) for key in ("offset_before", "offset"))
        changed = ", ".join(row["changed_headers"]) or "none"
        rows.append([row["form"], f"{row['dubbed']} of {row['frames']}", *offsets, *figures, changed])
    headings = ["form", "dubbed", "offset before", "after", "times, ms", "squeezed", "colours", "headers that changed"]
    return table(headings, rows)


def dub_silence() -> str:
    """How much a mouth moves in silence and with sound, and how much it changes at the edges of the silence."""
    silence = json_of("dub_film")["silence"]
    rows = [
        [name, *(plain(silence[key][figure], digits) for figure, digits in SILENCE.items())]
        for name, key in (("as generated (`--no-close`)", "generated"), ("closed", "closed"))
    ]
    rows.append(["a mouth truly shut, as sharp as a crop", plain(silence["shut_movement"], 3), "–", "–", "–"])
    changes = ("in silence", "at its edges", "with sound")
    return table(["", "movement in silence, of that with sound", *(f"largest change {when}" for when in changes)], rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "dub-shots": dub_shots,
    "dub-sides": dub_sides,
    "dub-outside": dub_outside,
    "dub-forms": dub_forms,
    "dub-silence": dub_silence,
    "curation": curation,
    "demo": demo,
    "demo-intervals": demo_intervals,
    "demo-stages": demo_stages,
    "demo-minutes": demo_minutes,
    "demo-machine": demo_machine,
    "ablation": ablation,
    "differences": differences,
    "seeds": seeds,
    "sampling": sampling,
    "drift": drift,
    "pose": pose,
    "grid": grid,
    "grid-128": grid_128,
    "grid-128-speakers": grid_128_speakers,
    "memory": memory,
    "speeds": speeds,
    "faces-cost": faces_cost,
    "cuts": cuts,
    "resampled": resampled,
    "codes": codes,
    "metrics": metrics,
    "command-line": reference.command_line,
    "config": reference.config,
}
NAMED: dict[str, Callable[..., str]] = {
    "trials": trials,
    "trial": trial,
    "clock": trial_clock,
    "headline": headline,
    "estimate": needs,
    "need": need,
}
