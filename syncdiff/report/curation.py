"""The page of a curation: how the measures are spread, clips at both ends, and why others were rejected."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup

from syncdiff.config import Curate
from syncdiff.curation.measures import MEASURES
from syncdiff.curation.verdicts import SPEAKER, doubt, key_of
from syncdiff.errors import ClipRejected
from syncdiff.media.audio import SAMPLES_PER_FRAME, read_audio
from syncdiff.media.container import FPS
from syncdiff.media.video import read_frames
from syncdiff.pipeline.files import write_text
from syncdiff.report import plots
from syncdiff.report.gallery import embedded_mp4
from syncdiff.report.jinja import template

SHOWN = 4  # clips at each end of sync
MAX_FRAMES = 4 * FPS
SIDE = 176  # pixels of a picture of the page
AROUND = 1.5  # sides of the aligned crop, that a picture shows
SHEET = 12  # clips of a reason
RULES = {SPEAKER: "another face speaks, or it is not clear which"}
UNKNOWN = "could not be measured"


class Shown(NamedTuple):
    """A clip on the page."""

    clip: str
    note: str
    data: str  # base64 of an mp4 or a JPEG


def write_page(limits: Curate, corpus: str, clips: pd.DataFrame, root: Path, out_html: Path) -> None:
    """Write a page that needs no network and no other file; the same inputs give the same bytes.

    Args:
        limits: the thresholds.
        corpus: its name.
        clips: rows of `curation.verdicts.judge`.
        root: folder below which their videos lie.
        out_html: the page.
    """
    with_sync = clips[clips["confidence"].notna()].sort_values(["confidence", "clip"], ascending=[False, True])
    page = {
        "corpus": corpus,
        "counts": clips["status"].value_counts().to_dict(),
        "seconds": clips.assign(seconds=clips["n_frames"] / FPS).groupby("status")["seconds"].sum().to_dict(),
        "shifted": int((clips["shift"] != 0).sum()),
        "rows": list(_measure_rows(limits, clips)),
        "histograms": Markup(plots.to_svg(plots.measures(clips, limits)).replace(plots.INK, "currentColor")),
        "ends": {
            "Most in sync": _playing(with_sync.head(SHOWN), root),
            "Least in sync": _playing(with_sync.tail(min(SHOWN, max(len(with_sync) - SHOWN, 0)))[::-1], root),
        },
        "reasons": list(_reasons(clips, root)),
        "notes": _notes(clips),
    }
    write_text(out_html, template("curation.html.j2").render(page))


def _measure_rows(limits: Curate, clips: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a row for each measure that has values: its quartiles, threshold, and how many clips that rejects."""
    for name, measure in MEASURES.items():
        values = clips[name].dropna()
        if len(values):
            figures = (f"{value:.{measure.digits}f}".replace("-", "−") for value in np.percentile(values, [5, 50, 95]))
            limit = limits.limits.get(name)
            yield {
                "measure": measure,
                "figures": list(figures),
                "key": key_of(name),
                "limit": "none" if limit is None else f"{limit:g}",
                "rejected": int((clips["rule"] == name).sum()),
            }


def _playing(rows: pd.DataFrame, root: Path) -> list[Shown]:
    shown = []
    for row in rows.to_dict("records"):
        if frames := _faces(row, root, MAX_FRAMES):
            note = f"confidence {row['confidence']:.2f}, offset {row['offset']:+.0f}; {row['status']}"
            shown.append(Shown(row["clip"], note, embedded_mp4(frames, _sound(row, root, len(frames)))))
    return shown


def _reasons(clips: pd.DataFrame, root: Path) -> Iterator[dict[str, Any]]:
    """Yield each rule by which clips are rejected, the most frequent first, with pictures of some of them."""
    lost = clips[clips["status"] != "ok"]
    named = lost["rule"].where(lost["rule"] != "", UNKNOWN)
    for rule in named.value_counts(sort=True).index:
        own = lost[named == rule]
        places = np.linspace(0, len(own) - 1, min(len(own), SHEET)).round().astype(int)
        rows = own.sort_values("clip").iloc[places].to_dict("records")
        label = MEASURES[rule].label if rule in MEASURES else RULES.get(rule, UNKNOWN).capitalize()
        yield {"label": label, "n": len(own), "pictures": [_picture(row, root) for row in rows]}


def _picture(row: dict[Any, Any], root: Path) -> Shown:
    """Return a frame in the middle of a clip; what has no picture is shown by its reason alone."""
    middle = row | {"first_frame": row["first_frame"] + row["n_frames"] // 2}
    frames = [] if np.isnan(row["face_px"]) else _faces(middle, root, 1)
    data = base64.b64encode(cv2.imencode(".jpg", frames[0][..., ::-1])[1].tobytes()).decode("ascii") if frames else ""
    return Shown(row["clip"], row["reason"], data)


def _faces(row: dict[Any, Any], root: Path, most: int) -> list[np.ndarray]:
    """Return the beginning of a clip, cut around the middle of its face; none where it cannot be read any more."""
    n_frames = min(row["n_frames"], most) if most > 1 else 1
    try:
        frames = list(islice(read_frames(root / row["video"], row["first_frame"]), n_frames))
    except (ClipRejected, OSError):
        return []
    return [_around(frame, (row["face_x"], row["face_y"]), AROUND * row["face_px"]) for frame in frames]


def _around(frame: np.ndarray, centre: tuple[float, float], side: float) -> np.ndarray:
    """Return the square around a place of a frame, (SIDE, SIDE, 3); grey beyond the edges."""
    patch = cv2.getRectSubPix(frame, (round(side), round(side)), centre)
    return cv2.resize(patch, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC)


def _sound(row: dict[Any, Any], root: Path, n_frames: int) -> np.ndarray:
    try:
        return read_audio(root / row["video"], row["first_frame"] / FPS)[: n_frames * SAMPLES_PER_FRAME]
    except (ClipRejected, OSError):
        return np.zeros(n_frames * SAMPLES_PER_FRAME, np.int16)


def _notes(clips: pd.DataFrame) -> list[str]:
    """Say what could not be judged."""
    notes = []
    if clips["confidence"].isna().all():
        notes.append("No SyncNet was given: sync was not measured, and who of several speaks is not known.")
    elif clips["chance"].isna().all():
        notes.append("There is no clip of another video to compare with: chance is not known.")
    if said := doubt(clips):
        notes.append(f"{said[0].upper()}{said[1:]}.")
    return notes
