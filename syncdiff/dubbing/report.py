"""What was dubbed and what was not, and why: as JSON, and in lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from syncdiff.dubbing.cues import CueSheet
from syncdiff.dubbing.voices import is_table
from syncdiff.media.audio import SAMPLE_RATE
from syncdiff.media.container import FPS
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
    left: of each row of frames that passed, why, and its frames and seconds in the output.
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
    left: list[dict[str, Any]] = field(default_factory=list)
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


def report_of(sheet: CueSheet, out: Path, hidden: set[int], notes: Sequence[str]) -> Report:
    """Gather what is known once the video is written.

    Args:
        hidden: frames of a run in which the mouth was hidden.
        notes: see `remarks`.
    """
    why = _why(sheet, hidden)
    passed = {reason: int((why == reason).sum()) for reason in (OTHER_FACE, NO_FACE, HIDDEN)}
    return Report(
        video=str(sheet.video.path),
        sound=str(sheet.sound),
        out=str(out),
        frames=len(why),
        generated=int((why == "").sum()),
        closed=int((_closed(sheet) & (why == "")).sum()),
        passed={reason: n for reason, n in passed.items() if n},
        fps=round(float(sheet.video.form.rate), 3),
        seconds=round(sheet.timeline.seconds, 3),
        stretches=list(_stretches(sheet)),
        people=list(_people(sheet)),
        notes=list(notes),
        left=list(_left(sheet, why)),
    )


def _why(sheet: CueSheet, hidden: set[int]) -> np.ndarray:
    """Return why each frame of the output passed, (N,); "" where it did not."""
    shows = np.zeros(len(sheet.seen.ticks), bool)
    for stretch in sheet.seen.stretches:
        shows[stretch.frames.start : stretch.frames.stop] = True
    why = np.where(shows[sheet.timeline.order], OTHER_FACE, NO_FACE).astype(object)
    for run in sheet.runs:
        why[run.frames.start : run.frames.stop] = ""
    why[sorted(hidden)] = HIDDEN
    return why


def _closed(sheet: CueSheet) -> np.ndarray:
    """Return in which frames of the output a mouth is closed for silence, (N,)."""
    closed = np.zeros(len(sheet.timeline.order), bool)
    for run in sheet.runs:
        closed[run.frames.start : run.frames.stop] |= run.closing > 0.5
    return closed


def _stretches(sheet: CueSheet) -> Iterator[dict[str, Any]]:
    numbers = {index: person.number for person in sheet.people for index in person.stretches}
    for run in sheet.runs:
        yield {"face": numbers[run.stretch], **_place(sheet, run.frames)}


def _left(sheet: CueSheet, why: np.ndarray) -> Iterator[dict[str, Any]]:
    starts = [index for index in range(len(why)) if not index or why[index] != why[index - 1]]
    for start, stop in zip(starts, [*starts[1:], len(why)], strict=True):
        if why[start]:
            yield {"why": str(why[start]), **_place(sheet, range(start, stop))}


def _place(sheet: CueSheet, frames: range) -> dict[str, Any]:
    """Return the first and the last of frames of the output, and when these are due."""
    times = sheet.timeline.times(sheet.video.form)
    ends = [frames[0], frames[-1]]
    return {"frames": ends, "seconds": [round(float(times[index]), 3) for index in ends]}


def _people(sheet: CueSheet) -> Iterator[dict[str, Any]]:
    for person in sheet.people:
        yield {
            "face": person.number,
            "frames": sum(len(sheet.seen.stretches[index].frames) for index in person.stretches),
            "lse_c": None if person.sync is None else round(person.sync, 3),
        }


def remarks(sheet: CueSheet) -> Iterator[str]:
    """Say, a line each, what is unusual about the video, and what of video and sound is left out, added or kept."""
    form, path = sheet.video.form, sheet.video.path
    for note in form.notes:
        yield f"{path}: {note}"
    if form.is_hdr:
        yield f"{path}: HDR is kept; the mouth is generated in the signal's own values"
    yield from _cut_off(sheet) if is_table(sheet.sound) else _lengths(sheet)


def _cut_off(sheet: CueSheet) -> Iterator[str]:
    for voice in sheet.voices:
        left = voice.start + voice.n_samples / SAMPLE_RATE - min(voice.end, _picture_s(sheet))
        if left >= 1 / FPS:
            yield f"{voice.sound}: its last {left:.2f} s are left out, for its place in {sheet.sound} ends before"


def _lengths(sheet: CueSheet) -> Iterator[str]:
    rate, video, sound = float(sheet.video.form.rate), sheet.video.path, sheet.sound
    sound_s, picture_s, seconds = sheet.voices[0].n_samples / SAMPLE_RATE, _picture_s(sheet), sheet.timeline.seconds
    if sound_s - seconds >= 1 / rate:
        yield f"{sound}: its last {sound_s - seconds:.2f} s are left out, for {video} ends before"
    if picture_s - seconds >= 1 / rate:
        yield f"{video}: its last {picture_s - seconds:.2f} s are left out, for {sound} ends before"
    if seconds - sound_s >= 1 / rate:
        yield f"{sound}: ends {seconds - sound_s:.2f} s before {video}: silence follows"
    if seconds - picture_s >= 1 / rate:
        again = sheet.timeline.kept / rate
        yield f"{video}: its last {again:.2f} s go there and back for {seconds - picture_s:.2f} s more"


def _picture_s(sheet: CueSheet) -> float:
    form = sheet.video.form
    return float(sheet.seen.ticks[-1] * form.tick + 1 / form.rate)
