"""Plan: every listed clip in or out with its reason, and those that are in, in frame-balanced shards."""

from __future__ import annotations

import errno
import heapq
import logging
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from syncdiff.config import Config, Plan
from syncdiff.corpus.listing import digest, list_clips, note_lines, read_listing, shard_counts
from syncdiff.corpus.lrs import read_text
from syncdiff.corpus.split import ListedClip, prefix_of
from syncdiff.errors import ClipRejected, UserError
from syncdiff.media.clock import n_shown
from syncdiff.media.video import Probe, probe
from syncdiff.pipeline.ledger import Ledger, stop_if_too_many_failed
from syncdiff.pipeline.parallel import Outcome, attempt, each_clip

log = logging.getLogger(__name__)

PROBE_LIMIT_S = 300.0  # milliseconds, or a walk through a file of gigabytes whose header does not count its pictures
INTEGERS = ["width", "height", "n_frames", "audio_rate"]


def plan_corpus(config: Config, out: Path, workers: int = 1, listing: Path | None = None) -> None:
    """Probe and filter every listed clip, assign shards, and write `plan/clips.parquet`.

    Columns: clip, stage, status, reason, split, shard ("" where rejected), video (below the corpus root), fps, width,
    height, n_frames (at 25 fps), duration_s, audio_rate (Hz), text, digest (by which a replaced file shows).
    Rows are sorted by split, then clip, and so are a shard's clips. What is unusual about a good clip is its reason.

    Args:
        listing: a file of `listing.refresh`; None: the corpus is listed now.

    Raises:
        UserError: the corpus is not there, more than `max_failed_fraction` of its files cannot be read, or no clip of
            train is left. Nothing is written then: an older plan stays.
    """
    prefix = prefix_of(config.corpus_root)
    listed = read_listing(listing, config.corpus_root) if listing else list_clips(config)
    ledger = Ledger("plan")
    for clip, look in looks(listed, workers, "plan"):
        video = clip.video.removeprefix(prefix)
        facts = {"video": video, **_columns(look.outcome.value), "digest": look.digest}
        ledger.record(clip.clip, verdict(look.outcome, config.plan), split=clip.split, shard="", **facts)
    for split, n_shards in shard_counts(config, listing).items():
        rows = [row for row in ledger.rows if row["split"] == split and row["status"] == "ok"]
        for row, shard in zip(rows, balance([row["n_frames"] for row in rows], n_shards), strict=True):
            row["shard"] = f"{shard:05d}"
    notes = [*note_lines(listed.notes), *_long_files(ledger, config.plan.frames_per_shard)]
    log.info("\n".join([_summary(ledger), *(f"  {note}" for note in notes)]))
    stop_if_too_many_failed("plan", ledger.frame(), config.max_failed_fraction)
    _check_train(ledger)
    ledger.write(out, ledger.frame().astype(dict.fromkeys(INTEGERS, "Int64")))


class Look(NamedTuple):
    """What a first look at a listed clip gave."""

    outcome: Outcome[Facts]
    digest: str  # of its file; "": not read


def looks(clips: Sequence[ListedClip], workers: int, label: str) -> Iterator[tuple[ListedClip, Look]]:
    """Look at every listed clip, in `workers` processes; what cannot be looked at has an outcome that says why."""
    for clip, tried in each_clip(_look, clips, workers, label, PROBE_LIMIT_S):
        yield clip, tried.value or Look(Outcome(tried.status, tried.reason, file=tried.file), "")


def _look(listed: ListedClip) -> Look:
    if listed.fault:
        return Look(Outcome("failed", listed.fault), "")
    return Look(attempt(inspect, listed, PROBE_LIMIT_S), "" if listed.reason else digest(Path(listed.video)))


def verdict(outcome: Outcome[Facts], limits: Plan) -> Outcome[Facts]:
    """Return what becomes of a clip in the plan after a first look; what is unusual about a good one is its reason."""
    if outcome.value is None:
        return outcome
    if reason := rejection_reason(outcome.value.probe, limits):
        return Outcome("rejected", reason)
    return replace(outcome, reason="; ".join(outcome.value.probe.notes))


@dataclass(frozen=True)
class Facts:
    """What `inspect` found of a clip."""

    probe: Probe
    text: str  # what is said; "" where there is no transcript


def inspect(listed: ListedClip) -> Facts:
    """Look at one clip's file and transcript.

    Raises:
        ClipRejected: the listing rejected it, no file can have its name, or it has no readable picture.
        OSError: the file is missing, or cannot be read.
    """
    if listed.reason:
        raise ClipRejected(listed.reason)
    try:
        mode = Path(listed.video).stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "listed but the file is missing", listed.video) from None
    except ValueError as error:
        raise ClipRejected(f"no file can have its name: {error}") from None
    if not stat.S_ISREG(mode):
        raise ClipRejected("not a regular file")
    return Facts(probe(listed.video), read_text(listed.transcript))


def rejection_reason(found: Probe, limits: Plan) -> str:
    """Return why the config's filters reject a clip, or "" where they do not.

    Digital silence does not show in a file's headers: the speech stage, which decodes the sound, rejects it.
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


def _long_files(ledger: Ledger, frames_per_shard: int) -> list[str]:
    """Return a line where one file fills more than a shard: its clips are not spread over several."""
    long = [row for row in ledger.rows if row["shard"] and row["n_frames"] > frames_per_shard]
    if not long:
        return []
    longest = max(long, key=lambda row: row["n_frames"])
    return [
        f"{len(long)} files have more frames than plan.frames_per_shard {frames_per_shard} (longest: "
        f"{longest['clip']}, {longest['n_frames']}); all clips of a file "
        "go into one shard: cut such files to spread the work"
    ]


def _check_train(ledger: Ledger) -> None:
    train = [row for row in ledger.rows if row["split"] in ("pretrain", "train")]
    if any(row["status"] == "ok" for row in train):
        return
    if not train:
        raise UserError("plan: train lists no clip; correct train.txt, or lower corpus.test_fraction")
    reason, n = Counter(row["reason"] for row in train).most_common(1)[0]
    became = " or ".join(sorted({row["status"] for row in train}, reverse=True))
    message = f"plan: all {len(train)} clips of train are {became} ({n} x {reason})"
    raise UserError(f"{message}; run `syncdiff check` on the corpus, or widen the config's plan section")
