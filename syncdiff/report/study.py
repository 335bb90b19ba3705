"""The page of a blind study: pairs of videos of one clip under one sound, and the key that says which is which."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from syncdiff.config import Config
from syncdiff.errors import ClipRejected
from syncdiff.media.audio import SAMPLES_PER_FRAME, read_audio
from syncdiff.media.container import FPS
from syncdiff.pipeline.files import write_text
from syncdiff.report.gallery import GalleryClip, beginning, embedded_mp4, resized
from syncdiff.report.jinja import template

log = logging.getLogger(__name__)

MAX_PAIRS = 24  # a rater's ten minutes
SIDES = ("a", "b")
KEY_COLUMNS = ["study", "pair", "clip", *SIDES]


@dataclass(frozen=True)
class Question:
    """What a rater is asked of each pair: `name` in the answers, the words on the page, and in the results."""

    name: str
    words: str
    result: str


QUESTIONS = (
    Question("sync", "In which do the lips fit the sound better?", "in sync"),
    Question("real", "Which of them looks more like a real recording?", "real"),
)


@dataclass(frozen=True)
class Pair:
    """Two videos of one clip."""

    shown: GalleryClip
    a: str  # method
    b: str


def write_study(
    config: Config, clips: Sequence[GalleryClip], runs: Mapping[str, Path], out_html: Path, out_key: Path
) -> None:
    """Write the page that raters open, and the key, which they must not see.

    The videos lie inside the page under numbers, all made anew by one encoder with the source's sound, and no name of a
    method is in it. A pair of which a video is missing is left out, and said. Without two methods there is no pair.

    Args:
        config: with `evaluate.study` and the seed.
        clips: that may be shown.
        runs: method -> folder of its run, `real` among them.
        out_html: the page.
        out_key: CSV with KEY_COLUMNS.
    """
    methods = [method for method in config.evaluate.study if method in runs]
    shown = [(pair, videos) for pair in pairs(clips, methods, config.seed) if (videos := _videos(config, pair, runs))]
    rows = [[number, pair.shown.clip, pair.a, pair.b] for number, (pair, _) in enumerate(shown, start=1)]
    study = hashlib.sha256(repr(rows).encode()).hexdigest()[:8]
    write_text(
        out_html, template("study.html.j2").render(study=study, pairs=[v for _, v in shown], questions=QUESTIONS)
    )
    write_text(out_key, _as_csv([KEY_COLUMNS, *([study, *row] for row in rows)]))


def pairs(clips: Sequence[GalleryClip], methods: Sequence[str], seed: int) -> list[Pair]:
    """Return pairs of methods in a random order, each on a random side; MAX_PAIRS at most, spread over the clips."""
    order = np.random.default_rng(seed)
    drawn = [Pair(clips[place], *both) for place in order.permutation(len(clips)) for both in combinations(methods, 2)]
    places = np.linspace(0, len(drawn) - 1, min(len(drawn), MAX_PAIRS)).round().astype(int)
    kept = [drawn[place] for place in order.permutation(places)]
    return [Pair(pair.shown, pair.b, pair.a) if order.random() < 0.5 else pair for pair in kept]


def _videos(config: Config, pair: Pair, runs: Mapping[str, Path]) -> tuple[str, str] | None:
    """Return both videos, base64 of an mp4, as long and as large as each other; None where one cannot be read."""
    try:
        a, b = (beginning(config, pair.shown, method, "paired", runs[method])[0] for method in (pair.a, pair.b))
        sound = read_audio(pair.shown.source, pair.shown.first_frame / FPS)
    except (ClipRejected, OSError) as error:
        log.warning("study: %s, %s and %s: left out (%s)", pair.shown.clip, pair.a, pair.b, error)
        return None
    n_frames, height = min(len(a), len(b)), min(len(a[0]), len(b[0]))
    sides = ([resized(frame, height) for frame in side[:n_frames]] for side in (a, b))
    first, second = (embedded_mp4(frames, sound[: n_frames * SAMPLES_PER_FRAME]) for frames in sides)
    return first, second


def _as_csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
