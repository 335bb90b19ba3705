"""Verdicts: which clips are fit to train on, by the config's thresholds, and by how much the sound of each is shifted.

In this order: whether the SyncNet can judge these clips at all, who of several speaks, the thresholds of `curate`, the
shift of those that are left. Nothing is measured anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from syncdiff.config import Curate
from syncdiff.curation.measures import COMPARED, MEASURES, SIGNED, WRONG, Place

MAD_TO_STD = 1.4826  # of a normal distribution
SPEAKER = "speaker"  # the rule that is no threshold
SYNC_LIMITS = ("chance", "confidence")  # what a clip must pass to be the one that speaks
TOLD_CHANCE, TOLD_SHARE = 0.05, 0.5  # up to such a chance a sound is told from others; of so many clips it must be
NEED_A_JUDGE = ("max_chance", "max_offset", "shift_chance")  # what is noise where the SyncNet tells nothing apart
UNJUDGED = "kept without a verdict on its sync: the SyncNet tells too few sounds apart"

Row = dict[Any, Any]


@dataclass
class Verdict:
    """What becomes of a clip. rule: the measure, or `SPEAKER`, by which it is rejected; "": by none of them."""

    status: str
    reason: str
    rule: str = ""
    shift: int = 0

    def reject(self, rule: str, reason: str) -> None:
        """Reject it."""
        self.status, self.rule, self.reason = "rejected", rule, reason

    def note(self, words: str) -> None:
        """Say something more of it."""
        self.reason = "; ".join(filter(None, [self.reason, words]))


def judge(clips: pd.DataFrame, limits: Curate) -> pd.DataFrame:
    """Return measured clips with verdicts: status, reason, rule, shift, and the measures that follow from all of them.

    `shift` says which row of speech belongs to a picture: that of frame t is row t + shift. Clips that could not be
    measured keep their status and reason. Where there is a `doubt` about the SyncNet, what `NEED_A_JUDGE` is left out.

    Args:
        clips: rows of `shard.COLUMNS`, with `conf` and `asd`.
        limits: thresholds that are null let all pass, and so does what has no value.
    """
    far = deviations(clips)
    clips = clips.assign(chance=chances(clips), deviation=far.max(axis=1))
    rows: list[Row] = clips.assign(farthest=far.fillna(-np.inf).idxmax(axis=1)).to_dict("records")
    verdicts = [Verdict(row["status"], row["reason"]) for row in rows]
    measured = [(row, verdict) for row, verdict in zip(rows, verdicts, strict=True) if verdict.status == "ok"]
    applied = limits.model_copy(update=dict.fromkeys(NEED_A_JUDGE)) if doubt(clips) else limits
    _choose_speakers(measured, limits)
    for row, verdict in measured:
        if verdict.status == "ok":
            _apply(row, verdict, applied)
        if verdict.status == "ok" and applied != limits:
            verdict.note(UNJUDGED)
    columns = {field.name: [getattr(verdict, field.name) for verdict in verdicts] for field in fields(Verdict)}
    return clips.assign(stage="curation", **columns)


def chances(clips: pd.DataFrame) -> np.ndarray:
    """Return for each clip the share of other clips' sounds that would pass for its own as well as its own does, (n,).

    Two things speak for a sound: the confidence, and an offset near the corpus's usual one, which a wrong sound has as
    often as any other. Of each pair of lips and sound, right or wrong, it is counted how many wrong ones are as good in
    both; `chance` is the share of wrong ones with as low a count. So no scale of a SyncNet needs to be known, and of
    wrong sounds as many pass a threshold as it says.

    NaN where sync was not measured, or there is no other clip.
    """
    own = clips["confidence"].to_numpy(float)
    wrong, wrong_offset = (np.concatenate([[], *clips[name]]).astype(float) for name in WRONG)
    if not len(wrong) or np.isnan(own).all():
        return np.full(len(own), np.nan)
    usual = np.nanmedian(clips["offset"])
    far, wrong_far = np.abs(clips["offset"].to_numpy(float) - usual), np.abs(wrong_offset - usual)
    as_good = partial(_as_good, wrong, wrong_far)
    rare = np.searchsorted(np.sort(as_good(wrong, wrong_far)), as_good(own, far), side="right") / len(wrong)
    return np.where(np.isnan(own), np.nan, rare)


def _as_good(wrong: np.ndarray, wrong_far: np.ndarray, confidence: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Return how many of M wrong pairs have as high a confidence at as near an offset, for each of n pairs: (n,)."""
    counts = np.zeros(len(confidence), np.int64)
    for distance in np.unique(far[~np.isnan(far)]):
        near, here = np.sort(wrong[wrong_far <= distance]), far == distance
        counts[here] = len(near) - np.searchsorted(near, confidence[here], side="left")
    return counts


