"""Faces where people's videos have them: small, turned, cut off by an edge, several at once. All are rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from syncdiff.config import Faces, parse_config
from syncdiff.corpus.demo import render_corpus
from syncdiff.errors import ClipRejected
from syncdiff.evaluation.crops import TRACKED, face_boxes, faces_of, scored_pictures
from syncdiff.evaluation.metrics import lse
from syncdiff.evaluation.metrics.lse import SyncScore, in_words, score_videos
from syncdiff.faces.align import align
from syncdiff.faces.landmarks import Landmarker, open_landmarker
from syncdiff.faces.shard import faces_shard
from syncdiff.faces.track import candidates, find_speaker, largest, quarter_turns
from syncdiff.media.video import read_frames, write_video
from syncdiff.models.syncnet import SyncNet, load_syncnet, save_syncnet

SIDE = 192  # of the demo's pictures
SIZES = [(640, 360), (1280, 720), (1920, 1080), (1080, 1920), (3840, 2160), (2560, 720), (360, 1280)]


@dataclass(frozen=True)
class Person:
    """Pictures (T, 192, 192, 3) of a face, and its true landmarks (T, 68, 2)."""

    frames: np.ndarray
    landmarks: np.ndarray

    @property
    def height(self) -> float:
        """From brows to chin, in pixels."""
        return float(np.ptp(self.landmarks[0, :, 1]))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Person]:
    root = tmp_path_factory.mktemp("people")
    demo = {"identities": 3, "clips_per_identity": 1, "seconds": 1.2}
    render_corpus(parse_config({"corpus": {"demo": demo}}), root, workers=1)
    videos = sorted((root / "mvlrs_v1").rglob("*.mp4"))
    truths = [np.load(str(video).replace("mvlrs_v1", "truth").replace(".mp4", ".npz")) for video in videos]
    return [
        Person(np.stack(list(read_frames(video)))[:30], truth["landmarks"][:30])
        for video, truth in zip(videos, truths, strict=True)
    ]


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return open_landmarker(Faces())


def placed(person: Person, size: tuple[int, int], scale: float, corner: tuple[float, float], n: int = 8) -> np.ndarray:
    """The person's pictures in grey ones of `size` (width, height), their corner there, which may be outside."""
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = [cv2.resize(frame, None, fx=scale, fy=scale, interpolation=way) for frame in person.frames[:n]]
    out = np.full((n, size[1], size[0], 3), 70, np.uint8)
    x, y = map(round, corner)
    side = len(small[0])
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, size[0]), min(y + side, size[1])
    for picture, face in zip(out, small, strict=True):
        picture[y0:y1, x0:x1] = face[y0 - y : y1 - y, x0 - x : x1 - x]
    return out


def mouth_error(found: list[list[np.ndarray]], truth: np.ndarray) -> float:
    """Median distance of the mouth's points from the truth (T, 68, 2), in distances between the eyes."""
    assert [len(faces) for faces in found] == [1] * len(found)
    seen, true = np.stack([faces[0] for faces in found]), truth[: len(found)]
    eyes = np.linalg.norm(true[:, 36:42].mean(axis=1) - true[:, 42:48].mean(axis=1), axis=1)
    return float(np.median(np.linalg.norm(seen - true, axis=2)[:, 48:] / eyes[:, None]))


def silent(frames: Iterable[np.ndarray], path: Path) -> Path:
    frames = list(frames)
    write_video(path, frames, [np.zeros(640 * len(frames), np.int16)])
    return path


# ---- size and place ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_face_of_45_pixels_is_found_in_pictures_of_all_sizes(
    size: tuple[int, int], landmarker: Landmarker, people: list[Person]
) -> None:
    person, scale = people[0], 45 / people[0].height
    corner = round(0.6 * size[0]), round(0.4 * size[1])
    found = list(landmarker.track(placed(person, size, scale, corner, n=4)))
    assert mouth_error(found, person.landmarks * scale + corner) < 0.15


