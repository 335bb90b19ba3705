"""The first pass over a video: every stretch of frames that shows a face, and what to keep of that face."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from syncdiff.config import Faces
from syncdiff.dubbing.closed import PAST_CLOSED, ClosedMouth, usual_pose
from syncdiff.dubbing.looks import looks_of
from syncdiff.dubbing.scene import Scene, scene_of
from syncdiff.dubbing.speaking import LipReader
from syncdiff.evaluation.metrics.mouth import mouth_aperture
from syncdiff.faces.align import ANCHORS, similarity, warp
from syncdiff.faces.landmarks import Landmarker
from syncdiff.faces.track import Track, faces_of_frames, link_faces
from syncdiff.media.container import FPS
from syncdiff.media.pictures import Video
from syncdiff.pipeline.progress import progress

MIN_STRETCH_S = 0.24  # a face that is seen for less is passed over: most such are none
SNAP_EVERY = 5  # frames between the pictures that are kept of a face
MAX_SNAPS = 256  # of all faces in sight; then every other one is let go


@dataclass(frozen=True)
class Stretch:
    """Frames of a video that show one face.

    start: its first frame.
    landmarks: (T, 68, 2) float32, pixels of the shown picture.
    area: square pixels of its box, on average.
    identity: (S, S, 3) uint8, the crop of the most usual pose.
    closed: where the mouth is open least.
    scene: the usual light and mouths.
    looks: what tells people apart: see `looks`.
    sync: LSE-C of its lips with the video's own sound, and the windows behind it; None: not asked for, or too short.
    """

    start: int
    landmarks: np.ndarray
    area: float
    identity: np.ndarray
    closed: ClosedMouth
    scene: Scene
    looks: np.ndarray
    sync: tuple[float, int] | None

    @property
    def frames(self) -> range:
        """From its first to its last."""
        return range(self.start, self.start + len(self.landmarks))


class Seen(NamedTuple):
    """What the first pass has found.

    ticks: (N,) int64, when each frame of the video is due.
    stretches: in the order of their first frames.
    """

    ticks: np.ndarray
    stretches: list[Stretch]


@dataclass(frozen=True, eq=False)
class Snap:
    """A face (68, 2) in one frame, and its crop (S, S, 3)."""

    index: int
    face: np.ndarray
    crop: np.ndarray


def look_through(video: Video, landmarker: Landmarker, faces: Faces, reader: LipReader | None = None) -> Seen:
    """Find every stretch of a video that shows a face, in one pass; memory hardly grows with its length.

    Args:
        landmarker, faces: as in the stage `faces`; gaps are so many frames at 25 a second.
        reader: says how well lips fit the video's sound.

    Raises:
        ClipRejected: unreadable.
    """
    per_frame = float(video.form.rate) / FPS
    ticks: list[int] = []
    album = Album(faces.size)

    def shown() -> Iterator[np.ndarray]:
        for tick, frame in progress(video.shown(), "look", video.form.n_frames):
            ticks.append(tick)
            yield frame

    def seen(index: int, frame: np.ndarray, found: list[np.ndarray]) -> None:
        album.add(index, frame, found)
        if reader:
            reader.add(index, float(ticks[index] * video.form.tick), frame, found)

    noted = faces_of_frames(shown(), Watched(landmarker, seen))
    stretches = []
    for track in link_faces(noted, round(faces.max_gap_frames * per_frame)):
        snaps, sync = album.take(track), reader.take(track) if reader else None
        if snaps and len(track) >= MIN_STRETCH_S * float(video.form.rate):
            stretches.append(_stretch(track, snaps, faces.size, sync))
    return Seen(np.array(ticks), sorted(stretches, key=lambda stretch: (stretch.start, -stretch.area)))


def _stretch(track: Track, snaps: Sequence[Snap], size: int, sync: tuple[float, int] | None) -> Stretch:
    landmarks = np.stack([snap.face for snap in snaps])
    transforms = similarity(landmarks[:, ANCHORS], size)
    points = np.einsum("nij,nkj->nki", transforms[:, :, :2], landmarks) + transforms[:, None, :, 2]
    opening, far = mouth_aperture(landmarks), usual_pose(points)
    closed = int(np.where(opening <= opening.min() + PAST_CLOSED, far, np.inf).argmin())
    return Stretch(
        start=track.start,
        landmarks=track.landmarks(),
        area=track.total_area / track.n_found,
        identity=snaps[int(far.argmin())].crop,
        closed=ClosedMouth(snaps[closed].crop, points[closed]),
        scene=scene_of([snap.crop for snap in snaps]),
        looks=looks_of([snap.crop for snap in snaps]),
        sync=sync,
    )


@dataclass
class Watched:
    """A landmarker, and who sees each frame with its faces: at once, not when it is known where scenes begin.

    What knows that looks so far ahead that its frames would fill the memory.
    """

    landmarker: Landmarker
    seen: Callable[[int, np.ndarray, list[np.ndarray]], None]
    misses: str = ""

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Yield the faces of each frame."""
        given: deque[np.ndarray] = deque()  # to the landmarker, which has not answered yet

        def watched() -> Iterator[np.ndarray]:
            for frame in frames:
                given.append(frame)
                yield frame

        for index, found in enumerate(self.landmarker.track(watched())):
            self.seen(index, given.popleft(), found)
            yield found


class Album:
    """Keeps crops of the faces that are in sight, until their tracks have ended."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._snaps: list[Snap] = []
        self._n_before = 0

    def add(self, index: int, frame: np.ndarray, faces: Sequence[np.ndarray]) -> None:
        """Look at the faces of a frame, and keep them now and then, and when their number changes."""
        if index % SNAP_EVERY == 0 or len(faces) != self._n_before:
            self._snaps += [Snap(index, face, crop_of(frame, face, self._size)) for face in faces]
        self._n_before = len(faces)
        if len(self._snaps) > MAX_SNAPS:
            self._snaps = self._snaps[::2]

    def take(self, track: Track) -> list[Snap]:
        """Return those of a track that has ended, and let go of them."""
        own = list(of_track(self._snaps, track))
        theirs = {id(snap) for snap in own}
        self._snaps = [snap for snap in self._snaps if id(snap) not in theirs]
        return own


def of_track(snaps: Iterable[Snap], track: Track) -> Iterator[Snap]:
    """Pass on what shows the face of a track: its landmarks there are the track's."""
    landmarks = track.landmarks()
    for snap in snaps:
        if track.start <= snap.index < track.end and np.array_equal(landmarks[snap.index - track.start], snap.face):
            yield snap


def crop_of(frame: np.ndarray, face: np.ndarray, size: int) -> np.ndarray:
    """Return the aligned crop (size, size, 3) of a face (68, 2), by this frame alone."""
    return warp(frame, similarity(face[ANCHORS], size), size)
