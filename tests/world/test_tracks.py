"""A film of several shots and people: every face of it, for long enough, is a clip, and the sums are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from syncdiff.config import Config, parse_config
from syncdiff.corpus.demo import render_corpus
from syncdiff.errors import UserError
from syncdiff.faces.shard import faces_shard
from syncdiff.media import replay
from syncdiff.media.audio import read_wav
from syncdiff.media.replay import Replay
from syncdiff.media.video import decode_crops, read_frames, write_video
from syncdiff.shards.tar import decode_npy, metadata, read_shard

SIDE = 192
SHOTS = {"one": 60, "none": 10, "two": 40, "brief": 8}  # frames


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames 0 to 59 show one person, 70 to 109 two, 110 to 117 a third; the sound is a count of the frames."""
    root = tmp_path_factory.mktemp("film")
    demo = {"identities": 3, "clips_per_identity": 1, "seconds": 3.0}
    render_corpus(parse_config({"corpus": {"demo": demo}}), root, workers=1)
    people = [list(read_frames(video)) for video in sorted((root / "mvlrs_v1").rglob("*.mp4"))]
    sound = np.arange(1, sum(SHOTS.values()) + 1, dtype=np.int16).repeat(640) * 100
    write_video(root / "film.mp4", _shots(people), [sound])
    return root / "film.mp4"


def _shots(people: list[list[np.ndarray]]) -> Iterator[np.ndarray]:
    for frame in people[0][: SHOTS["one"]]:
        yield _picture({(60, 20): frame})
    yield from [np.full((240, 480, 3), 30, np.uint8)] * SHOTS["none"]
    for left, right in zip(people[1][: SHOTS["two"]], people[2], strict=False):
        yield _picture({(10, 30): left, (270, 20): right}, ground=140)
    for frame in people[2][: SHOTS["brief"]]:
        yield _picture({(200, 40): frame}, ground=20)


def _picture(faces: dict[tuple[int, int], np.ndarray], ground: int = 70) -> np.ndarray:
    picture = np.full((240, 480, 3), ground, np.uint8)
    for (x, y), face in faces.items():
        picture[y : y + SIDE, x : x + SIDE] = cv2.resize(face, (SIDE, SIDE))
    return picture


def run(film: Path, folder: Path, workers: int = 1, **faces: object) -> tuple[Path, pd.DataFrame]:
    """The stage over the film and a short one of its own, with pieces of at most 2 s."""
    settings = {"tracks": "all", "max_track_seconds": 2, **faces}
    config: Config = parse_config({"corpus": {"kind": "folder", "root": str(film.parent)}, "faces": settings})
    row = {"width": 480, "height": 240, "text": "words", "status": "ok", "split": "test", "shard": "00000"}
    rows = [row | {"clip": name, "video": str(film)} for name in ("a/film.mp4", "b.mp4")]
    folder.mkdir()
    pd.DataFrame(rows).to_parquet(folder / "plan.parquet")
    faces_shard(config, folder / "plan.parquet", "test", "00000", folder / "f.tar", folder / "f.parquet", workers)
    return folder / "f.tar", pd.read_parquet(folder / "f.parquet")


def test_every_face_of_a_film_is_a_clip_or_has_a_row(film: Path, tmp_path: Path) -> None:
    tar, ledger = run(film, tmp_path / "out")
    rows = ledger[ledger["file"] == "a/film.mp4"]
    assert list(zip(rows["clip"], rows["status"], rows["first_frame"], rows["n_frames"], strict=True)) == [
        ("a/film.mp4@000000", "ok", 0, 30),
        ("a/film.mp4@000030", "ok", 30, 30),
        ("a/film.mp4@000070", "ok", 70, 40),
        ("a/film.mp4@000070+1", "ok", 70, 40),
        ("a/film.mp4@000110", "rejected", 110, 8),
    ]
    assert rows["reason"].iloc[-1] == "a face that is seen too briefly; faces.min_track_frames is 25"
    samples = {metadata(sample)["clip"]: sample for sample in read_shard(tar)}
    assert sorted(samples) == sorted(ledger.loc[ledger["status"] == "ok", "clip"])
    for sample in samples.values():
        facts = metadata(sample)
        sound = read_wav(sample["audio.wav"])
        assert len(decode_crops(sample["crop.mp4"])) == len(decode_npy(sample["landmarks.npy"])) == facts["n_frames"]
        middle = sound.reshape(-1, 640)[5:-5].mean(axis=1) / 100
        assert np.abs(middle - (facts["first_frame"] + np.arange(6, facts["n_frames"] - 4))).max() < 1.5
        assert facts["text"] == ""
    left, right = (decode_crops(samples[f"a/film.mp4@000070{end}"]["crop.mp4"]) for end in ("", "+1"))
    assert np.abs(left.astype(int) - right).mean() > 5  # two people


def test_the_largest_face_alone_can_be_asked_for(film: Path, tmp_path: Path) -> None:
    tar, ledger = run(film, tmp_path / "out", tracks="largest", max_track_seconds=None)
    assert ledger["clip"].tolist() == ["a/film.mp4", "b.mp4"]
    assert ledger["first_frame"].tolist() == [0, 0]
    assert [metadata(sample)["text"] for sample in read_shard(tar)] == ["words", "words"]


def test_bytes_are_the_same_for_any_number_of_workers_and_what_is_kept_in_memory(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = run(film, tmp_path / "one")
    second, _ = run(film, tmp_path / "two", workers=2)
    monkeypatch.setattr(replay.Replay.__init__, "__defaults__", (10_000,))
    third, _ = run(film, tmp_path / "three")
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


def test_a_video_is_decoded_once_where_it_fits(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(replay, "read_frames", lambda video: calls.append(video) or read_frames(video))
    for kept, decoded in ((10**9, 1), (10**6, 2)):
        calls.clear()
        frames = Replay(film, kept)
        first, second = (np.stack(list(frames)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert len(calls) == decoded


@pytest.mark.quick
def test_pieces_shorter_than_a_track_may_be_are_refused() -> None:
    with pytest.raises(UserError, match=r"max_track_seconds: .* 2 s, or null"):
        parse_config({"faces": {"max_track_seconds": 1.5}})
    parse_config({"faces": {"max_track_seconds": None}})


@pytest.mark.quick
@pytest.mark.parametrize(("kind", "tracks"), [("demo", "largest"), ("folder", "all")])
def test_a_kind_of_corpus_says_which_faces_are_taken(kind: str, tracks: str) -> None:
    config = {"corpus": {"kind": kind, "root": None if kind == "demo" else "."}}
    assert parse_config(config).tracks == tracks
    assert parse_config({**config, "faces": {"tracks": "largest"}}).tracks == "largest"