def test_a_small_face_behind_a_title_is_found_when_its_scene_begins(
    landmarker: Landmarker, people: list[Person]
) -> None:
    wall = np.random.default_rng(0).integers(60, 200, (9, 16, 3), np.uint8)
    scene = placed(people[0], (1280, 720), 0.5, (800, 300))
    wall = cv2.resize(wall, (1280, 720))
    scene[:, :, :640] = wall[:, :640]
    found = list(landmarker.track([np.zeros_like(scene[0])] * 12 + list(scene)))
    assert [len(faces) for faces in found] == [0] * 12 + [1] * 8


def test_a_small_face_is_found_again_where_it_was_hidden(landmarker: Landmarker, people: list[Person]) -> None:
    frames = placed(people[0], (1280, 720), 0.5, (800, 300), n=20)
    frames[8:11] = 70
    assert [len(faces) for faces in landmarker.track(frames)] == [1] * 8 + [0] * 3 + [1] * 9


@pytest.mark.parametrize("part", [1.0, 1.2, 1.4])
def test_a_face_larger_than_the_picture_is_found(part: float, landmarker: Landmarker, people: list[Person]) -> None:
    """From brows to chin it has this part of the picture's height."""
    person, scale = people[0], part * 480 / people[0].height
    corner = 240 - scale * (person.landmarks[0].min(axis=0) + person.landmarks[0].max(axis=0)) / 2
    corner = np.round(corner)
    found = list(landmarker.track(placed(person, (480, 480), scale, tuple(corner))))
    assert mouth_error(found, person.landmarks * scale + corner) < 0.08


@pytest.mark.parametrize("part", [0.15, 0.25])
def test_a_face_that_is_partly_above_the_picture_is_found(
    part: float, landmarker: Landmarker, people: list[Person]
) -> None:
    person, scale = people[0], 200 / people[0].height
    corner = np.round([200, -scale * person.landmarks[0, :, 1].min() - part * 200])
    found = list(landmarker.track(placed(person, (640, 400), scale, tuple(corner))))
    assert mouth_error(found, person.landmarks * scale + corner) < 0.08


def test_a_picture_of_48_pixels_is_large_enough(landmarker: Landmarker, people: list[Person]) -> None:
    found = list(landmarker.track(placed(people[0], (48, 48), 0.25, (0, 0))))
    assert mouth_error(found, people[0].landmarks * 0.25) < 0.2


def test_the_reason_says_which_faces_are_not_seen(landmarker: Landmarker, tmp_path: Path) -> None:
    silent([np.zeros((64, 64, 3), np.uint8)] * 8, tmp_path / "black.mp4")
    with pytest.raises(ClipRejected, match=r"^no face in any of 8 frames \(not seen are faces under about 25 pixels"):
        find_speaker(tmp_path / "black.mp4", landmarker, Faces())


# ---- turned --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("size", [(192, 192), (640, 360)])
def test_a_turned_video_gives_upright_crops_and_a_note(
    turns: int, size: tuple[int, int], landmarker: Landmarker, people: list[Person], tmp_path: Path
) -> None:
    """As a phone's that has lost its metadata."""
    frames = placed(people[0], size, 1, (0, 0), n=8)
    settings = Faces(min_track_frames=6)
    crops = []
    for name, pictures in (("upright", frames), ("turned", [np.rot90(frame, turns) for frame in frames])):
        segment = find_speaker(silent(pictures, tmp_path / f"{name}.mp4"), landmarker, settings)
        assert len(segment.landmarks) == 8
        crops.append(np.stack(list(align(tmp_path / f"{name}.mp4", segment, settings)[1])).astype(int))
    assert segment.note == f"the face is turned by {90 * (-turns % 4)} degrees clockwise: made upright"
    assert np.abs(crops[0] - crops[1]).mean() < 6


