"""The faces of a video over time: join them over frames, end tracks at scene cuts and long gaps, choose among them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from syncdiff.config import Faces
from syncdiff.errors import ClipRejected
from syncdiff.faces.boxes import bounding_box
from syncdiff.faces.cuts import is_cut, thumbnail
from syncdiff.faces.ibug import EYES, LIPS
from syncdiff.faces.landmarks import Landmarker
from syncdiff.media.video import read_frames

MIN_IOU = 0.3  # of one speaker's boxes in neighbouring frames


class Track:
    """One face over successive frames; those where it was not found are interpolated as soon as it is found again."""

    def __init__(self, start: int, face: np.ndarray, after_cut: bool) -> None:
        """Begin with the face (68, 2) of frame `start`."""
        self.start = self.end = start
        self.after_cut = after_cut  # whether it begins with a scene
        self.before_cut = False  # whether it ends with one
        self.total_area = 0.0  # square pixels, of the boxes of the faces that were found
        self.n_found = 0  # frames; in the others it is interpolated
        self.last = face
        self._rows = bytearray()  # a row of 544 bytes for each frame; a list of arrays would be half as large again
        self.append(start, face)

    def append(self, index: int, face: np.ndarray) -> None:
        """Add the face that was found in frame `index`, and those between it and the last one, linearly in time."""
        steps = index - self.end + 1
        weight = (np.arange(1, steps) / steps)[:, None, None]  # (M, 1, 1) for M frames without the face
        between = (1 - weight) * self.last + weight * face
        self._rows += between.astype(np.float32).tobytes() + face.astype(np.float32).tobytes()
        left, top, right, bottom = bounding_box(face)
        self.total_area += float((right - left) * (bottom - top))
        self.last, self.end = face, index + 1
        self.n_found += 1

    def __len__(self) -> int:
        """Frames from the first to the last in which it was found."""
        return self.end - self.start

    @property
    def frames(self) -> range:
        """From the first to the last in which it was found."""
        return range(self.start, self.end)

    def shares(self, frames: range) -> bool:
        """Say whether it has frames in common with others."""
        return self.start < frames.stop and frames.start < self.end

    def landmarks(self) -> np.ndarray:
        """Return (T, 68, 2) float32; the track cannot grow any more."""
        return np.frombuffer(self._rows, np.float32).reshape(-1, 68, 2)


@dataclass(frozen=True)
class Segment:
    """The frames of a video that show one face."""

    start: int
    landmarks: np.ndarray  # (T, 68, 2) float32
    clip_frames: int  # of the whole video
    note: str  # which frames were kept and why, and what else to know; empty: all of them, nothing else

    @property
    def stop(self) -> int:
        """The frame after its last."""
        return self.start + len(self.landmarks)

    @property
    def frames(self) -> range:
        """Its frames in the video."""
        return range(self.start, self.stop)


Found = Iterable[tuple[bool, list[np.ndarray]]]
"""Of each frame, whether a new scene begins with it, and the (68, 2) landmarks of all its faces."""


def find_speaker(video: Path | str, landmarker: Landmarker, faces: Faces) -> Segment:
    """Find the frames of a video that show its speaker, the largest face, and the landmarks there.

    Raises:
        ClipRejected: unreadable, or without one face for long enough.
    """
    return largest(find_faces(video, landmarker, faces))


def find_faces(video: Path | str, landmarker: Landmarker, faces: Faces) -> list[Segment]:
    """Find the largest face of a video, and those that are beside it: see `candidates`.

    Raises:
        ClipRejected: unreadable, or without one face for long enough.
    """
    found = faces_of_frames(read_frames(video), landmarker)
    return candidates(found, faces.max_gap_frames, faces.min_track_frames, landmarker.misses)


def faces_of_frames(frames: Iterable[np.ndarray], landmarker: Landmarker) -> Iterator[tuple[bool, list[np.ndarray]]]:
    """Yield of each frame whether a new scene begins with it, and its faces."""
    cuts: deque[bool] = deque()  # of the frames that the landmarker has been given and has not answered yet

    def watched() -> Iterator[np.ndarray]:
        before: np.ndarray | None = None
        for frame in frames:
            after = thumbnail(frame)
            cuts.append(before is not None and is_cut(before, after))
            before = after
            yield frame

    for faces in landmarker.track(watched()):
        yield cuts.popleft(), faces


def candidates(found: Found, max_gap_frames: int, min_track_frames: int, misses: str = "") -> list[Segment]:
    """Return the largest consistent face, the track with the greatest sum of box areas, and then those beside it.

    Args:
        found: as `faces_of_frames` yields it.
        max_gap_frames: so many frames without the face are interpolated over; more end the track.
        min_track_frames: shorter tracks are not enough.
        misses: which faces cannot be among those found, for the reason.

    Returns:
        The tracks that share frames with the largest one, by size; one alone in most clips.

    Raises:
        ClipRejected: no face at all, or no track that is long enough.
    """
    tracks, brief, n_frames = _long_and_brief(found, max_gap_frames, min_track_frames, misses)
    tracks.sort(key=lambda track: track.total_area, reverse=True)
    beside = [track for track in tracks if track.shares(tracks[0].frames)]
    name = "the largest face" if len(beside) == 1 else "the face"
    return [_segment(track, n_frames, name, sum(track.shares(other.frames) for other in brief)) for track in beside]


class AllFaces(NamedTuple):
    """Every face of a video, in the order of their first frames; of those that begin together the larger first."""

    long: list[Segment]
    brief: list[range]  # the frames of those that were seen for less than `min_track_frames`


def all_faces(found: Found, max_gap_frames: int, min_track_frames: int, misses: str = "") -> AllFaces:
    """Return every track of a video; takes and raises what `candidates` does."""
    tracks, brief, n_frames = _long_and_brief(found, max_gap_frames, min_track_frames, misses)
    tracks.sort(key=lambda track: (track.start, -track.total_area))
    return AllFaces(
        [_segment(track, n_frames, "the face", n_brief=0) for track in tracks],
        sorted((track.frames for track in brief), key=lambda frames: (frames.start, frames.stop)),
    )


def pieces(segment: Segment, max_frames: int | None) -> list[Segment]:
    """Cut a segment into the fewest pieces of equal length that have at most `max_frames`; None: it stays whole."""
    n_frames = len(segment.landmarks)
    n_pieces = ceil(n_frames / max_frames) if max_frames else 1
    if n_pieces == 1:
        return [segment]
    edges = [n_frames * piece // n_pieces for piece in range(n_pieces + 1)]
    notes = [
        f"piece {number} of {n_pieces} of a track of {n_frames} frames{segment.note and '; '}{segment.note}"
        for number in range(1, n_pieces + 1)
    ]
    return [
        replace(segment, start=segment.start + first, landmarks=segment.landmarks[first:stop], note=note)
        for (first, stop), note in zip(pairwise(edges), notes, strict=True)
    ]


def largest(segments: Sequence[Segment]) -> Segment:
    """Return the first of `candidates`."""
    return choose(segments, 0, "larger" if len(segments) == 2 else "largest")


def choose(segments: Sequence[Segment], index: int, why: str) -> Segment:
    """Return one of several segments; where it is not the only one, its note says so, and why it was chosen."""
    chosen = segments[index]
    if len(segments) == 1:
        return chosen
    return replace(chosen, note="; ".join(filter(None, [chosen.note, f"{len(segments)} faces: the {why} was taken"])))


def quarter_turns(landmarks: np.ndarray) -> int:
    """Return the quarter turns, anticlockwise, that make a face upright in most frames: (T, 68, 2) to 0, 1, 2 or 3."""
    down = np.median(landmarks[:, LIPS].mean(axis=1) - landmarks[:, EYES].mean(axis=1), axis=0)  # from eyes to mouth
    return round(-np.arctan2(down[0], down[1]) / (np.pi / 2)) % 4


def link_faces(found: Found, max_gap_frames: int) -> Iterator[Track]:
    """Join each frame's faces to the tracks before it, best overlap first; what fits none begins a new track.

    Yields:
        Each track when it has ended, so that only those under way are in memory.
    """
    alive: list[Track] = []
    for index, (cut, faces) in enumerate(found):
        ended = [track for track in alive if cut or index - track.end > max_gap_frames]
        for track in ended:
            track.before_cut = cut and track.end == index
            alive.remove(track)
        yield from ended
        _append(alive, index, faces, cut)
    yield from alive


def _long_and_brief(
    found: Found, max_gap_frames: int, min_track_frames: int, misses: str
) -> tuple[list[Track], list[Track], int]:
    """Return the tracks that are long enough, the others, and the frames of the video."""
    n_frames = 0

    def counted() -> Iterator[tuple[bool, list[np.ndarray]]]:
        nonlocal n_frames
        for frame in found:
            n_frames += 1
            yield frame

    tracks = list(link_faces(counted(), max_gap_frames))
    if not tracks:
        raise ClipRejected(f"no face in any of {n_frames} frames" + (f" ({misses})" if misses else ""))
    long = [track for track in tracks if len(track) >= min_track_frames]
    if not long:
        longest = max(map(len, tracks))
        raise ClipRejected(f"longest face track has {longest} frames, faces.min_track_frames is {min_track_frames}")
    return long, [track for track in tracks if len(track) < min_track_frames], n_frames


def _segment(track: Track, n_frames: int, name: str, n_brief: int) -> Segment:
    return Segment(track.start, track.landmarks(), n_frames, _note(track, n_frames, name, n_brief))


def _append(tracks: list[Track], index: int, faces: list[np.ndarray], cut: bool) -> None:
    """Add the faces of a frame to the tracks that they overlap with, or as new ones."""
    rest = dict(enumerate(faces))
    overlaps = [(_iou(track.last, face), a, b) for a, track in enumerate(tracks) for b, face in rest.items()]
    for overlap, a, b in sorted(overlaps, reverse=True):
        if overlap >= MIN_IOU and b in rest and tracks[a].end <= index:
            tracks[a].append(index, rest.pop(b))
    tracks += [Track(index, face, cut) for face in rest.values()]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two faces' boxes."""
    box_a, box_b = bounding_box(a), bounding_box(b)
    overlap = np.prod(np.maximum(np.minimum(box_a[2:], box_b[2:]) - np.maximum(box_a[:2], box_b[:2]), 0))
    union = np.prod(box_a[2:] - box_a[:2]) + np.prod(box_b[2:] - box_b[:2]) - overlap
    return float(overlap / union) if union > 0 else 0.0


def _note(track: Track, n_frames: int, name: str, n_brief: int) -> str:
    parts = []
    edges = []
    if track.start > 0:
        edges.append("begins at a scene cut" if track.after_cut else "is not found before")
    if track.end < n_frames:
        edges.append("ends at a scene cut" if track.before_cut else "is not found after")
    if edges:
        parts.append(f"kept frames {track.start} to {track.end - 1} of {n_frames}: {name} {' and '.join(edges)}")
    if len(track) > track.n_found:
        parts.append(f"interpolated over {len(track) - track.n_found} frames without the face")
    if turns := quarter_turns(track.landmarks()):
        parts.append(f"the face is turned by {90 * turns} degrees clockwise: made upright")
    if n_brief:
        parts.append(f"faces seen too briefly to be taken: {n_brief}")
    return "; ".join(parts)
