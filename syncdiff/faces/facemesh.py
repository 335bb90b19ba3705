"""MediaPipe's FaceMesh (its models come in the wheel): one tracking graph on a view around each face."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from mediapipe.python.solution_base import SolutionBase
from mediapipe.python.solutions.face_detection import FaceDetection
from mediapipe.python.solutions.face_mesh import FaceMesh

from syncdiff.faces.landmarks import bounding_box

# The point of the 478-point mesh that is nearest to each iBUG point, read off the mesh's published picture.
IBUG_FROM_MEDIAPIPE = np.array(
    [
        *(127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356),  # jaw, from image left
        *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
        *(168, 197, 5, 4, 98, 97, 2, 326, 327),  # nose
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
        *(61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),  # outer lips
        *(78, 81, 13, 311, 308, 402, 14, 178),  # inner lips
    ]
)
M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # glibc's malloc.h
LARGE = 4_000_000  # bytes; an RGB picture of 1080p has 6 million
DETECT_EVERY = 25  # frames between looks for new faces while all known ones are in sight
MAX_FACES = 8  # the largest ones of a crowd
VIEW_SIDE = 2.0  # side of a new view, in sides of the face's box: a neighbour shows by half at most
VIEW_MARGIN = 0.15  # a face nearer to the edge of its view, in sides of its box, gets a new view


class FaceMeshLandmarker:
    """Detects faces now and then, and follows each with a graph of its own, at the resolution of the source.

    A graph that sees one face skips MediaPipe's detector while it tracks; a graph for many faces runs it on every
    frame. The views also find faces that are small in the picture.
    """

    def __init__(self) -> None:
        _keep_heap_small()
        self._detector = _warm(lambda: FaceDetection(model_selection=1))  # full range: faces up to 5 m away
        self._idle: list[FaceMesh] = []

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """See `Landmarker.track`."""
        views: list[_View] = []
        try:
            for index, frame in enumerate(frames):
                n_before = len(views)
                views = self._look(frame, views, known=[])
                if index % DETECT_EVERY == 0 or not views or len(views) < n_before:
                    views = self._look(frame, self._open_views(frame, known=views), known=views)
                yield [view.face for view in views]
        finally:
            self._idle += [view.mesh for view in views]

    def _look(self, frame: np.ndarray, views: list[_View], known: list[_View]) -> list[_View]:
        """Return `known` and those `views` that see a further face; the graphs of the others become idle."""
        seen = list(known)
        for view in views:
            if view.look(frame) and not _shown(view.face.mean(axis=0), seen):
                seen.append(view)
            else:
                self._idle.append(view.mesh)
        return seen

    def _open_views(self, frame: np.ndarray, known: list[_View]) -> list[_View]:
        """Open a view around each face that the detector finds and that `known` do not show."""
        detections = self._detector.process(frame).detections or []
        boxes = [_pixels(detection.location_data.relative_bounding_box, frame) for detection in detections]
        boxes = [box for box in boxes if not _shown((box[:2] + box[2:]) / 2, known)]
        boxes.sort(key=lambda box: box[0] - box[2])  # widest first
        free = MAX_FACES - len(known)
        return [_View(self._idle.pop() if self._idle else _warm(_new_mesh), box, frame) for box in boxes[:free]]


class _View:
    """A fixed region of the picture and the graph that follows one face in it."""

    def __init__(self, mesh: FaceMesh, box: np.ndarray, frame: np.ndarray) -> None:
        self.mesh = mesh
        self.face = np.zeros((68, 2), np.float32)
        self._moved = True
        self._place(box, frame)

    def look(self, frame: np.ndarray) -> bool:
        """Update `face` from the next picture; False when no face is seen any more."""
        x0, y0, x1, y1 = self._region
        view = np.ascontiguousarray(frame[y0:y1, x0:x1])
        found = (_process_anew if self._moved else FaceMesh.process)(self.mesh, view).multi_face_landmarks
        self._moved = False
        if not found:
            return False
        mesh = found[0].landmark  # x, y in [0, 1] of the view
        points = np.array([(mesh[i].x, mesh[i].y) for i in IBUG_FROM_MEDIAPIPE])  # (68, 2)
        self.face = (points * [x1 - x0, y1 - y0] + [x0 - 0.5, y0 - 0.5]).astype(np.float32)
        if self._near_edge(frame):
            self._place(bounding_box(self.face), frame)
        return True

    def _place(self, box: np.ndarray, frame: np.ndarray) -> None:
        """Put the region around a face's box; the graph must forget what it saw before."""
        height, width = frame.shape[:2]
        centre, half = (box[:2] + box[2:]) / 2, VIEW_SIDE / 2 * (box[2:] - box[:2]).max()
        x0, y0 = np.maximum(centre - half, 0).astype(int)
        x1, y1 = np.minimum(np.ceil(centre + half), [width, height]).astype(int)
        self._region = x0, y0, x1, y1
        self._moved = True

    def _near_edge(self, frame: np.ndarray) -> bool:
        """Whether the face comes near an edge of the region that is not an edge of the picture."""
        x0, y0, x1, y1 = self._region
        box = bounding_box(self.face)
        margin = VIEW_MARGIN * (box[2:] - box[:2]).max()
        near = box[0] < x0 + margin, box[1] < y0 + margin, box[2] > x1 - margin, box[3] > y1 - margin
        inside = x0 > 0, y0 > 0, x1 < frame.shape[1], y1 < frame.shape[0]
        return any(a and b for a, b in zip(near, inside, strict=True))


def _keep_heap_small() -> None:
    """Let all threads allocate from one heap, and large pictures outside of it, where the C library is glibc.

    MediaPipe's threads free pictures that others have made. In a heap for each they piled up: two minutes of 1080p took
    828 MB, 546 MB with one. Large pictures leave holes in a heap that smaller things keep from being given back: 21 s
    of 1080p took 1,161 MB to dub, and 805 MB with them outside, at 1.25 times the time.
    """
    with suppress(AttributeError):
        glibc = ctypes.CDLL(None)
        glibc.mallopt(M_ARENA_MAX, 1)
        glibc.mallopt(M_MMAP_THRESHOLD, LARGE)


def _new_mesh() -> FaceMesh:
    return FaceMesh(max_num_faces=1, refine_landmarks=True)  # refined: the attention model, better lips


def _warm(make: Callable[[], SolutionBase]) -> SolutionBase:
    """Make a graph and let it see one black picture, so that it has loaded its models and logged about it."""
    with quiet():
        graph = make()
        graph.process(np.zeros((64, 64, 3), np.uint8))
    return graph


def _process_anew(mesh: FaceMesh, picture: np.ndarray) -> Any:
    """Process a picture as the first one of a new run: nothing is left of an earlier clip or view."""
    with quiet():
        mesh.reset()
        return mesh.process(picture)


def _pixels(relative: Any, frame: np.ndarray) -> np.ndarray:
    """MediaPipe's relative box as x0, y0, x1, y1 in pixels."""
    corner, size = np.array([relative.xmin, relative.ymin]), np.array([relative.width, relative.height])
    return np.concatenate([corner, corner + size]) * np.tile(frame.shape[1::-1], 2)


def _shown(point: np.ndarray, views: list[_View]) -> bool:
    """Whether a point lies in the box of a face that one of the views shows."""
    boxes = [bounding_box(view.face) for view in views]
    return any(bool((box[:2] <= point).all() and (point <= box[2:]).all()) for box in boxes)


@contextmanager
def quiet() -> Iterator[None]:
    """Send the process's stderr to nowhere: MediaPipe logs each start of a graph, at no level that one can set."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