def test_the_face_protocol_sees_a_turned_face_upright(people: list[Person], tmp_path: Path) -> None:
    frames = placed(people[0], (320, 240), 1, (60, 20))
    views = []
    for turns in range(4):
        video = silent([np.rot90(frame, turns) for frame in frames], tmp_path / f"{turns}.mp4")
        views.append(np.stack(list(scored_pictures(video, 112, "face", jpeg=False)[1])).astype(int))
    assert max(np.abs(view - views[0]).mean() for view in views[1:]) < 6


@pytest.mark.quick
def test_quarter_turns_are_those_of_numpy() -> None:
    face = np.zeros((5, 68, 2))
    face[:, 48:] = [0, 50]  # the mouth below the eyes
    right = face[..., ::-1]  # the mouth right of them
    assert [quarter_turns(view) for view in (face, -right, -face, right)] == [0, 1, 2, 3]


# ---- several -------------------------------------------------------------------------------------------------------


def beside(left: np.ndarray, right: np.ndarray, scale: float = 1.25) -> Iterator[np.ndarray]:
    """Two faces in one picture, the right one larger."""
    for a, b in zip(left, right, strict=False):
        picture = np.full((360, 640, 3), 70, np.uint8)
        picture[80 : 80 + SIDE, 60 : 60 + SIDE] = a
        picture[60 : 60 + int(SIDE * scale), 340 : 340 + int(SIDE * scale)] = cv2.resize(b, None, fx=scale, fy=scale)
        yield picture


def test_the_ledger_says_that_there_were_two_faces(people: list[Person], tmp_path: Path) -> None:
    video = silent(beside(people[0].frames, people[1].frames), tmp_path / "two.mp4")
    row = {"clip": "two", "video": str(video), "width": 640, "height": 360, "text": "", "split": "test"}
    pd.DataFrame([row | {"status": "ok", "shard": "00000"}]).to_parquet(tmp_path / "plan.parquet")
    out = tmp_path / "faces.tar", tmp_path / "faces.parquet"
    faces_shard(parse_config({}), tmp_path / "plan.parquet", "test", "00000", *out)
    assert pd.read_parquet(out[1])["reason"].tolist() == ["2 faces: the larger was taken"]


