"""Plan: every listed clip in or out with its reason, and those that are in, in frame-balanced shards."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syncdiff.artifacts import Ledger, each_clip, write_parquet
from syncdiff.config import Config, Plan
from syncdiff.corpus.listing import list_clips, shard_counts
from syncdiff.corpus.lrs import read_text
from syncdiff.corpus.split import ListedClip, is_file
from syncdiff.errors import ClipRejected, UserError
from syncdiff.media.clock import n_shown
from syncdiff.media.video import Probe, probe

PROBE_LIMIT_S = 300.0  # milliseconds, or a walk through a file of gigabytes whose header does not count its pictures
INTEGERS = ["width", "height", "n_frames", "audio_rate"]


def plan_corpus(config: Config, out: Path, workers: int = 1) -> None:
    """Probe and filter every listed clip, assign shards, and write `plan/clips.parquet`.

    Columns: clip, stage, status, reason, split, shard ("" where rejected), video, fps, width, height, n_frames
    (at 25 fps), duration_s, audio_rate (Hz), text. Rows are sorted by split, then clip, and so are a shard's clips.

    Raises:
        UserError: the corpus is not there, or no clip of train is left.
    """
    ledger = Ledger("plan")
    for listed, outcome in each_clip(inspect, list_clips(config), workers, "plan", PROBE_LIMIT_S):
        reason = refusal(outcome.value.probe, config.plan) if outcome.value else outcome.reason
        status = "rejected" if reason and outcome.value else outcome.status
        facts = _columns(outcome.value)
        ledger.add(listed.clip, status, reason, split=listed.split, shard="", video=listed.video, **facts)
    for split, n_shards in shard_counts(config).items():
        rows = [row for row in ledger.rows if row["split"] == split and row["status"] == "ok"]
        for row, shard in zip(rows, balance([row["n_frames"] for row in rows], n_shards), strict=True):
            row["shard"] = f"{shard:05d}"
    print(_summary(ledger))
    _check_train(ledger)
    write_parquet(out, ledger.frame().astype(dict.fromkeys(INTEGERS, "Int64")))


@dataclass(frozen=True)
class Facts:
    """What `inspect` found of a clip."""

    probe: Probe
    text: str  # what is said; "" where there is no transcript


def inspect(listed: ListedClip) -> Facts:
    """Look at one clip's file and transcript.

    Raises:
        ClipRejected: the listing refused it, the file is missing, or it has no readable picture.
    """
    if listed.reason:
        raise ClipRejected(listed.reason)
    if not is_file(listed.video):
        raise ClipRejected("listed but the file is missing")
    return Facts(probe(listed.video), read_text(listed.transcript))


def refusal(found: Probe, limits: Plan) -> str:
    """Return why the config's filters refuse a clip, or "" where they do not.

    Digital silence does not show in a file's headers: the speech stage, which decodes the sound, refuses it.
    """
    if found.audio_rate is None:
        return "no audio stream"
    if found.fps < limits.min_fps:
        return f"{found.fps:.4g} fps is below plan.min_fps {limits.min_fps:g}"
    if found.fps > limits.max_fps:
        return f"{found.fps:.4g} fps is above plan.max_fps {limits.max_fps:g}"
    if found.duration_s < limits.min_seconds:
        return f"{found.duration_s:.2f} s is below plan.min_seconds {limits.min_seconds:g}"
    if limits.max_seconds is not None and found.duration_s > limits.max_seconds:
        return f"{found.duration_s:.2f} s is above plan.max_seconds {limits.max_seconds:g}"
    return ""


def balance(n_frames: Sequence[int], n_shards: int) -> list[int]:
    """Return the shard of each clip: longest first, each into the shard that is shortest so far (Graham's LPT)."""
    shards = [(0, shard) for shard in range(n_shards)]
    assigned = [0] * len(n_frames)
    for i in sorted(range(len(n_frames)), key=lambda i: (-n_frames[i], i)):
        total, assigned[i] = shards[0]
        heapq.heapreplace(shards, (total + n_frames[i], assigned[i]))
    return assigned


def _columns(facts: Facts | None) -> dict[str, Any]:
    """Return the plan's columns about the file; empty where it could not be read."""
    if facts is None:
        return dict.fromkeys(["fps", "width", "height", "n_frames", "duration_s", "audio_rate"]) | {"text": ""}
    found = facts.probe
    return {
        "fps": found.fps,
        "width": found.width,
        "height": found.height,
        "n_frames": n_shown(found.duration_s),
        "duration_s": found.duration_s,
        "audio_rate": found.audio_rate,
        "text": facts.text,
    }


def _summary(ledger: Ledger) -> str:
    """Return the ledger's counts, what is left of each split and how often each reason occurs, one a line."""
    lines = [ledger.summary()]
    for split in dict.fromkeys(row["split"] for row in ledger.rows):
        seconds = [row["duration_s"] for row in ledger.rows if row["split"] == split and row["status"] == "ok"]
        lines.append(f"  {split}: {len(seconds)} clips, {sum(seconds) / 3600:.3f} h")
    reasons = Counter(row["reason"] for row in ledger.rows if row["reason"])
    return "\n".join([*lines, *(f"  {n} x {reason}" for reason, n in reasons.most_common(10))])


def _check_train(ledger: Ledger) -> None:
    train = [row for row in ledger.rows if row["split"] in ("pretrain", "train")]
    if any(row["status"] == "ok" for row in train):
        return
    if not train:
        raise UserError("plan: train lists no clip; correct train.txt, or lower corpus.test_fraction")
    reason, n = Counter(row["reason"] for row in train).most_common(1)[0]
    message = f"plan: all {len(train)} clips of train are rejected ({n} x {reason})"
    raise UserError(f"{message}; run `syncdiff corpus check` on the corpus, or widen the config's plan section")