def doubt(clips: pd.DataFrame) -> str:
    """Say that the SyncNet is no judge of judged clips, for it tells too few of their sounds from others'; else "".

    Of faces that are there at the same time, of which one speaks, the one that fits best counts.
    """
    by_video: dict[str, list[tuple[Place, float]]] = {}
    for row in clips[clips["chance"].notna()].to_dict("records"):
        by_video.setdefault(row["video"], []).append((_place(row), row["chance"]))
    best = [
        chance
        for faces in by_video.values()
        for place, chance in faces
        if not any(other < chance and place.overlaps(there) for there, other in faces)
    ]
    told = sum(chance <= TOLD_CHANCE for chance in best)
    if told >= TOLD_SHARE * len(best):
        return ""
    left_out = f"{', '.join(NEED_A_JUDGE[:-1])} and {NEED_A_JUDGE[-1]} are not applied"
    return f"the SyncNet tells the own sound from others' in {told} of {len(best)} clips (half are needed): {left_out}"


def deviations(clips: pd.DataFrame) -> pd.DataFrame:
    """Return, for each clip, how far each of the measures `COMPARED` deviates, in robust standard deviations."""
    columns = {name: _deviation(clips[name].to_numpy(float), name, side) for name, side in COMPARED.items()}
    return pd.DataFrame(columns, index=clips.index)


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
    return value < limit if MEASURES[name].limit == "min" else (abs(value) if name in SIGNED else value) > limit


def key_of(name: str) -> str:
    """Return the key of the config that holds a measure's threshold."""
    return f"curate.{MEASURES[name].limit}_{name}"


def _choose_speakers(judged: Sequence[tuple[Row, Verdict]], limits: Curate) -> None:
    """Of faces that are there at the same time, let the one speak that is most in sync, if it is clear that it does."""
    for scene in _scenes(judged):
        spoken: list[Place] = []
        for row, verdict in sorted(scene, key=lambda pair: (-pair[0]["confidence"], pair[0]["clip"])):
            place = _place(row)
            speaker = next((other for other in spoken if place.overlaps(other)), None)
            if speaker:
                verdict.reject(SPEAKER, f"another face speaks ({speaker.clip})")
            elif _is_clear(row, limits):
                spoken.append(place)
            else:
                verdict.reject(SPEAKER, "one of several faces, and of none it is clear that it speaks")


def _scenes(judged: Sequence[tuple[Row, Verdict]]) -> Iterator[list[tuple[Row, Verdict]]]:
    """Yield, video by video, the clips that share frames of it with others."""
    by_video: dict[str, list[tuple[Row, Verdict]]] = {}
    for row, verdict in judged:
        if not np.isnan(row["confidence"]):
            by_video.setdefault(row["video"], []).append((row, verdict))
    for clips in by_video.values():
        places = [_place(row) for row, _ in clips]
        shared = [any(place.overlaps(other) for other in places if other is not place) for place in places]
        yield [clip for clip, is_shared in zip(clips, shared, strict=True) if is_shared]


def _place(row: Row) -> Place:
    return Place(*(row[name] for name in Place._fields))


def _is_clear(row: Row, limits: Curate) -> bool:
    return not any(fails(name, row[name], limit) for name, limit in limits.limits.items() if name in SYNC_LIMITS)


def _apply(row: Row, verdict: Verdict, limits: Curate) -> None:
    """Reject a clip by the first threshold that it is beyond; else shift its sound where that is sure."""
    for name in (name for name in MEASURES if name in limits.limits):
        limit = limits.limits[name]
        if fails(name, row[name], limit):
            verdict.reject(name, _reason(row, name, limit))
            return
    if limits.shift_chance is None or not row["offset"]:
        return
    if abs(row["offset"]) >= row["n_frames"]:
        verdict.reject("offset", f"shorter than its offset of {row['offset']:+.0f} frames")
        return
    if row["chance"] <= limits.shift_chance:
        verdict.shift = -int(row["offset"])
        verdict.note(f"sound shifted by {verdict.shift:+d} frames")
    else:
        verdict.note(f"offset {row['offset']:+.0f} is not sure: not corrected")


def _reason(row: Row, name: str, limit: float) -> str:
    side = "below" if MEASURES[name].limit == "min" else "above"
    value = f"{MEASURES[name].label.lower()} {row[name]:.{MEASURES[name].digits}f}"
    if name == "deviation":
        value = f"{MEASURES[row['farthest']].label.lower()} unlike the corpus's: deviation {row[name]:.1f}"
    if name == "chance":
        value = f"in sync no better than with other clips' sound: chance {row[name]:.3f}"
    return f"{value} is {side} {key_of(name)} {limit:g}"
