"""Which faces of a file become clips, of which frames, and what these are called."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from syncdiff.config import Faces
from syncdiff.faces.landmarks import Landmarker
from syncdiff.faces.track import AllFaces, all_faces, candidates, faces_of_frames, largest, pieces
from syncdiff.media.container import FPS


def find_clips(frames: Iterable[np.ndarray], landmarker: Landmarker, faces: Faces, tracks: str) -> AllFaces:
    """Find what becomes clips, in the order of first frames, and of `all` faces those that are seen too briefly.

    Args:
        frames: (H, W, 3) uint8 RGB each, at 25 fps, of the whole file.
        landmarker: by which faces are found.
        faces: the limits of a track, and the length from which on it is cut into pieces.
        tracks: `largest`, or `all` faces of the file.

    Raises:
        ClipRejected: no face for long enough.
    """
    found = faces_of_frames(frames, landmarker)
    limits = faces.max_gap_frames, faces.min_track_frames, landmarker.misses
    long, brief = all_faces(found, *limits) if tracks == "all" else AllFaces([largest(candidates(found, *limits))], [])
    longest = None if faces.max_track_seconds is None else int(faces.max_track_seconds * FPS)
    cut = [piece for segment in long for piece in pieces(segment, longest)]
    return AllFaces(sorted(cut, key=lambda piece: piece.start), brief)


def clip_names(file: str, found: AllFaces) -> list[str]:
    """Return the ids of clips, then of brief faces: the file's own where it gives one clip, else with the first frame.

    `a.mp4@000125` begins with frame 125 at 25 fps; what begins with the same frame has `+1` and so on behind that.
    """
    starts = [*(segment.start for segment in found.long), *(shown.start for shown in found.brief)]
    same = [starts[:place].count(start) for place, start in enumerate(starts)]
    names = [f"{file}@{start:06d}" + (f"+{n}" if n else "") for start, n in zip(starts, same, strict=True)]
    return [file, *names[1:]] if len(found.long) == 1 else names


def too_brief(faces: Faces) -> str:
    """Say why a face is no clip."""
    return f"a face that is seen too briefly; faces.min_track_frames is {faces.min_track_frames}"
