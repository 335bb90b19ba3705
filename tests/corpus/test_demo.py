"""The demo corpus: its layout, that the same seed gives the same bytes, and that a landmarker sees what is true."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from syncdiff.config import Config, parse_config
from syncdiff.corpus.demo import identity_split, mesh, render_corpus
from syncdiff.corpus.demo.clip import Script, mouth_aperture, render_identity
from syncdiff.corpus.demo.face import express, random_face
from syncdiff.corpus.demo.head import Head, Pose
from syncdiff.corpus.demo.parts import Part
from syncdiff.corpus.demo.person import random_person
from syncdiff.corpus.demo.render import rasterise, reduce
from syncdiff.corpus.demo.sentences import unique_sentences
from syncdiff.corpus.demo.speech import CHANNELS, Voice, articulate, pad, speak
from syncdiff.corpus.demo.texture import _dab
from syncdiff.corpus.listing import clip_counts
from syncdiff.corpus.lrs import lrs2_clips
from syncdiff.faces.facemesh import IBUG_FROM_MEDIAPIPE, FaceMeshLandmarker
from syncdiff.media.audio import SAMPLE_RATE, read_audio
from syncdiff.media.video import probe, read_frames

SPLITS = ("train", "val", "test")
REST = np.zeros(len(CHANNELS))


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config({"corpus": {"demo": {"identities": 4, "clips_per_identity": 2}}})


@pytest.fixture(scope="module")
def corpus(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    render_corpus(config, root, workers=2)
    return root


@pytest.fixture(scope="module")
def videos(corpus: Path) -> list[Path]:
    return sorted(corpus.glob("mvlrs_v1/main/*/*.mp4"))


def truth(video: Path) -> np.lib.npyio.NpzFile:
    return np.load(Path(str(video).replace("mvlrs_v1", "truth")).with_suffix(".npz"))


# ---- the corpus on disk ------------------------------------------------------------------------------------------


def test_layout_is_lrs2(corpus: Path, config: Config) -> None:
    clips = list(lrs2_clips(corpus, SPLITS))
    assert {split: sum(clip.split == split for clip in clips) for split in SPLITS} == clip_counts(config)
    assert all(Path(clip.video).is_file() for clip in clips)
    programmes = [{clip.clip.split("/")[1] for clip in clips if clip.split == split} for split in SPLITS]
    assert sum(map(len, programmes)) == len(set.union(*programmes))  # no one is in two splits


def test_clips_are_as_lrs2(videos: list[Path]) -> None:
    for video in videos:
        seen = probe(video)
        assert (seen.width, seen.height, seen.fps, seen.audio_rate) == (192, 192, 25, SAMPLE_RATE)
        assert 2 < seen.duration_s < 6
        assert seen.n_frames == len(truth(video)["opening"])
        text, confidence = video.with_suffix(".txt").read_text().splitlines()
        assert text.startswith("Text:  ") and text[7:].isupper()
        assert confidence == "Conf:  5"


def test_same_seed_same_bytes(corpus: Path, videos: list[Path], tmp_path: Path) -> None:
    """Another process, another order, one clip alone: the files are the same."""
    text = next(unique_sentences(np.random.default_rng(0), 3.0))
    clip = f"{videos[0].parent.name}/00001"
    render_identity(Script(0, {clip: text}), tmp_path, size=192, seed=0)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        assert path.read_bytes() == (corpus / path.relative_to(tmp_path)).read_bytes(), path.name


def test_landmarker_sees_the_truth(videos: list[Path]) -> None:
    landmarker, errors, n_missed, n_frames = FaceMeshLandmarker(), [], 0, 0
    for video in videos:
        true = truth(video)
        faces = list(landmarker.track(read_frames(video)))
        seen = [index for index, found in enumerate(faces) if found]
        landmarks, expected = np.stack([faces[index][0] for index in seen]), true["landmarks"][seen]
        eyes = np.linalg.norm(expected[:, 36:42].mean(axis=1) - expected[:, 42:48].mean(axis=1), axis=1)
        errors.append(np.linalg.norm(landmarks - expected, axis=2)[:, 48:] / eyes[:, None])
        n_missed, n_frames = n_missed + len(faces) - len(seen), n_frames + len(faces)
        assert np.corrcoef(mouth_aperture(landmarks), true["opening"][seen])[0, 1] > 0.9, video
        assert true["opening"].std() > 0.03 and true["opening"].min() < 0.02, video
    assert n_missed <= 0.01 * n_frames
    assert np.median(np.concatenate(errors)) < 0.05


def test_a_dab_is_a_soft_spot_where_it_is_and_nowhere_else() -> None:
    """Also one that reaches over the edge."""
    y, x = np.mgrid[:40, :50]
    for centre in ((20.3, 18.0), (1.5, 38.0)):
        picture = np.full((40, 50, 3), 100, np.float32)
        _dab(picture, centre, (3.0, 2.0), np.array([200, 100, 0]), 0.5)
        spot = 0.5 * np.exp(-(((x - centre[0]) / 3) ** 2 + ((y - centre[1]) / 2) ** 2))
        np.testing.assert_allclose(picture, 100 + spot[..., None] * [100, 0, -100], atol=1e-3)


def test_some_wait_in_silence_for_longer_than_a_window_of_speech(videos: list[Path], config: Config) -> None:
    """Meanwhile their mouths are shut."""
    window = config.speech.window_frames
    starts = [np.abs(read_audio(video)[: 2 * window * 640]).max() < 0.003 * 32768 for video in videos]
    assert 0 < sum(starts) < len(videos)
    for video in (video for video, waits in zip(videos, starts, strict=True) if waits):
        opening = truth(video)["opening"]
        assert opening[:window].max() < 0.15 * opening.max()


def test_sound_and_picture_share_their_clock(corpus: Path, videos: list[Path]) -> None:
    """The mouth moves when it sounds: loudness leads or follows the opening by at most a frame or two."""
    lags = []
    for video in videos:
        opening = truth(video)["opening"]
        audio = read_audio(video).astype(np.float64)[: len(opening) * 640]
        loudness = np.sqrt((audio.reshape(-1, 640) ** 2).mean(axis=1))
        shifts = range(-6, 7)
        scores = [np.corrcoef(np.roll(loudness, shift)[6:-6], opening[6:-6])[0, 1] for shift in shifts]
        lags.append(shifts[int(np.argmax(scores))])
    assert abs(np.median(lags)) <= 2


# ---- speech ------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_speech_does_not_depend_on_what_was_said_before() -> None:
    first = speak("hello there", Voice())
    speak("what a fine day", Voice(name="en-us+m3", pitch=30))
    again = speak("hello there", Voice())
    np.testing.assert_array_equal(first.audio, again.audio)
    assert first.phonemes == again.phonemes


@pytest.mark.quick
def test_mouth_follows_the_phonemes() -> None:
    utterance = pad(speak("pop, father", Voice()), 0.2, 0.3)
    tracks = dict(zip(CHANNELS, articulate(utterance).T, strict=True))
    times = (np.arange(len(tracks["jaw"])) + 0.5) / 25

    starts = [time for time, _ in utterance.phonemes]

    def during(symbol: str) -> list[int]:
        """The frame at the middle of each such phoneme."""
        spans = zip(utterance.phonemes, starts[1:], strict=False)
        return [int(np.abs(times - (start + end) / 2).argmin()) for (start, ipa), end in spans if symbol in ipa]

    assert len(during("p")) == 2 and all(tracks["close"][frame] == 1 for frame in during("p"))
    assert len(during("ɑ")) == 2 and all(tracks["jaw"][frame] > 0.6 for frame in during("ɑ"))
    assert all(tracks["close"][frame] < 0.2 for frame in during("ɑ"))
    assert tracks["tuck"][during("f")[0]] > 0.6
    assert tracks["out"][during("ð")[0]] > 0.3
    assert tracks["jaw"][-1] < 0.1 and tracks["jaw"][0] < 0.1


@pytest.mark.quick
def test_padding_is_silent_and_ends_on_a_frame() -> None:
    spoken = speak("now", Voice())
    padded = pad(spoken, 0.1, 0.2)
    assert len(padded.audio) % 640 == 0
    assert not padded.audio[:1600].any() and not padded.audio[-3200:].any()
    assert padded.phonemes[0][0] == pytest.approx(spoken.phonemes[0][0] + 0.1)


@pytest.mark.quick
def test_no_two_clips_say_the_same() -> None:
    texts = list(islice(unique_sentences(np.random.default_rng(3), 3.0), 500))
    assert len(set(texts)) == 500
    assert texts == list(islice(unique_sentences(np.random.default_rng(3), 3.0), 500))


@pytest.mark.quick
def test_last_twelfth_is_test() -> None:
    splits = [identity_split(i, 36) for i in range(36)]
    assert splits == ["train"] * 31 + ["val"] * 2 + ["test"] * 3


# ---- geometry and pictures ---------------------------------------------------------------------------------------


@pytest.mark.quick
def test_face_is_a_sheet_with_three_holes() -> None:
    faces = mesh.triangles()
    edges = {frozenset(pair) for a, b, c in faces.tolist() for pair in ((a, b), (b, c), (c, a))}
    assert mesh.N_POINTS - len(edges) + len(faces) == 1 - 3  # Euler characteristic
    mirrored = mesh.neutral() * [-1, 1, 1]
    distance = np.linalg.norm(mesh.neutral()[:, None] - mirrored[None], axis=-1).min(axis=0)
    assert distance.max() < 1e-9


@pytest.mark.quick
def test_field_goes_through_its_handles() -> None:
    field = mesh.extend({1: 0.0, 152: 1.0, 10: 0.0, 234: 0.0, 454: 0.0})
    assert field[152] == 1 and field[1] == 0
    assert 0.3 < field[175] < 1.2  # beside the chin


@pytest.mark.quick
def test_lips_meet_at_rest_and_part_with_the_jaw() -> None:
    head = Head(random_person(np.random.default_rng(5)))

    def gap(**channels: float) -> float:
        mouth = np.array([channels.get(name, 0.0) for name in CHANNELS])
        points = head.posed(mouth, Pose())[IBUG_FROM_MEDIAPIPE]
        return float(points[66, 1] - points[62, 1])

    assert gap() == pytest.approx(0, abs=1e-6)
    assert gap(jaw=0.5) > 0.15
    assert gap(jaw=0.5, close=1.0) < 0.03
    assert gap(jaw=0.5, lift=1.0) > gap(jaw=0.5)
    assert abs(gap(jaw=0.15, tuck=1.0)) < gap(jaw=0.15) + 0.01


@pytest.mark.quick
def test_blink_closes_the_lids_only() -> None:
    face = random_face(np.random.default_rng(1))
    shut = express(face, REST, blink=1.0, brow=0.0)
    for upper, lower in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True):
        assert np.abs(shut[upper[4], 1] - shut[lower[4], 1]) < 0.1 * np.abs(face[upper[4], 1] - face[lower[4], 1])
    np.testing.assert_allclose(shut[mesh.SEAM], face[mesh.SEAM], atol=0.02)


@pytest.mark.quick
def test_rasteriser_fills_what_lies_inside_and_keeps_the_nearest() -> None:
    corners = np.array([[2.0, 2, 1], [14, 2, 1], [2, 14, 1]])
    points = np.concatenate([corners, corners - np.array([0, 0, 0.5])])  # the second triangle is nearer
    triangles = np.array([[0, 1, 2], [3, 4, 5], [5, 4, 3]], np.int32)
    coordinates = np.repeat([[0.0, 0], [1, 0]], 3, axis=0)
    surface = Part(points, triangles, coordinates, np.ones(6), np.zeros(6))
    texture = np.array([[[200, 0, 0], [0, 100, 0]]] * 2, np.float32)
    light = np.tile(np.float32([0.5, 10]), (6, 1))
    picture = reduce(rasterise(points, surface, light, texture, np.zeros((16, 16, 3), np.uint8)))
    assert picture.shape == (8, 8, 3)
    assert picture[2, 2].tolist() == [10, 60, 10]
    assert not picture[7].any() and not picture[0].any()
