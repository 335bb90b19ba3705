"""Measuring a clip: sound that is moved has that offset, and the shift that follows from it moves it back.

A stand-in for SyncNet reads one number a frame off pictures (their brightness) and sound (its level).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from syncdiff.config import Curate
from syncdiff.curation import clip as module
from syncdiff.curation.clip import Curator, FacedClip, MeasuredClip, measure_clip, sync_measures
from syncdiff.curation.measures import Place
from syncdiff.curation.shard import measured, record
from syncdiff.curation.verdicts import judge
from syncdiff.errors import ClipRejected
from syncdiff.faces.track import Segment
from syncdiff.media.audio import SAMPLES_PER_FRAME, shift_audio
from syncdiff.media.video import write_video
from syncdiff.models.syncnet import LoadedSyncNet, SyncNet
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import Outcome
from syncdiff.shards.verdicts import shifted
from tests.evaluation.drawn import landmarks_of

pytestmark = pytest.mark.quick

N_FRAMES = 60
SIZE = 64
CURATOR = Curator(Path("stand-in"), "cpu", SIZE)


def spoken(seed: int, n_frames: int = N_FRAMES) -> np.ndarray:
    """What is said in each frame, (T,) in [0, 1)."""
    return np.random.default_rng(seed).random(n_frames)


def sound_of(words: np.ndarray) -> np.ndarray:
    return np.repeat((8000 * words).astype(np.int16), SAMPLES_PER_FRAME)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def windows(values: np.ndarray) -> Tensor:
        return torch.tensor(np.lib.stride_tricks.sliding_window_view(values, 5).copy(), dtype=torch.float32)

    def lips(views: Iterable[np.ndarray], net: SyncNet) -> Tensor:
        return windows((np.array([view.mean() for view in views]) - 20) / 200)

    monkeypatch.setattr(module, "loaded", lambda *_: LoadedSyncNet(SyncNet(0.125, 64), "stand-in", "aligned"))
    monkeypatch.setattr(module, "embed_lips", lips)
    monkeypatch.setattr(module, "mfcc", lambda audio: audio.reshape(-1, SAMPLES_PER_FRAME)[:, 0] / 8000)
    monkeypatch.setattr(module, "embed_audio", lambda features, n, _: windows(features)[:n])


def clip_of(folder: Path, words: np.ndarray, audio: np.ndarray, first_frame: int = 0) -> FacedClip:
    """A clip whose pictures are as bright as what is said; frames before it are black."""
    video = folder / "clip.mp4"
    frames = [np.zeros((SIZE, SIZE, 3), np.uint8)] * first_frame
    frames += [np.full((SIZE, SIZE, 3), 20 + 200 * word, np.uint8) for word in words]
    write_video(video, frames, [audio])
    landmarks = np.stack([landmarks_of(4)] * len(words))
    segment = Segment(first_frame, landmarks, len(frames), "")
    return FacedClip("c", video, segment, np.tile(np.eye(2, 3), (len(words), 1, 1)), audio)


@pytest.mark.parametrize("offset", [-6, 0, 3])
def test_moved_sound_has_its_offset(stand_in: None, tmp_path: Path, offset: int) -> None:
    words = spoken(0)
    early = shift_audio(sound_of(words), offset)  # what belongs to frame t is heard at t - offset
    found = measure_clip(CURATOR, clip_of(tmp_path, words, early)).measures
    assert found["offset"] == offset
    assert found["in_sync"] > 0.7
    assert found["lse_d"] < 0.3


def test_the_shift_of_an_offset_joins_pictures_and_speech_again(stand_in: None, tmp_path: Path) -> None:
    words, offset = spoken(0), 4
    audio = shift_audio(sound_of(words), offset)
    clips = [measure_clip(CURATOR, clip_of(tmp_path, words, audio))]
    clips += [measure_clip(CURATOR, clip_of(tmp_path, spoken(i), sound_of(spoken(i)))) for i in range(1, 9)]
    ledger = Ledger("measures")
    places = [Place(f"c{index}", f"v{index}", 0, N_FRAMES) for index in range(len(clips))]
    record(ledger, places, [Outcome("ok", value=clip) for clip in clips])
    shift = judge(measured(ledger).assign(conf=np.nan, asd=np.nan), Curate(shift_chance=0.05))["shift"].tolist()
    assert shift == [-offset] + [0] * 8
    levels = audio.reshape(-1, SAMPLES_PER_FRAME)[:, 0] / 8000  # a row of speech for each frame
    pictures, rows = shifted(N_FRAMES, shift[0])
    assert levels[rows] == pytest.approx(words[pictures], abs=1e-3)
    whole = shift_audio(audio, shift[0]).reshape(-1, SAMPLES_PER_FRAME)[:, 0] / 8000
    assert whole[pictures] == pytest.approx(words[pictures], abs=1e-3)


def test_another_clips_sound_is_less_in_sync(stand_in: None, tmp_path: Path) -> None:
    own = measure_clip(CURATOR, clip_of(tmp_path, spoken(0), sound_of(spoken(0)))).measures
    other = measure_clip(CURATOR, clip_of(tmp_path, spoken(0), sound_of(spoken(1)))).measures
    assert own["confidence"] > 2 * other["confidence"]
    assert other["in_sync"] < 0.5 < own["in_sync"]


def test_a_clip_in_the_middle_of_a_video_is_measured_there(stand_in: None, tmp_path: Path) -> None:
    found = measure_clip(CURATOR, clip_of(tmp_path, spoken(0), sound_of(spoken(0)), first_frame=25)).measures
    assert found["offset"] == 0
    assert found["face_px"] == SIZE


def test_face_and_place_are_those_of_the_crop_in_the_source(stand_in: None, tmp_path: Path) -> None:
    clip = clip_of(tmp_path, spoken(0), sound_of(spoken(0)))
    transform = np.array([[2.0, 0, -10], [0, 2.0, -20]])  # the crop shows 32 pixels of the source
    found = measure_clip(CURATOR, FacedClip("c", clip.video, clip.segment, np.tile(transform, (60, 1, 1)), clip.audio))
    assert found.measures["face_px"] == 32
    assert found.centre == pytest.approx((20.75, 25.75))


def test_too_short_a_clip_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = LoadedSyncNet(SyncNet(0.125, 64).eval(), "untrained", "aligned")
    monkeypatch.setattr(module, "loaded", lambda *_: net)
    words = spoken(0, 5)
    with pytest.raises(ClipRejected, match="too short for SyncNet"):
        measure_clip(CURATOR, clip_of(tmp_path, words, sound_of(words)))


def test_without_a_syncnet_all_else_is_measured(tmp_path: Path) -> None:
    clip = clip_of(tmp_path, spoken(0), sound_of(spoken(0)))
    found = measure_clip(Curator(None, "cpu", SIZE), clip)
    assert "confidence" not in found.measures
    assert {"face_px", "sharpness", "yaw", "jitter", "loudness", "speech"} <= found.measures.keys()


def test_embeddings_that_fit_nowhere_are_in_sync_by_chance_alone() -> None:
    random = torch.manual_seed(0)
    lips, sound = (torch.randn(80, 64, generator=random) for _ in range(2))
    assert sync_measures(lips, sound)["in_sync"] < 0.3
    assert sync_measures(lips, lips)["in_sync"] == 1.0


def test_faces_of_one_scene_are_not_compared_with_their_own_sound() -> None:
    ledger = Ledger("measures")
    embedding = np.random.default_rng(0).normal(size=(3, 30, 8)).astype(np.float32)
    clips = [Outcome("ok", value=MeasuredClip({}, (0.0, 0.0), own, own)) for own in embedding]
    places = [Place("a", "talk", 0, 50), Place("b", "talk", 25, 50), Place("c", "talk", 50, 50)]
    record(ledger, places, clips)
    assert [len(row["wrong_confidence"]) for row in ledger.rows] == [1, 0, 1]
