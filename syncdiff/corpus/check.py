"""`syncdiff check`: what a tree of clips holds and what is wrong with it, before a thousand jobs are queued."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from syncdiff.config import Config, load_config
from syncdiff.corpus.folder import VIDEO_SUFFIXES
from syncdiff.corpus.kind import kind_of, recognise
from syncdiff.corpus.listing import list_clips
from syncdiff.corpus.lrs import HELD_OUT
from syncdiff.corpus.plan import Facts, looks, verdict
from syncdiff.corpus.split import ListedClip
from syncdiff.corpus.tree import left_out, walk
from syncdiff.errors import escape
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.media.clock import n_shown
from syncdiff.media.video import FPS, read_frames
from syncdiff.pipeline.parallel import attempt

EXAMPLES = 3
FACE_CLIPS = 20  # evenly spaced, in which faces are counted
FACE_PICTURES = 8  # of each, spread over it, or over the beginning of a long one: reaching them takes decoding
FACE_SECONDS = 30
# What to do about a problem, by words of it.
FIXES = {
    "missing": "put the file there, or take it out of the list",
    "cannot be decoded": "play it; if it does not play either, get it anew or delete it",
    "no video stream": "it is sound only: delete it",
    "no audio stream": "get it with its sound, or delete it: silence cannot teach speech",
    "plan.": "change that key, or leave these clips out",
    "fps instead of": "LRS has 25 fps everywhere: unpack the clip anew",
    "unlike most": "LRS has one size everywhere: unpack the clip anew",
    "transcript": "unpack the transcripts beside the videos",
    "more than one list": "leave it in one list: a test clip must not be trained on",
    "in no list": "add it to a list, or delete it",
    "cannot be read": "make it readable for this user, or move it out of the corpus",
    "file name": "rename it",
    "its name": "rename it",
}


@dataclass
class Report:
    """What `check_corpus` found."""

    path: Path
    kind: str
    clips: Counter[str] = field(default_factory=Counter)  # split: listed clips
    good: Counter[str] = field(default_factory=Counter)  # split: those that the plan takes
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # split: of those
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # what is wrong: clip ids
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # what is unusual: clip ids


def check_corpus(path: Path, kind: str | None = None, workers: int = 1, config: str = "{}") -> Report:
    """Read a corpus tree, every clip's headers and transcript included, as the plan will.

    Args:
        path: what `corpus.root` would name.
        kind: lrs2, lrs3 or folder; None: recognised by what is in it.
        workers: processes, over clips.
        config: as of `load_config`, whose sections `plan` and `corpus` hold, but for kind and root.

    Raises:
        UserError: no such folder, no clips in it, or a list that names no existing clip.
    """
    corpus = {"kind": kind or recognise(path), "root": str(path)}
    settings = load_config(config, json.dumps({"corpus": corpus}))
    listing = list_clips(settings)
    report = Report(path, settings.corpus.kind)
    report.notes |= listing.notes
    readable: list[tuple[ListedClip, Facts]] = []
    good: list[tuple[ListedClip, Facts]] = []
    for clip, look in looks(listing, workers, "check"):
        report.clips[clip.split] += 1
        facts = look.outcome.value
        outcome = verdict(look.outcome, settings.plan)
        if facts:
            readable.append((clip, facts))
        if facts and outcome.status == "ok":
            good.append((clip, facts))
            report.good[clip.split] += 1
            report.seconds[clip.split] += facts.probe.duration_s
        else:
            kinds = report.notes if outcome.reason == HELD_OUT else report.problems
            kinds.setdefault(_kind(outcome.reason), []).append(clip.clip)
    _unusual(report, readable, kind_of(settings).uniform)
    _lost_splits(report, settings)
    if kind_of(settings).uniform:
        _compare_with_tree(report, listing)
    _faces(report, settings, good)
    return report


def print_report(report: Report) -> None:
    """Print the splits as a table, each kind of problem with some of its clips and the fix, and what is unusual."""
    console = Console(highlight=False)
    console.print(f"{report.path}: {report.kind}", markup=False, soft_wrap=True)
    table = Table("split", "clips", "good", "hours")
    for split, n_clips in report.clips.items():
        table.add_row(split, f"{n_clips:,}", f"{report.good[split]:,}", f"{report.seconds[split] / 3600:.3f}")
    console.print(table)
    for problem, clips in sorted(report.problems.items(), key=lambda item: -len(item[1])):
        fix = next((f" -> {fix}" for words, fix in FIXES.items() if words in problem), "")
        console.print(f"{_counted(problem, clips)}{fix}", markup=False, soft_wrap=True)
    for note, clips in sorted(report.notes.items(), key=lambda item: -len(item[1])):
        console.print(f"note: {_counted(note, clips)}", markup=False, soft_wrap=True)
    console.print(f"kinds of problems: {len(report.problems)}")


def _counted(what: str, clips: Sequence[str]) -> str:
    if not clips:
        return what
    more = f" and {len(clips) - EXAMPLES} more" if len(clips) > EXAMPLES else ""
    return f"{len(clips)} x {what}: {', '.join(map(escape, clips[:EXAMPLES]))}{more}"


def _kind(reason: str) -> str:
    """Return a reason without the figure that it begins with, so that equal kinds count as equal."""
    return re.sub(r"^[\d.]+ (fps|s) is", r"\1", reason)


def _unusual(report: Report, clips: Sequence[tuple[ListedClip, Facts]], uniform: bool) -> None:
    """Add what is odd about clips that can be read: a problem in a uniform corpus, elsewhere worth knowing."""
    sizes = Counter(_size(facts) for _, facts in clips)
    for clip, facts in clips:
        for note in facts.probe.notes:
            report.notes.setdefault(note, []).append(clip.clip)
        if uniform:
            for problem in _oddities(facts, sizes.most_common(1)[0][0]):
                report.problems[problem].append(clip.clip)
    if len(sizes) > 1 and not uniform:
        common = ", ".join(f"{n} x {size}" for size, n in sizes.most_common(EXAMPLES))
        report.notes[f"pictures of {len(sizes)} sizes: {common}"] = []
    folded = defaultdict(list)
    for clip, _ in clips:
        folded[unicodedata.normalize("NFC", clip.clip).casefold()].append(clip.clip)
    if twins := [name for names in folded.values() if len(names) > 1 for name in names]:
        report.notes["named alike but for case or accents: one file, on a disk that ignores these"] = twins


def _oddities(facts: Facts, usual_size: str) -> Iterator[str]:
    """Yield what LRS clips never show: another frame rate or size, nothing said."""
    if abs(facts.probe.fps - FPS) > 0.01:
        yield f"{facts.probe.fps:.4g} fps instead of {FPS}"
    if _size(facts) != usual_size:
        yield f"{_size(facts)} pixels, unlike most ({usual_size})"
    if not facts.text:
        yield "empty or missing transcript"


def _size(facts: Facts) -> str:
    return f"{facts.probe.width}x{facts.probe.height}"


def _lost_splits(report: Report, config: Config) -> None:
    """Add the splits without which no model is trained or scored."""
    for split, parts in {"train": ("pretrain", "train"), "test": ("test",)}.items():
        n_listed = sum(report.clips[part] for part in parts)
        if not n_listed:
            report.problems[kind_of(config).why_empty(config, split)] = []
        elif not any(report.good[part] for part in parts):
            report.problems[f"{split}: none of its {n_listed} clips is left"] = []


def _compare_with_tree(report: Report, clips: Sequence[ListedClip]) -> None:
    """Add clips that stand in two lists, and files of the corpus's folder that stand in none."""
    lists = Counter(listed.clip for listed in clips)
    if twice := [clip for clip, n in lists.items() if n > 1]:
        report.problems["in more than one list"] = twice
    videos = {listed.video for listed in clips}
    base = next((listed.video.removesuffix(f"{listed.clip}.mp4") for listed in clips if listed.stamp), "")
    tree = walk(Path(base), VIDEO_SUFFIXES)
    if unlisted := [path.removesuffix(".mp4") for path in tree.files if f"{base}{path}" not in videos]:
        report.problems["in no list"] = unlisted
    report.notes |= left_out(tree)