def test_the_one_in_sync_is_scored_unless_the_largest_is_asked_for(
    people: list[Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a judge to whom the bright one is in sync. A video with one face gives the same either way."""

    def judge(frames: Iterable[np.ndarray], audio: np.ndarray, net: SyncNet) -> SyncScore:
        return SyncScore(0, 10.0, float(np.mean(list(frames))), len(audio) // 640)

    monkeypatch.setattr(lse, "score", judge)
    save_syncnet(SyncNet(0.125, 64), tmp_path / "syncnet.safetensors", "test")
    bright = people[0].frames // 2 + 120
    videos = [
        silent(beside(bright, people[1].frames // 2), tmp_path / "two.mp4"),
        silent(people[1].frames, tmp_path / "one.mp4"),
    ]
    speaking = score_videos(videos, tmp_path / "syncnet.safetensors")["videos"]
    scores = score_videos(videos, tmp_path / "syncnet.safetensors", face="largest")
    largest_face = scores["videos"]
    assert speaking[0]["note"] == "2 faces: the one most in sync was taken"
    assert largest_face[0]["note"] == "2 faces: the larger was taken"
    assert speaking[0]["lse_c"] > largest_face[0]["lse_c"] + 60
    assert speaking[1] == largest_face[1]
    assert speaking[1]["note"] == ""
    lines = list(in_words(scores))
    assert lines[0].endswith("windows (2 faces: the larger was taken)")
    assert lines[1].endswith("windows")


def found_at(tracks: dict[int, range], n_frames: int) -> list[tuple[bool, list[np.ndarray]]]:
    """Faces of the size of their key, in these frames, in a row."""
    shape = np.random.default_rng(0).uniform(0, 1, (68, 2)).astype(np.float32)
    shape[48:, 1] += 1  # the mouth below the eyes
    faces = {size: size * shape + [500 * place, 0] for place, size in enumerate(tracks)}
    return [(False, [faces[size] for size in tracks if index in tracks[size]]) for index in range(n_frames)]


@pytest.mark.quick
def test_what_was_seen_and_not_taken_is_counted() -> None:
    segments = candidates(found_at({50: range(40), 60: range(60), 40: range(20, 60), 30: range(5, 9)}, 60), 5, 25)
    assert [(segment.start, len(segment.landmarks)) for segment in segments] == [(0, 60), (0, 40), (20, 40)]
    note = "faces seen too briefly to be taken: 1; 3 faces: the largest was taken"
    assert largest(segments).note == note


@pytest.mark.quick
def test_faces_of_other_scenes_are_no_rivals() -> None:
    segments = candidates(found_at({50: range(40), 60: range(50, 90)}, 90), 5, 25)
    assert [segment.note for segment in segments] == [
        "kept frames 50 to 89 of 90: the largest face is not found before"
    ]


@pytest.mark.quick
def test_frames_without_the_face_are_counted() -> None:
    found = found_at({50: range(40)}, 40)
    found[10:13] = [(False, [])] * 3
    assert [segment.note for segment in candidates(found, 5, 25)] == ["interpolated over 3 frames without the face"]


def test_two_faces_that_cross_are_two_tracks_to_the_end(people: list[Person], landmarker: Landmarker) -> None:
    """The one in front stays one track."""

    def crossing() -> Iterator[np.ndarray]:
        for step, (a, b) in enumerate(zip(people[0].frames, people[1].frames, strict=False)):
            picture = np.full((240, 640, 3), 70, np.uint8)
            for x, face in ((420 - 14 * step, b), (20 + 14 * step, a)):
                picture[20 : 20 + SIDE, x : x + SIDE] = face
            yield picture

    found = [(False, faces) for faces in landmarker.track(crossing())]
    front = candidates(found, 5, 6)[0]
    assert (front.start, len(front.landmarks)) == (0, len(found))
    centres = front.landmarks.mean(axis=(1, 2))
    assert np.abs(np.diff(centres)).max() < 12


# ---- what SyncNet is shown -----------------------------------------------------------------------------------------


def test_six_frames_are_enough_for_the_face_protocol(people: list[Person], tmp_path: Path) -> None:
    video = silent(people[0].frames[:6], tmp_path / "six.mp4")
    _, boxes = face_boxes(video)
    assert (np.abs(boxes - np.median(boxes, axis=0)) < 10).all()
    assert len(list(scored_pictures(video, 64, "face", jpeg=False)[1])) == 6


def test_a_syncnet_is_shown_crops_of_the_size_it_was_trained_on(people: list[Person], tmp_path: Path) -> None:
    """The mouth of a crop of 128 pixels has more detail than that of one of 64."""
    video = silent(placed(people[0], (480, 480), 2.5, (0, 0)), tmp_path / "large.mp4")
    face = faces_of(video)[0]
    sharpness = {}
    for crop_size in (64, 128):
        save_syncnet(SyncNet(0.125, 64), tmp_path / "syncnet.safetensors", "test", crop_size)
        loaded = load_syncnet(tmp_path / "syncnet.safetensors")
        assert loaded.crop_size == crop_size
        faces = TRACKED.model_copy(update={"size": loaded.crop_size})
        _, views = scored_pictures(video, 64, "aligned", False, face, faces)
        sharpness[crop_size] = float(np.mean([cv2.Laplacian(view, cv2.CV_64F).std() for view in views]))
    assert sharpness[128] > 1.2 * sharpness[64]


def test_score_takes_the_size_of_crops_from_the_file(
    people: list[Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    original = lse.scored_pictures

    def watched(*given: object) -> object:
        asked.append(given[-1].size)  # type: ignore[attr-defined]
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(lse, "scored_pictures", watched)
    save_syncnet(SyncNet(0.125, 64), tmp_path / "syncnet.safetensors", "test", 128)
    score_videos([silent(people[0].frames[:8], tmp_path / "a.mp4")], tmp_path / "syncnet.safetensors")
    assert asked == [128]
