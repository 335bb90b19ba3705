"""The scripts that hold a curation against known faults: what they count, and the copies of real corpora they make."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pandas as pd
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.media.audio import read_audio
from syncdiff.media.video import read_frames

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from curation import clip_of, judge
from curation_grid import spoil

COLUMNS = ("clip", "fault", "offset", "left", "right", "first_frame", "last_frame")


def kept(clip: str, offset: int = 0, shift: int = 0, **values: object) -> dict[str, object]:
    """A row of a curation about a clip of 75 frames."""
    row = {"video": f"mvlrs_v1/main/1/{clip}.mp4", "status": "ok", "offset": offset, "shift": shift}
    return row | {"face_x": 50, "first_frame": 0, "n_frames": 75} | values


def left_out(clip: str, offset: int = 0) -> dict[str, object]:
    return kept(clip, offset, status="rejected")


def truth(*rows: tuple[object, ...]) -> pd.DataFrame:
    """Rows of `COLUMNS`; what a row does not say is empty."""
    padded = [(f"main/1/{row[0]}", *row[1:], *[None] * (len(COLUMNS) - len(row))) for row in rows]
    return pd.DataFrame(padded, columns=list(COLUMNS))


@pytest.mark.quick
def test_good_clips_that_are_lost_or_shifted_are_counted() -> None:
    rows = [kept("a"), kept("b", shift=2), left_out("c"), left_out("d"), kept("d"), left_out("x")]
    assert judge(pd.DataFrame(rows), truth(("x", "blurred")))["good"] == {"clips": 4, "lost": 0.25, "shifted": 0.25}


@pytest.mark.quick
def test_a_shift_is_found_by_leaving_out_or_correcting_and_right_only_to_the_frame() -> None:
    rows = [kept("a", 5, -5), kept("b", 5, -5), left_out("c", 5), kept("d", 5)]
    offsets = truth(("a", "shifted", 5), ("b", "shifted", 4), ("c", "shifted", 5), ("d", "shifted", 5))
    figures = judge(pd.DataFrame(rows), offsets)
    assert figures["shifted"] == {"clips": 4, "found": 0.75, "offset_right": 0.75, "corrected": 0.25}
    assert figures["wrong_sound"] == {"clips": 4, "found": 0.75}


@pytest.mark.quick
def test_a_swapped_sound_is_found_only_by_leaving_the_clip_out() -> None:
    rows = [left_out("a"), kept("b", 3, -3), kept("good")]
    figures = judge(pd.DataFrame(rows), truth(("a", "swapped"), ("b", "swapped"), ("not there", "swapped")))
    assert figures["swapped"] == figures["wrong_sound"] == {"clips": 2, "found": 0.5}
    assert figures["not_in_curation"] == 1


@pytest.mark.quick
def test_of_two_people_the_speaker_may_be_kept_and_nobody_else() -> None:
    rows = [kept("a", face_x=30), left_out("a"), kept("b", face_x=150), kept("c", face_x=30), kept("c", face_x=150)]
    people = truth(*((clip, "listener", None, 20, 60) for clip in "abc"))
    assert judge(pd.DataFrame(rows), people)["listener"] == {"clips": 3, "found": 0.3333}


@pytest.mark.quick
def test_frames_before_and_after_a_fault_may_be_kept() -> None:
    spans = {"a": (0, 30), "b": (50, 25), "c": (20, 11), "d": (40, 5)}
    rows = [kept(clip, first_frame=first, n_frames=n) for clip, (first, n) in spans.items()]
    hands = truth(*((clip, "hand", None, None, None, 30, 49) for clip in spans))
    assert judge(pd.DataFrame(rows), hands)["hand"] == {"clips": 4, "found": 0.5}


@pytest.mark.quick
def test_clips_are_named_by_the_end_of_their_path() -> None:
    assert clip_of("mvlrs_v1/main/7/00001.mp4") == clip_of("/data/x/mvlrs_v1/main/7/00001.mp4") == "main/7/00001"


def corpus(root: Path) -> Path:
    """Ten clips of two seconds in LRS2's layout, each with noise of its own."""
    clips = [f"{person}/0000{number}" for person in (1, 2) for number in range(1, 6)]
    for seed, clip in enumerate(clips):
        path = root / "mvlrs_v1/main" / f"{clip}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        source = ["-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=2"]
        noise = ["-f", "lavfi", "-i", f"anoisesrc=r=16000:d=2:seed={seed},lowpass=f=2000"]
        codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "aac", "-ac", "1"]
        run([get_ffmpeg_exe(), "-y", "-loglevel", "error", *source, *noise, *codecs, str(path)], check=True)
        path.with_suffix(".txt").write_text("Text:  A\n")
    lists = {"train": clips, "val": [], "test": []}
    for split, names in lists.items():
        (root / "mvlrs_v1" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def test_a_copy_of_a_real_corpus_has_the_faults_that_its_truth_says(tmp_path: Path) -> None:
    source, out = corpus(tmp_path / "source"), tmp_path / "out"
    spoil(source, out, shifted=0.2, swapped=0.1, seed=0)
    with (out / "truth/faults.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["fault"] for row in rows) == ["shifted", "shifted", "swapped"]
    wrong = {row["clip"] for row in rows}
    for path in source.rglob("*"):
        copy = out / path.relative_to(source)
        same = path.is_dir() or path.read_bytes() == copy.read_bytes()
        assert same == (clip_of(str(path)) not in wrong or path.suffix != ".mp4"), path
    for row in rows:
        video = Path("mvlrs_v1") / f"{row['clip']}.mp4"
        pictures, copied = (np.stack(list(read_frames(root / video))) for root in (source, out))
        np.testing.assert_array_equal(pictures, copied)
        origin = source / "mvlrs_v1" / f"{row['sound_of'] or row['clip']}.mp4"
        own, heard = (read_audio(path)[:31_000].astype(float) for path in (origin, out / video))
        match = {k: np.corrcoef(np.roll(own, -640 * k)[9000:-9000], heard[9000:-9000])[0, 1] for k in range(-13, 14)}
        assert max(match, key=lambda k: match[k]) == int(row["offset"] or 0)
        assert match[int(row["offset"] or 0)] > 0.8