def _faces(report: Report, config: Config, clips: Sequence[tuple[ListedClip, Facts]]) -> None:
    """Count the faces in a few pictures of some clips: which of several speaks, the pictures alone do not tell."""
    chosen = clips[:: -(-len(clips) // FACE_CLIPS)] if clips else []
    landmarker = open_landmarker(config.faces, config.device)

    def most(clip: tuple[ListedClip, Facts]) -> int:
        listed, facts = clip
        step = max(1, min(n_shown(facts.probe.duration_s), FACE_SECONDS * FPS) // FACE_PICTURES)
        some = islice(read_frames(listed.video), 0, FACE_PICTURES * step, step)
        # Each picture by itself: a tracker that follows a face looks for others now and then only.
        return max((len(next(landmarker.track([picture]))) for picture in some), default=0)

    counts = {clip[0].clip: attempt(most, clip).value for clip in chosen}
    pictures = f"{FACE_PICTURES} pictures of their first {FACE_SECONDS} s"
    looked = f"(looked at {len(chosen)} of {len(clips)} clips, {pictures})"
    if several := [clip for clip, n in counts.items() if n and n > 1]:
        report.notes[f"several faces in a picture, of which one is taken {looked}"] = several
    if none := [clip for clip, n in counts.items() if n == 0]:
        report.notes[f"no face in the pictures looked at {looked}"] = none
    if chosen and not (several or none):
        report.notes[f"one face in every picture looked at {looked}"] = []
