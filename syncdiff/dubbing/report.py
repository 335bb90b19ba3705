"""What was dubbed and what was not, and why: as JSON, and in a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from syncdiff.dubbing.mouths import Run
from syncdiff.dubbing.people import Person
from syncdiff.dubbing.stretches import Seen
from syncdiff.dubbing.timeline import Timeline
from syncdiff.media.pictures import Form
from syncdiff.pipeline.files import write_text

NO_FACE, OTHER_FACE, HIDDEN = "no face found", "another face", "mouth hidden"


@dataclass(frozen=True)
class Report:
    """What became of one video.

    frames: of the output; `generated` of them have a generated mouth, and `closed` of those one that is closed.
    passed: by reason, the frames that are as they were.
    stretches: of each that was dubbed, whose face it is, and its frames and seconds in the output.
    people: of each, its number, the frames of the source that show it, and LSE-C with the source's own sound, or None.
    notes: what is unusual about the inputs, and what was left out.
    lse: before and after, `offset`, `lse_d`, `lse_c`, by `scorer`; empty without a SyncNet.
    """

    video: str
    sound: str
    out: str
    frames: int
    generated: int
    closed: int
    passed: dict[str, int]
    fps: float
    seconds: float
    stretches: list[dict[str, Any]]
    people: list[dict[str, Any]]
    notes: list[str]
    lse: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Say it in a line."""
        passed = ", ".join(f"{n} {reason}" for reason, n in self.passed.items())
        before, after = (self.lse.get(when, {}).get("lse_c") for when in ("before", "after"))
        scores = "" if before is None or after is None else f"; LSE-C {before:.2f} before, {after:.2f} after"
        return (
            f"{self.out}: {self.generated} of {self.frames} frames with generated lips, in {len(self.stretches)}"
            f" stretches{f'; left as they are: {passed}' if passed else ''}{scores}"
        )

    def write(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")


def report_of(
    paths: tuple[Path, Path, Path],
    form: Form,
    seen: Seen,
    people: Sequence[Person],
    timeline: Timeline,
    runs: Sequence[Run],
    hidden: set[int],
    notes: Sequence[str],
) -> Report:
    """Gather what is known once the video is written."""
    chosen, shows_face = _covered(timeline, [run.frames for run in runs]), _shows_face(seen, timeline)
    numbers = {index: person.number for person in people for index in person.stretches}
    times = timeline.times(form)
    passed = {
        OTHER_FACE: int((~chosen & shows_face).sum()),
        NO_FACE: int((~chosen & ~shows_face).sum()),
        HIDDEN: len(hidden),
    }
    video, sound, out = map(str, paths)
    return Report(
        video=video,
        sound=sound,
        out=out,
        frames=len(timeline.order),
        generated=int(chosen.sum()) - len(hidden),
        closed=int(sum((run.closing > 0.5).sum() for run in runs)),
        passed={reason: n for reason, n in passed.items() if n},
        fps=round(float(form.rate), 3),
        seconds=round(timeline.seconds, 3),
        stretches=[
            {
                "face": numbers[run.stretch],
                "frames": [run.frames.start, run.frames.stop - 1],
                "seconds": [round(float(times[run.frames.start]), 3), round(float(times[run.frames.stop - 1]), 3)],
            }
            for run in runs
        ],
        people=[
            {
                "face": person.number,
                "frames": sum(len(seen.stretches[i].frames) for i in person.stretches),
                "lse_c": None if person.sync is None else round(person.sync, 3),
            }
            for person in people
        ],
        notes=list(notes),
    )


def _covered(timeline: Timeline, frames: Sequence[range]) -> np.ndarray:
    covered = np.zeros(len(timeline.order), bool)
    for part in frames:
        covered[part.start : part.stop] = True
    return covered


def _shows_face(seen: Seen, timeline: Timeline) -> np.ndarray:
    shows = np.zeros(len(seen.ticks), bool)
    for stretch in seen.stretches:
        shows[stretch.frames.start : stretch.frames.stop] = True
    return shows[timeline.order]
