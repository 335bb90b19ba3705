"""Who is who, and whose mouth is chosen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from syncdiff.dubbing.closed import ClosedMouth
from syncdiff.dubbing.people import choose, found_faces, people_of, write_sheet
from syncdiff.dubbing.scene import scene_of
from syncdiff.dubbing.stretches import Seen, Stretch
from syncdiff.errors import UserError

pytestmark = pytest.mark.quick
VIDEO = Path("film.mp4")


def _stretch(start: int, n: int, looks: float, area: float = 1.0, sync: tuple[float, int] | None = None) -> Stretch:
    crop = np.full((64, 64, 3), 100 + 50 * looks, np.uint8)
    closed, scene = ClosedMouth(crop, np.zeros((68, 2))), scene_of([crop])
    return Stretch(
        start, np.zeros((n, 68, 2), np.float32), area, crop, closed, scene, np.full((2, 9), looks, np.float32), sync
    )


def _seen(*stretches: Stretch) -> Seen:
    return Seen(np.arange(max(stretch.frames.stop for stretch in stretches)), list(stretches))


def test_the_same_looks_are_the_same_person_after_a_cut_and_the_most_seen_is_the_first() -> None:
    people = people_of([_stretch(0, 5, 0), _stretch(5, 9, 1), _stretch(20, 7, 0.05), _stretch(30, 3, 0.1)])
    assert [person.stretches for person in people] == [(0, 2, 3), (1,)]
    assert [person.number for person in people] == [1, 2]


def test_two_faces_at_the_same_time_are_two_people_however_alike() -> None:
    people = people_of([_stretch(0, 10, 0), _stretch(9, 5, 0)])
    assert len(people) == 2


def test_the_largest_is_taken_frame_by_frame() -> None:
    seen = _seen(_stretch(0, 10, 0, area=1), _stretch(6, 10, 1, area=2))
    chosen = dict(choose(VIDEO, seen, people_of(seen.stretches), "largest"))
    assert chosen[0].tolist() == [True] * 6 + [False] * 4
    assert chosen[1].all()


def test_a_number_chooses_all_stretches_of_one_person() -> None:
    seen = _seen(_stretch(0, 5, 0), _stretch(5, 9, 1), _stretch(20, 7, 0))
    people = people_of(seen.stretches)
    assert [index for index, _ in choose(VIDEO, seen, people, "1")] == [0, 2]
    assert [index for index, _ in choose(VIDEO, seen, people, "2")] == [1]
    assert [index for index, _ in choose(VIDEO, seen, people, "2,1")] == [1, 0, 2]
    with pytest.raises(UserError, match=r"film\.mp4: no face 3, it has 2; `--list-faces"):
        choose(VIDEO, seen, people, "3")


def test_who_speaks_is_who_fits_the_sound_over_all_stretches() -> None:
    listener = [_stretch(0, 30, 0, 9, (1.0, 20)), _stretch(60, 30, 0, 9, (2.0, 20))]
    speaker = [_stretch(0, 30, 1, 1, (6.0, 4)), _stretch(40, 9, 1, 1, None), _stretch(60, 9, 1, 1, (2.5, 16))]
    seen = _seen(*listener, *speaker)
    people = people_of(seen.stretches)
    assert sorted(person.sync or 0 for person in people) == pytest.approx([1.5, 3.2])
    assert [index for index, _ in choose(VIDEO, seen, people, "speaking")] == [2, 3, 4]
    with pytest.raises(UserError, match="long enough to say who speaks"):
        choose(VIDEO, _seen(_stretch(0, 5, 0)), people_of([_stretch(0, 5, 0)]), "speaking")


def test_the_sheet_has_a_row_for_each_person(tmp_path: Path) -> None:
    seen = _seen(_stretch(0, 5, 0), _stretch(5, 9, 1), _stretch(20, 7, 0))
    write_sheet(tmp_path / "s.png", found_faces(seen, people_of(seen.stretches), 0.04))
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet is not None
    assert sheet.shape[0] == 2 * (128 + 24)
    assert sheet[60, 60].tolist() == [100] * 3
    assert sheet[60, 190].tolist() == [100] * 3
    assert sheet[60, 320].tolist() == [255] * 3  # face 1 has two stretches
