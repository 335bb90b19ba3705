"""The demo corpus with faults: each does what its truth says, and what has none is as it is without."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from syncdiff.config import Config, parse_config
from syncdiff.corpus.demo import _scripts, render_corpus
from syncdiff.corpus.demo.clip import render_identity
from syncdiff.corpus.demo.faults import COLUMNS, FAULTS, OFFSETS, Line, assign
from syncdiff.faces.boxes import bounding_box
from syncdiff.faces.facemesh import FaceMeshLandmarker
from syncdiff.faces.ibug import EYES, LIPS
from syncdiff.media.audio import read_audio
from syncdiff.media.video import read_frames

Rows = dict[str, dict[str, str]]  # kind of fault: its row of the truth


def demo(faults: float) -> Config:
    """Nine people in train, one in val, one in test, with a clip each."""
    return parse_config({"corpus": {"demo": {"identities": 11, "seconds": 1.5, "size": 144, "faults": faults}}})


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean")
    (root / "truth").mkdir()
    (root / "truth/faults.csv").write_text("of an earlier corpus in this folder, which must not stay")
    render_corpus(demo(0), root, workers=1)
    return root


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faulty")
    render_corpus(demo(0.9), root, workers=1)
    return root


@pytest.fixture(scope="module")
def rows(faulty: Path) -> Rows:
    with (faulty / "truth/faults.csv").open(newline="") as file:
        return {row["fault"]: row for row in csv.DictReader(file)}


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def video(root: Path, row: dict[str, str]) -> Path:
    return root / "mvlrs_v1" / f"{row['clip']}.mp4"


def sound(root: Path, clip: str) -> np.ndarray:
    return read_audio(root / "mvlrs_v1" / f"{clip}.mp4").astype(float)


def pictures(root: Path, row: dict[str, str]) -> np.ndarray:
    return np.stack(list(read_frames(video(root, row)))).astype(float)


def landmarks(root: Path, row: dict[str, str]) -> np.ndarray:
    return np.load(root / "truth" / f"{row['clip']}.npz")["landmarks"]


# ---- which clips -------------------------------------------------------------------------------------------------


LINES = [Line(f"{person}/{number}", person, number, "") for person in range(40) for number in range(5)]


@pytest.mark.quick
@pytest.mark.parametrize("share", [0.0, 0.3, 0.31, 1.0])
def test_as_many_clips_as_asked_have_a_fault_and_the_kinds_are_even(share: float) -> None:
    faults = assign(LINES, share, seed=3)
    kinds = Counter(fault.kind for fault in faults.values())
    assert len(faults) == round(share * 200)
    assert not kinds or (set(kinds) == set(FAULTS) and max(kinds.values()) - min(kinds.values()) <= 1)


@pytest.mark.quick
def test_a_larger_share_adds_faults_and_another_seed_chooses_other_clips() -> None:
    few, many = (assign(LINES, share, seed=3) for share in (0.2, 0.5))
    assert few == {clip: many[clip] for clip in few}
    assert set(few) != set(assign(LINES, 0.2, seed=4))


@pytest.mark.quick
def test_anothers_sound_is_another_persons() -> None:
    faults = assign(LINES, 1.0, seed=0)
    assert all(fault.other.identity != int(clip.split("/")[0]) for clip, fault in faults.items())


def test_every_kind_is_there_in_train_and_nothing_in_val_and_test(faulty: Path, rows: Rows) -> None:
    assert set(rows) == set(FAULTS)
    assert all(tuple(row) == COLUMNS for row in rows.values())
    train = (faulty / "mvlrs_v1/train.txt").read_text().split()
    assert {row["clip"] for row in rows.values()} < {f"main/{clip}" for clip in train}


def test_clips_without_a_fault_are_as_they_are_without_faults(clean: Path, faulty: Path, rows: Rows) -> None:
    before, after = files(clean), files(faulty)
    assert set(after) - set(before) == {"truth/faults.csv"}
    changed = {name for name in before if before[name] != after[name]}
    assert {Path(name).with_suffix("").as_posix().partition("/")[2] for name in changed} == {
        row["clip"] for row in rows.values()
    }


def test_a_person_alone_has_the_same_faults(faulty: Path, tmp_path: Path) -> None:
    render_identity(_scripts(demo(0.9))[0], tmp_path, size=144, seed=0)
    made, expected = files(tmp_path), files(faulty)
    assert len(made) == 3
    assert all(data == expected[name] for name, data in made.items())


# ---- the sound ---------------------------------------------------------------------------------------------------


def test_a_shifted_sound_is_the_clips_own_at_that_offset(clean: Path, faulty: Path, rows: Rows) -> None:
    row = rows["shifted"]
    own, moved = sound(clean, row["clip"]), sound(faulty, row["clip"])
    match = {offset: np.corrcoef(np.roll(own, -640 * offset), moved)[0, 1] for offset in range(-13, 14)}
    assert max(match, key=match.get) == int(row["offset"])  # positive: the sound comes before the lips
    assert match[int(row["offset"])] > 0.9
    assert {abs(offset) for offset in OFFSETS} == set(range(2, 13))
    assert np.array_equal(landmarks(clean, row), landmarks(faulty, row))


def test_a_swapped_sound_is_the_other_clips(clean: Path, faulty: Path, rows: Rows) -> None:
    row = rows["swapped"]
    other, heard = sound(clean, row["sound_of"]), sound(faulty, row["clip"])
    both = min(len(other), len(heard))
    assert len(heard) == len(sound(clean, row["clip"]))
    assert np.corrcoef(other[: both - 2000], heard[: both - 2000])[0, 1] > 0.95
    assert row["sound_of"].split("/")[1] != row["clip"].split("/")[1]


def test_a_muted_half_is_silent_and_the_other_is_not(clean: Path, faulty: Path, rows: Rows) -> None:
    row = rows["muted"]
    first, last = int(row["first_frame"]), int(row["last_frame"])
    own, heard = (sound(root, row["clip"])[: 640 * 200] for root in (clean, faulty))
    silent = np.zeros(len(heard), bool)
    silent[640 * first : 640 * (last + 1)] = True
    edge = 2048  # AAC smears over a frame of its own
    inside = heard[640 * first + edge : 640 * (last + 1) - edge]
    assert np.abs(inside).max() < 0.01 * np.abs(own).max()
    outside = np.convolve(silent, np.ones(2 * edge + 1), "same") == 0
    np.testing.assert_allclose(heard[outside], own[outside], atol=0.02 * np.abs(own).max())
    assert abs((last + 1 - first) - len(landmarks(faulty, row)) / 2) <= 1


# ---- the picture -------------------------------------------------------------------------------------------------


def sharpness(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames, axis=2)).mean())


def test_a_blurred_picture_is_less_sharp(clean: Path, faulty: Path, rows: Rows) -> None:
    row = rows["blurred"]
    assert sharpness(pictures(faulty, row)) < 0.6 * sharpness(pictures(clean, row))
    assert 144 / 96 <= float(row["sigma"]) <= 144 / 48
    assert np.array_equal(landmarks(clean, row), landmarks(faulty, row))


def test_a_tiny_face_is_as_small_as_the_truth_says(clean: Path, faulty: Path, rows: Rows) -> None:
    row = rows["tiny"]
    large, small = (np.linalg.norm(np.ptp(landmarks(root, row), axis=1), axis=1) for root in (clean, faulty))
    np.testing.assert_allclose(small, float(row["scale"]) * large, rtol=0.02)


def test_the_listener_is_the_larger_face_and_beside_the_speaker(faulty: Path, rows: Rows) -> None:
    row = rows["listener"]
    found = [faces for faces in FaceMeshLandmarker().track(read_frames(video(faulty, row))) if len(faces) == 2]
    assert len(found) > 0.8 * len(landmarks(faulty, row))
    left, top, right, bottom = (float(row[side]) for side in ("left", "top", "right", "bottom"))
    for faces in found:
        areas = {within(face, left, right): area(face) for face in faces}
        assert areas[False] > 1.3 * areas[True]
    assert (right < 72) == (row["side"] == "left")
    true = landmarks(faulty, row)
    assert left <= true[..., 0].min() and true[..., 0].max() <= right
    assert top <= true[..., 1].min() and true[..., 1].max() <= bottom


def test_the_listener_keeps_the_mouth_shut(faulty: Path, rows: Rows) -> None:
    row = rows["listener"]
    opened: dict[bool, list[float]] = {True: [], False: []}
    for faces in FaceMeshLandmarker().track(read_frames(video(faulty, row))):
        for face in faces:
            eyes = np.linalg.norm(face[36] - face[45])
            speaks = within(face, float(row["left"]), float(row["right"]))
            opened[speaks].append(float(np.linalg.norm(face[62] - face[66]) / eyes))
    assert np.std(opened[False]) < 0.3 * np.std(opened[True])


def within(face: np.ndarray, left: float, right: float) -> bool:
    return bool(left < face[:, 0].mean() < right)


def area(face: np.ndarray) -> float:
    left, top, right, bottom = bounding_box(face)
    return float((right - left) * (bottom - top))


def test_a_cut_changes_everything_at_its_frame_and_nothing_before(clean: Path, faulty: Path, rows: Rows) -> None:
    row = rows["cut"]
    first, frames, own = int(row["first_frame"]), pictures(faulty, row), pictures(clean, row)
    changes = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert int(changes.argmax()) + 1 == first
    assert np.abs(frames[:first] - own[:first]).mean() < 2  # the encoder's
    assert 0.35 < first / len(frames) < 0.65
    assert int(row["last_frame"]) == len(frames) - 1
    assert np.load(faulty / "truth" / f"{row['clip']}.npz")["opening"][first:].max() < 0.02


def test_a_hand_covers_the_mouth_in_its_frames_alone(clean: Path, faulty: Path, rows: Rows) -> None:
    row = rows["hand"]
    first, last = int(row["first_frame"]), int(row["last_frame"])
    change = np.abs(pictures(faulty, row) - pictures(clean, row)).mean(axis=3)
    true = landmarks(faulty, row)
    at: Callable[[slice], list[float]] = lambda part: [  # noqa: E731
        float(change[t, round(float(y)), round(float(x))]) for t, (x, y) in enumerate(true[:, part].mean(axis=1))
    ]
    mouth, eyes = np.array(at(LIPS)), np.array(at(EYES))
    assert np.median(mouth[first + 4 : last - 3]) > 12
    assert max(mouth[:first].max(), mouth[last + 1 :].max()) < 12
    assert np.median(eyes) < 12
