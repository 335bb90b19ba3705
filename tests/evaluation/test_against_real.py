"""A video beside the real one: drawn faces whose mouths are black bars, and sound that is silent in places."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from syncdiff.config import Faces
from syncdiff.errors import UserError
from syncdiff.evaluation.against_real import compare_all, in_words, silent_frames
from syncdiff.media.video import write_video
from tests.evaluation.drawn import N_FRAMES, DrawnLandmarker, drawing, sound

FACES = Faces(min_track_frames=6)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A face that speaks, in noise."""
    for module in ("against_real", "crops"):
        monkeypatch.setattr(f"syncdiff.evaluation.{module}.open_landmarker", lambda faces, device="": DrawnLandmarker())
    write_video(tmp_path / "real.mp4", [drawing(4 + i % 8, seed=0) for i in range(N_FRAMES)], [sound(0)])
    return tmp_path / "real.mp4"


def video(path: Path, openings: list[int], audio: np.ndarray, blur: float = 0.0) -> Path:
    frames = [drawing(opening, seed=0) for opening in openings]
    write_video(path, [cv2.GaussianBlur(frame, (0, 0), blur) if blur else frame for frame in frames], [audio])
    return path


def test_blur_is_seen_and_a_mouth_that_is_open_in_silence(real: Path, tmp_path: Path) -> None:
    silent = np.zeros(640 * N_FRAMES, np.int16)
    files = [
        real,
        video(tmp_path / "blurred.mp4", [4 + i % 8 for i in range(N_FRAMES)], sound(0), blur=2),
        video(tmp_path / "open.mp4", [20] * N_FRAMES, silent),
        video(tmp_path / "shut.mp4", [0] * (N_FRAMES - 3), silent),
    ]
    same, blurred, wide, shut = compare_all(files, [real] * 4, FACES)
    assert same["sharpness"] == 1 and blurred["sharpness"] < 0.5
    assert same["open_in_silence"] is None and same["n_silent"] == 0
    assert (wide["open_in_silence"], wide["n_silent"]) == (1, N_FRAMES)
    assert (shut["open_in_silence"], shut["n_compared"]) == (0, N_FRAMES - 3)


def test_what_cannot_be_compared_says_why_and_the_others_are(real: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "small.mp4", [np.zeros((32, 48, 3), np.uint8)] * N_FRAMES, [sound(0)])
    first, second = in_words(compare_all([tmp_path / "small.mp4", real], [real] * 2, FACES))
    assert "not compared with" in first and "frames of 48x32, the real video has 64x64" in first
    assert "sharpness 1.00 of the real one's, too little silence (0 frames)" in second
    with pytest.raises(UserError, match="2 videos and 1 real ones"):
        compare_all([real, real], [real], FACES)


@pytest.mark.quick
def test_silence_is_its_midst_by_the_level_of_the_loudest_frames() -> None:
    levels = np.repeat([3000, 30, 3000, 30], [20, 20, 5, 6])  # the last 30 ends with the sound
    audio = (np.repeat(levels, 640) * np.resize([1, -1], 640 * len(levels))).astype(np.int16)
    found = silent_frames(audio, 60)
    assert np.flatnonzero(found).tolist() == [*range(24, 36), 49, 50]
    assert silent_frames(np.zeros(640 * 8, np.int16), 10).tolist() == [True] * 8 + [False] * 2
    assert not silent_frames(np.zeros(100, np.int16), 3).any()
