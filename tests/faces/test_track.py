"""Tracking: the largest consistent face, gaps, scene cuts, reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from syncdiff.errors import ClipRejected
from syncdiff.faces.track import Segment, Track, all_faces, candidates, is_cut, largest, link_faces, pieces, thumbnail
from syncdiff.media.video import read_frames

pytestmark = pytest.mark.quick

Faces = Sequence[list[np.ndarray]]


def at(face: np.ndarray, x: float = 0, scale: float = 1) -> np.ndarray:
    return (scale * face + [x, 0]).astype(np.float32)


def chosen(faces: Faces, cuts: Sequence[int] = (), min_track_frames: int = 25) -> Segment:
    found = ((index in cuts, there) for index, there in enumerate(faces))
    return largest(candidates(found, max_gap_frames=5, min_track_frames=min_track_frames))


def linked(faces: Faces, cuts: Sequence[int] = ()) -> list[Track]:
    return list(link_faces(((index in cuts, there) for index, there in enumerate(faces)), max_gap_frames=5))


def test_a_face_in_every_frame_is_one_track(face: np.ndarray) -> None:
    faces = [[at(face, 2 * t)] for t in range(60)]
    segment = chosen(faces)
    assert (segment.start, segment.note) == (0, "")
    np.testing.assert_array_equal(segment.landmarks, np.stack([found[0] for found in faces]))


def test_short_gaps_are_interpolated(face: np.ndarray) -> None:
    faces = [[at(face, t)] for t in range(60)]
    faces[20:25] = [[]] * 5
    segment = chosen(faces)
    np.testing.assert_allclose(segment.landmarks, [at(face, t) for t in range(60)], atol=1e-3)


def test_a_longer_gap_ends_the_track(face: np.ndarray) -> None:
    faces = [[face]] * 20 + [[]] * 6 + [[face]] * 34
    segment = chosen(faces)
    assert (segment.start, len(segment.landmarks)) == (26, 34)
    assert segment.note == "kept frames 26 to 59 of 60: the largest face is not found before"


def test_a_scene_cut_ends_the_track(face: np.ndarray) -> None:
    segment = chosen([[face]] * 60, cuts=[35])
    assert (segment.start, len(segment.landmarks)) == (0, 35)
    assert segment.note.endswith("ends at a scene cut")


def test_the_largest_face_wins_however_faces_are_ordered(face: np.ndarray) -> None:
    small, large = at(face, 400, 0.5), at(face)
    faces = [[small, large] if t % 2 else [large, small] for t in range(60)]
    segment = chosen(faces)
    np.testing.assert_array_equal(segment.landmarks[31], large)


def test_a_passing_large_face_does_not_win(face: np.ndarray) -> None:
    faces = [[face] + ([at(face, 900, 1.5)] if t < 10 else []) for t in range(60)]
    segment = chosen(faces, min_track_frames=5)
    assert len(segment.landmarks) == 60


def test_a_jump_is_another_face(face: np.ndarray) -> None:
    tracks = linked([[face]] * 10 + [[at(face, 300)]] * 10)
    assert [(track.start, len(track)) for track in tracks] == [(0, 10), (10, 10)]


def test_a_track_does_not_go_on_behind_a_cut_that_comes_in_a_gap(face: np.ndarray) -> None:
    tracks = linked([[face]] * 10 + [[]] * 3 + [[face]] * 10, cuts=[11])
    assert [(track.start, len(track)) for track in tracks] == [(0, 10), (13, 10)]
    lost = chosen([[face]] * 30 + [[]] * 3 + [[face]] * 10, cuts=[31])
    assert lost.note.endswith("is not found after")


def test_two_faces_that_overlap_are_two_tracks(face: np.ndarray) -> None:
    tracks = linked([[face]] + [[face, at(face, 20)]] * 9)
    assert [(track.start, len(track)) for track in tracks] == [(0, 10), (1, 9)]


def test_tracks_that_have_ended_are_let_go(face: np.ndarray) -> None:
    """Two hundred scenes: when one has ended, its track comes out before the next frame is looked at."""
    seen = 0

    def scenes() -> Iterable[tuple[bool, list[np.ndarray]]]:
        nonlocal seen
        for index in range(400):
            seen = index
            yield index % 2 == 0, [face]

    assert all(track.end == seen for track in islice(link_faces(scenes(), 5), 199))


def test_reasons(face: np.ndarray) -> None:
    with pytest.raises(ClipRejected, match="no face in any of 60 frames"):
        chosen([[]] * 60)
    with pytest.raises(ClipRejected, match=r"longest face track has 12 frames, faces.min_track_frames is 25"):
        chosen([[face]] * 12 + [[]] * 48)


def test_interpolated_are_the_frames_between(face: np.ndarray) -> None:
    [alone] = linked([[face]])
    assert alone.landmarks().shape == (1, 68, 2)
    [track] = linked([[face], [], [], [], [at(face, 8)], [], [at(face, 9)], [], []])
    np.testing.assert_allclose(track.landmarks()[:, 0, 0] - face[0, 0], [0, 2, 4, 6, 8, 8.5, 9], atol=1e-3)


def scene(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(40, 200, (12, 16, 3), np.uint8)
    return noise.repeat(20, axis=0).repeat(20, axis=1)


def cuts_of(frames: Iterable[np.ndarray]) -> list[int]:
    neighbours = pairwise(thumbnail(frame) for frame in frames)
    return [index for index, pair in enumerate(neighbours, start=1) if is_cut(*pair)]


def test_scene_cuts_are_found_and_flashes_pans_and_noise_are_not() -> None:
    grain = np.random.default_rng(5).integers(-3, 4, (7, 240, 320, 3))
    pan = [np.roll(scene(0), 3 * t, axis=1) for t in range(5)]
    flash = [scene(0) // 2, scene(0)]
    dark = [(4 + grain[t]).clip(0, 255).astype(np.uint8) for t in range(7)]
    frames = [*pan, *flash, *[scene(1)] * 3, *dark, *[np.zeros_like(pan[0])] * 2]
    cuts = cuts_of(frames)
    assert cuts == [5, 7, 10]  # back from the pan, to scene 1, to the dark


def test_cuts_of_a_real_clip(shared: Path) -> None:
    path = shared / "clips" / "raw" / "cuts_multi_noface_stage.mp4"
    cuts = cuts_of(read_frames(path))
    assert cuts == [17, 68, 176]  # by eye


def found_in(faces: Faces, cuts: Sequence[int] = ()) -> list[tuple[bool, list[np.ndarray]]]:
    return [(index in cuts, there) for index, there in enumerate(faces)]


def test_all_faces_are_those_of_every_scene_and_those_side_by_side(face: np.ndarray) -> None:
    beside = [[at(face), at(face, 400, 1.5)]] * 30
    found = all_faces(found_in([[face]] * 40 + beside + [[at(face, 800)]] * 7, cuts=[40, 70]), 5, 25)
    assert [(track.start, track.stop) for track in found.long] == [(0, 40), (40, 70), (40, 70)]
    assert np.ptp(found.long[1].landmarks) > np.ptp(found.long[2].landmarks)  # the larger first
    assert found.brief == [range(70, 77)]
    assert found.long[0].note == "kept frames 0 to 39 of 77: the face ends at a scene cut"


def test_a_long_track_is_cut_into_equal_pieces(face: np.ndarray) -> None:
    whole = chosen([[at(face, t)] for t in range(101)])
    assert pieces(whole, None) == pieces(whole, 101) == [whole]
    cut = pieces(whole, 50)
    assert [(piece.start, piece.stop) for piece in cut] == [(0, 33), (33, 67), (67, 101)]
    np.testing.assert_array_equal(np.concatenate([piece.landmarks for piece in cut]), whole.landmarks)
    assert cut[1].note == "piece 2 of 3 of a track of 101 frames"
