"""Verdicts: which clips are fit to train on, by the config's thresholds, and by how much the sound of each is shifted.

In this order: who of several speaks, then the thresholds of `curate`, then the shift of those that are left. Nothing is
measured anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from syncdiff.config import Curate
from syncdiff.curation.measures import COMPARED, MEASURES

MAD_TO_STD = 1.4826  # of a normal distribution
SPEAKER = "speaker"  # the rule that is no threshold
SYNC_LIMITS = ("chance", "confidence")  # what a clip must pass to be the one that speaks

Row = dict[str, Any]


@dataclass
class Verdict:
    """What becomes of a clip. rule: the measure, or `SPEAKER`, by which it is rejected; "": it is not."""

    rule: str = ""
    reason: str = ""
    shift: int = 0


def judge(clips: pd.DataFrame, limits: Curate) -> pd.DataFrame:
    """Return measured clips with verdicts: status, reason, rule, shift, and the measures that follow from all of them.

    `shift` says which row of speech belongs to a picture: that of frame t is row t + shift. Clips that could not be
    measured keep their status and reason.

    Args:
        clips: rows of `shard.COLUMNS`, with `conf` and `asd`.
        limits: thresholds that are null let all pass, and so does what has no value.
    """
    clips = clips.assign(chance=chances(clips), deviation=deviations(clips))
    rows = clips.to_dict("records")
    verdicts = [Verdict(reason=row["reason"]) if row["status"] == "ok" else None for row in rows]
    judged = [(row, verdict) for row, verdict in zip(rows, verdicts, strict=True) if verdict]
    _choose_speakers(judged, limits)
    for row, verdict in judged:
        if not verdict.rule:
            _apply(row, verdict, limits)
    return clips.assign(
        stage="curation",
        status=[row["status"] if not own else "rejected" if own.rule else "ok" for row, own in zip(rows, verdicts, strict=True)],
        reason=[own.reason if own else row["reason"] for row, own in zip(rows, verdicts, strict=True)],
        rule=[own.rule if own else "" for own in verdicts],
        shift=[own.shift if own else 0 for own in verdicts],
    )


def chances(clips: pd.DataFrame) -> np.ndarray:
    """Return for each clip the share of all confidences with another clip's sound that are as high as its own, (n,).

    So it can be told without knowing the scale of a SyncNet. NaN where sync was not measured, or there is no other clip.
    """
    wrong = np.sort([value for values in clips["wrong_sound"] for value in values])
    own = clips["confidence"].to_numpy(float)
    if not len(wrong):
        return np.full(len(own), np.nan)
    return np.where(np.isnan(own), np.nan, 1 - np.searchsorted(wrong, own, side="left") / len(wrong))


def deviations(clips: pd.DataFrame) -> np.ndarray:
    """Return the largest deviation of each clip among the measures `COMPARED`, in robust standard deviations, (n,)."""
    columns = [_deviation(clips[name].to_numpy(float), name, side) for name, side in COMPARED.items()]
    return np.fmax.reduce(columns)


def _deviation(values: np.ndarray, name: str, side: str) -> np.ndarray:
    """Return how far values lie on the bad side of their median; NaN where they do not differ.

    Measures that cannot be negative are compared by their logarithms, as decibels are.
    """
    scaled = values if name == "loudness" else np.log(np.maximum(values, 1e-6))
    known = scaled[~np.isnan(scaled)]
    middle = np.median(known) if len(known) else np.nan
    spread = MAD_TO_STD * np.median(np.abs(known - middle)) if len(known) else np.nan
    if not spread > 0:
        return np.full(len(values), np.nan)
    return (scaled - middle) / spread * (1 if side == "max" else -1)


def fails(name: str, value: float, limit: float) -> bool:
    """Say whether a measure is beyond its threshold; what has no value is not."""
    return value < limit if MEASURES[name].limit == "min" else abs(value) > limit


def key_of(name: str) -> str:
    """Return the key of the config that holds a measure's threshold."""
    return f"curate.{MEASURES[name].limit}_{name}"


def _choose_speakers(judged: Sequence[tuple[Row, Verdict]], limits: Curate) -> None:
    """Of faces that are there at the same time, let the one speak that is most in sync, if it is clear that it does."""
    for scene in scenes([row for row, _ in judged]):
        spoken: list[Row] = []
        for index in sorted(scene, key=lambda index: (-judged[index][0]["confidence"], judged[index][0]["clip"])):
            row, verdict = judged[index]
            speaker = next((other for other in spoken if overlaps(row, other)), None)
            if speaker:
                verdict.rule, verdict.reason = SPEAKER, f"another face speaks ({speaker['clip']})"
            elif _is_clear(row, limits):
                spoken.append(row)
            else:
                verdict.rule = SPEAKER
                verdict.reason = "one of several faces, and of none it is clear that it speaks"


def scenes(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Yield the clips, by their places in `rows`, that share frames of a video with others."""
    by_video: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if not np.isnan(row["confidence"]):
            by_video.setdefault(row["video"], []).append(index)
    for indices in by_video.values():
        shared = [one for one in indices if any(overlaps(rows[one], rows[other]) for other in indices if other != one)]
        if shared:
            yield shared


def overlaps(one: Row, other: Row) -> bool:
    """Say whether two clips of a video have frames in common."""
    first, second = sorted((one, other), key=lambda row: row["first_frame"])
    return bool(second["first_frame"] < first["first_frame"] + first["n_frames"])


def _is_clear(row: Row, limits: Curate) -> bool:
    return not any(fails(name, row[name], limit) for name, limit in limits.limits.items() if name in SYNC_LIMITS)


def _apply(row: Row, verdict: Verdict, limits: Curate) -> None:
    """Reject a clip by the first threshold that it is beyond; else shift its sound where that is sure."""
    for name in (name for name in MEASURES if name in limits.limits):
        limit = limits.limits[name]
        if fails(name, row[name], limit):
            verdict.rule, verdict.reason = name, _reason(row, name, limit)
            return
    if limits.shift_chance is None or not row["offset"]:
        return
    if abs(row["offset"]) >= row["n_frames"]:
        verdict.rule, verdict.reason = "offset", f"shorter than its offset of {row['offset']:+.0f} frames"
        return
    if row["chance"] <= limits.shift_chance:
        verdict.shift = -int(row["offset"])
        note = f"sound shifted by {verdict.shift:+d} frames"
    else:
        note = f"offset {row['offset']:+.0f} is not sure: not corrected"
    verdict.reason = "; ".join(filter(None, [verdict.reason, note]))


def _reason(row: Row, name: str, limit: float) -> str:
    side = "below" if MEASURES[name].limit == "min" else "above"
    value = f"{MEASURES[name].label.lower()} {row[name]:.{MEASURES[name].digits}f}"
    if name == "chance":
        value = f"in sync no better than with other clips' sound: chance {row[name]:.3f}"
    return f"{value} is {side} {key_of(name)} {limit:g}"
