"""Pictures as they are stored: a part becomes RGB, RGB is mixed into a part, and nothing else changes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from syncdiff.dubbing.mouths import cut, put, stored
from syncdiff.errors import ClipRejected
from syncdiff.faces.align import warp
from syncdiff.media.pictures import Part, Video
from syncdiff.priors import mouth_mask
from tests.dubbing.film import even_times, write_film

pytestmark = pytest.mark.quick
FILM = Fraction(24_000, 1001)  # frames a second
CROP = 64
TO_CROP = np.array([[0.9, 0.2, -30.0], [-0.2, 0.9, -5.0]])  # from the shown picture
FORMS: dict[str, dict[str, Any]] = {
    "8 bits": {},
    "BT.709": {"matrix": 1, "transfer": 1, "primaries": 1},
    "HLG": {"pixel_format": "yuv420p10le", "matrix": 9, "transfer": 18, "primaries": 9},
    "4:2:2": {"pixel_format": "yuv422p"},
    "4:4:4": {"pixel_format": "yuv444p"},
    "turned": {"turned": 90},
    "upside down": {"turned": 180},
    "the other way": {"turned": -90},
    "long pixels": {"aspect": (4, 3)},
    "long pixels, turned": {"aspect": (4, 3), "turned": 90},
}


def _picture() -> np.ndarray:
    """Return a smooth picture (96, 128, 3) without symmetry."""
    y, x = np.mgrid[:96, :128] / 128
    return (np.stack([0.2 + 0.5 * x, 0.3 + 0.4 * y, 0.6 - 0.3 * x * y], axis=-1) * 255).astype(np.uint8)


@pytest.fixture(params=FORMS)
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Video:
    write_film(tmp_path / "a.mp4", [_picture()] * 3, even_times(3, 30), **FORMS[request.param])
    return Video(tmp_path / "a.mp4")


def _planes(part: Part, frame: object) -> list[np.ndarray]:
    return [plane.astype(int) for plane in part._planes(frame)]  # type: ignore[arg-type]


def test_a_crop_is_that_of_the_shown_picture(video: Video) -> None:
    shown = next(video.shown())[1]
    frame = next(video.pictures()).frame
    [transform] = stored(TO_CROP[None], video.form)
    found = cut(Part(video.form), frame, transform, CROP)
    assert np.abs(found.astype(int) - warp(shown, TO_CROP, CROP)).max() <= 6


def test_only_what_is_under_the_mask_changes_and_to_the_right_colour(video: Video) -> None:
    frame, mask = next(video.pictures()).frame, mouth_mask(CROP)
    [transform] = stored(TO_CROP[None], video.form)
    part = Part(video.form)
    fresh = part.copy(frame)
    colour = np.array([180, 60, 40])
    put(part, fresh, np.full((CROP, CROP, 3), colour, np.uint8), transform, mask)
    form = video.form
    weight = cv2.warpAffine(mask, transform, (form.width, form.height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    for before, after in zip(_planes(part, frame), _planes(part, fresh), strict=True):
        touched = cv2.resize(weight, before.shape[::-1], interpolation=cv2.INTER_AREA) > 0
        np.testing.assert_array_equal(before[~touched], after[~touched])
        assert (before != after).any()
    inside = cv2.erode((weight > 0.999).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    whole = part.rgb(fresh, part.box(np.array([[0, 0], [form.width, form.height]])))
    assert inside.sum() > 100
    assert np.abs(whole[inside].astype(int) - colour).max() <= 4
    assert _planes(part, frame)[0].max() == _planes(part, next(video.pictures()).frame)[0].max()  # the decoder's own


def test_the_times_are_the_files(tmp_path: Path) -> None:
    times = [0, 0.02, 0.1, 0.11, 0.3]
    write_film(tmp_path / "a.mkv", [_picture()] * 5, times)
    video = Video(tmp_path / "a.mkv")
    found = [picture.ticks * float(video.form.tick) for picture in video.pictures()]
    np.testing.assert_allclose(found, times, atol=1e-3)


def test_a_constant_rate_that_a_container_rounds_is_constant(tmp_path: Path) -> None:
    """Matroska counts milliseconds."""
    write_film(tmp_path / "a.mkv", [_picture()] * 30, even_times(30, float(FILM)), rate=FILM)
    video = Video(tmp_path / "a.mkv")
    assert [picture.ticks for picture in video.pictures()] == list(range(30))
    assert 1 / float(video.form.tick) == pytest.approx(23.976, abs=0.03)


def test_an_angle_that_is_no_quarter_turn_is_refused(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", [_picture()] * 2, [0, 0.04], turned=30)
    with pytest.raises(ClipRejected, match="turn it by quarters"):
        Video(tmp_path / "a.mp4")
