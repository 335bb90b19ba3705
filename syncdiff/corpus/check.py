"""`syncdiff corpus check`: what a tree of clips holds and what is wrong with it, before a thousand jobs are queued."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from syncdiff.artifacts import each_clip
from syncdiff.config import parse_config
from syncdiff.corpus.listing import list_clips
from syncdiff.corpus.lrs import LRS2, LRS3
from syncdiff.corpus.plan import PROBE_LIMIT_S, Facts, inspect, refusal
from syncdiff.corpus.split import ListedClip
from syncdiff.errors import UserError
from syncdiff.media.video import FPS

EXAMPLES = 3


@dataclass
class Report:
    """What `check_corpus` found."""

    path: Path
    kind: str
    clips: Counter[str] = field(default_factory=Counter)  # split: listed clips
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # split: of readable video
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # what is wrong: clip ids


def check_corpus(path: Path, kind: str | None = None, workers: int = 1) -> Report:
    """Read a corpus tree, every clip's headers and transcript included.

    Args:
        path: what `corpus.root` would name.
        kind: lrs2, lrs3 or folder; None: recognised by the layout.

    Raises:
        UserError: no such folder, no clips in it, or a list that names no existing clip.
    """
    report = Report(path, kind or recognise(path))
    # No validation speakers: holding them out of LRS3's pretrain is a choice of the config, not a fault of the corpus.
    config = parse_config({"corpus": {"kind": report.kind, "root": str(path), "val_fraction": 0}})
    clips = list_clips(config)
    found = list(each_clip(inspect, clips, workers, "check", PROBE_LIMIT_S))
    sizes = Counter(_size(outcome.value) for _, outcome in found if outcome.value)
    for listed, outcome in found:
        problems = [outcome.reason] if outcome.reason else []
        report.clips[listed.split] += 1
        if outcome.value:
            report.seconds[listed.split] += outcome.value.probe.duration_s
            refused = filter(None, [refusal(outcome.value.probe, config.plan)])
            problems += refused if report.kind == "folder" else _oddities(outcome.value, sizes.most_common(1)[0][0])
        for problem in problems:
            report.problems[problem].append(listed.clip)
    if report.kind == "lrs2" and clips:
        _compare_with_lists(report, clips)
    return report


def recognise(path: Path) -> str:
    """Return the kind of corpus that lies at `path`: lrs2, lrs3, or else folder."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; name the folder that holds the corpus")
    for kind, name in (("lrs2", LRS2), ("lrs3", LRS3)):
        if (path / name).is_dir() or path.resolve().name == name:
            return kind
    return "folder"


def print_report(report: Report) -> None:
    """Print the splits as a table, then each kind of problem with a few of the clips that have it."""
    console = Console(highlight=False)
    console.print(f"{report.path}: {report.kind}", markup=False, soft_wrap=True)
    table = Table("split", "clips", "hours")
    for split, n_clips in report.clips.items():
        table.add_row(split, f"{n_clips:,}", f"{report.seconds[split] / 3600:.3f}")
    console.print(table)
    for problem, clips in sorted(report.problems.items(), key=lambda item: -len(item[1])):
        more = f" and {len(clips) - EXAMPLES} more" if len(clips) > EXAMPLES else ""
        console.print(f"{len(clips)} x {problem}: {', '.join(clips[:EXAMPLES])}{more}", markup=False, soft_wrap=True)
    console.print(f"kinds of problems: {len(report.problems)}")


def _oddities(facts: Facts, usual_size: str) -> Iterator[str]:
    """Yield what LRS clips never show: no sound, another frame rate or size, nothing said."""
    if facts.probe.audio_rate is None:
        yield "no audio stream"
    if abs(facts.probe.fps - FPS) > 0.01:
        yield f"{facts.probe.fps:.4g} fps instead of {FPS}"
    if _size(facts) != usual_size:
        yield f"{_size(facts)} pixels, unlike most ({usual_size})"
    if not facts.text:
        yield "empty or missing transcript"


def _size(facts: Facts) -> str:
    return f"{facts.probe.width}x{facts.probe.height}"


def _compare_with_lists(report: Report, clips: Sequence[ListedClip]) -> None:
    """Add clips that stand in two lists, and files that stand in none."""
    lists = Counter(listed.clip for listed in clips)
    if twice := [clip for clip, n in lists.items() if n > 1]:
        report.problems["in more than one list"] = twice
    base = Path(clips[0].video.removesuffix(f"{clips[0].clip}.mp4"))
    on_disk = [path.relative_to(base).with_suffix("").as_posix() for path in base.glob("*/*/*.mp4")]
    if unlisted := sorted(clip for clip in on_disk if clip not in lists):
        report.problems["in no list"] = unlisted
