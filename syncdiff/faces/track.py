"""One speaker per clip: join faces over frames, end tracks at scene cuts and long gaps, keep the best track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from syncdiff.errors import ClipRejected
from syncdiff.faces.landmarks import bounding_box

MIN_IOU = 0.3  # of one speaker's boxes in neighbouring frames
THUMBNAIL = 32  # pixels a side
# Over the cuts of a stage recording the measure is 0.8 to 1, at its fastest pans 0.5, in studio clips under 0.03.
CUT_CHANGE = 0.65
CONTRAST_FLOOR = 4.0  # grey levels: below it, differences are noise


@dataclass
class Track:
    """One face over successive frames; frames where it was not found hold None until they are interpolated."""

    start: int
    faces: list[np.ndarray | None] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Index after the last frame with the face."""
        return self.start + len(self.faces)


@dataclass(frozen=True)
class Segment:
    """The frames of a clip that show its speaker."""

    start: int
    landmarks: np.ndarray  # (T, 68, 2) float32
    clip_frames: int  # of the whole clip
    note: str  # which frames were kept and why; empty: all of them


def speaker(faces: Sequence[list[np.ndarray]], cuts: np.ndarray, max_gap_frames: int, min_track_frames: int) -> Segment:
    """Choose the largest consistent face: the track with the greatest sum of box areas.

    Args:
        faces: per frame, the (68, 2) landmarks of all faces.
        cuts: (T,) bool, whether a new scene begins with a frame.
        max_gap_frames: so many frames without the face are interpolated over; more end the track.
        min_track_frames: shorter tracks are not enough.

    Raises:
        ClipRejected: no face at all, or no track that is long enough.
    """
    n_frames = len(faces)
    tracks = link_faces(faces, cuts, max_gap_frames)
    if not tracks:
        raise ClipRejected(f"no face in any of {n_frames} frames")
    long_enough = [track for track in tracks if len(track.faces) >= min_track_frames]
    if not long_enough:
        longest = max(len(track.faces) for track in tracks)
        raise ClipRejected(f"longest face track has {longest} frames, faces.min_track_frames is {min_track_frames}")
    best = max(long_enough, key=_total_area)
    return Segment(best.start, interpolate(best.faces), n_frames, _note(best, n_frames, cuts))


def link_faces(faces: Sequence[list[np.ndarray]], cuts: np.ndarray, max_gap_frames: int) -> list[Track]:
    """Join each frame's faces to the tracks before it, best overlap first; what fits none begins a new track."""
    tracks: list[Track] = []
    for index, (found, cut) in enumerate(zip(faces, cuts, strict=True)):
        alive = [] if cut else [track for track in tracks if index - track.end <= max_gap_frames]
        rest = dict(enumerate(found))
        overlaps = [(_iou(track.faces[-1], face), a, b) for a, track in enumerate(alive) for b, face in rest.items()]
        for overlap, a, b in sorted(overlaps, reverse=True):
            if overlap >= MIN_IOU and b in rest and alive[a].end <= index:
                alive[a].faces += [None] * (index - alive[a].end) + [rest.pop(b)]
        tracks += [Track(index, [face]) for face in rest.values()]
    return tracks


def interpolate(faces: Sequence[np.ndarray | None]) -> np.ndarray:
    """Fill the frames without a face linearly in time: (T, 68, 2) float32. The first and last must be there."""
    there = np.array([face is not None for face in faces])
    known, missing = np.flatnonzero(there), np.flatnonzero(~there)
    filled = np.empty((len(faces), 68, 2), np.float32)
    filled[known] = [face for face in faces if face is not None]
    after = np.searchsorted(known, missing)
    before, after = known[after - 1], known[after]
    weight = ((missing - before) / (after - before))[:, None, None]  # (M, 1, 1)
    filled[missing] = (1 - weight) * filled[before] + weight * filled[after]
    return filled


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Shrink a picture (H, W, 3) to (32, 32) grey values, for `is_cut`."""
    stride = max(min(frame.shape[:2]) // (2 * THUMBNAIL), 1)
    grey = cv2.cvtColor(np.ascontiguousarray(frame[::stride, ::stride]), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Say whether a scene begins between two neighbouring thumbnails. Changes of brightness alone do not count.

    The measure is 1 - their correlation, kept low where neither has contrast.
    """
    before, after = (picture - picture.mean(dtype=np.float32) for picture in (before, after))
    energy = np.square(before).mean() + np.square(after).mean()  # grey levels squared
    return bool(np.square(after - before).mean() / (energy + CONTRAST_FLOOR**2) > CUT_CHANGE)


def _total_area(track: Track) -> float:
    boxes = np.array([bounding_box(face) for face in track.faces if face is not None])
    return float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum())


def _iou(a: np.ndarray | None, b: np.ndarray) -> float:
    """Intersection over union of two faces' boxes."""
    assert a is not None  # a track ends with a face
    box_a, box_b = bounding_box(a), bounding_box(b)
    overlap = np.prod(np.maximum(np.minimum(box_a[2:], box_b[2:]) - np.maximum(box_a[:2], box_b[:2]), 0))
    union = np.prod(box_a[2:] - box_a[:2]) + np.prod(box_b[2:] - box_b[:2]) - overlap
    return float(overlap / union) if union > 0 else 0.0


def _note(track: Track, n_frames: int, cuts: np.ndarray) -> str:
    if len(track.faces) == n_frames:
        return ""
    edges = []
    if track.start > 0:
        edges.append("begins at a scene cut" if cuts[track.start] else "is not found before")
    if track.end < n_frames:
        edges.append("ends at a scene cut" if cuts[track.end] else "is not found after")
    return f"kept frames {track.start} to {track.end - 1} of {n_frames}: the largest face {' and '.join(edges)}"
