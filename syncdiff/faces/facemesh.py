"""MediaPipe's FaceMesh (its models come in the wheel): one tracking graph on a view around each face."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mediapipe.python.solution_base import SolutionBase
from mediapipe.python.solutions.face_detection import FaceDetection
from mediapipe.python.solutions.face_mesh import FaceMesh

from syncdiff.faces.boxes import bounding_box
from syncdiff.faces.track import is_cut, thumbnail

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
TILE = 540  # pixels a side: the detector, which sees 192, is then left 9 of a face of 25
MAX_TILES = 24  # along the longer side
BEYOND = 640  # pixels a side of a view that reaches beyond the picture: its face is large
SURE = 0.8  # of a detector's score: what it takes for upright in a turned picture hardly ever has that
CLEAR = 1.2  # of the scores summed over the three `_looks`: two of them see the face


class FaceMeshLandmarker:
    """Detects faces now and then, and follows each with a graph of its own, at the resolution of the source.

    A graph that sees one face skips MediaPipe's detector while it tracks; a graph for many faces runs it on every
    frame. The views also find faces that are small in the picture. Where no face is known, `_search` looks closer.
    """

    misses = "not seen are faces under about 25 pixels, and those a third outside the picture"

    def __init__(self) -> None:
        _keep_heap_small()
        self._detector = _warm(lambda: FaceDetection(model_selection=1))  # full range: faces up to 5 m away
        self._idle: list[FaceMesh] = []

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """See `Landmarker.track`."""
        views: list[_View] = []
        lost: list[_Lost] = []
        searches = _Searches()
        try:
            for index, frame in enumerate(frames):
                before = views
                views = self._look(frame, before, known=[])
                lost += [_Lost(index, view) for view in before if view not in views]
                if index % DETECT_EVERY == 0 or not views or len(views) < len(before):
                    views = self._look_everywhere(frame, known=views)
                lost = [face for face in lost if index - face.since < DETECT_EVERY and not _shown(face.point, views)]
                views = self._open(frame, self._detect(frame, [face.look for face in lost]), known=views)
                if not views and searches.due(index, frame, lost=len(before) > 0):
                    views = self._search(frame)
                yield [view.face for view in views]
        finally:
            self._idle += [view.mesh for view in views]

    def _look(self, frame: np.ndarray, views: list[_View], known: list[_View]) -> list[_View]:
        """Return `known` and those `views` that see a further face; the graphs of the others become idle."""
        seen = list(known)
        for view in views:
            if view.see(frame) and not _shown(view.face.mean(axis=0), seen):
                seen.append(view)
            else:
                self._idle.append(view.mesh)
        return seen

    def _look_everywhere(self, frame: np.ndarray, known: list[_View]) -> list[_View]:
        """Return `known` and a view of each further face that the detector finds on the picture as it is.

        Where it is not sure, what it sees may be a face that is upside down, and the picture is turned.
        """
        found = self._detect(frame, [_whole(frame)])
        views = self._open(frame, found, known)
        if known or not views or max(face.score for face in found) >= SURE:
            return views
        turns = self._turns(frame)
        if not turns:
            return views
        self._idle += [view.mesh for view in views]
        return self._open(frame, self._detect(frame, [_whole(frame, turns)]), known)

    def _search(self, frame: np.ndarray) -> list[_View]:
        """Look for faces that do not show on the picture as it is: turned, cut off by its edges, or small."""
        looks = _looks(frame, self._turns(frame))
        ways = [*([look] for look in looks), _tiles(frame)]
        return next(filter(None, (self._open(frame, self._detect(frame, way), known=[]) for way in ways)), [])

    def _turns(self, frame: np.ndarray) -> int:
        """Return the quarter turns that make faces upright; 0 where that is not clear."""
        scores = [
            sum(max((face.score for face in self._detect(frame, [look])), default=0) for look in _looks(frame, turns))
            for turns in range(4)
        ]
        best = max(range(4), key=scores.__getitem__)
        return best if scores[best] > CLEAR else 0

    def _detect(self, frame: np.ndarray, looks: Iterable[_Look]) -> list[_Found]:
        """Return what the detector finds, with boxes in pixels of the whole picture."""
        found = []
        for look in looks:
            for detection in self._detector.process(look.cut(frame)).detections or []:
                box = detection.location_data.relative_bounding_box
                corners = np.array([[box.xmin, box.ymin], [box.xmin + box.width, box.ymin + box.height]])
                found.append(_Found(bounding_box(look.place(corners)), detection.score[0], look))
        return found

    def _open(self, frame: np.ndarray, found: list[_Found], known: list[_View]) -> list[_View]:
        """Return `known` and views that see further faces, where the detector found some."""
        boxes: list[np.ndarray] = []
        views: list[_View] = []
        for face in sorted(found, key=lambda face: face.box[0] - face.box[2]):  # widest first
            centre = (face.box[:2] + face.box[2:]) / 2
            if len(known) + len(views) < MAX_FACES and not _shown(centre, known) and not _inside(centre, boxes):
                boxes.append(face.box)
                mesh = self._idle.pop() if self._idle else _warm(_new_mesh)
                views.append(_View(mesh, face, frame))
        return self._look(frame, views, known)


class _Look(NamedTuple):
    """A rectangle to look at, and how: it may reach beyond the picture, where all is black."""

    region: tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the picture
    turns: int = 0  # quarters, anticlockwise
    reach: int = 0  # pixels by which views of its faces may reach beyond the picture

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """Return the pixels of the rectangle, turned; fewer of them where it reaches beyond the picture."""
        x0, y0, x1, y1 = self.region
        height, width = frame.shape[:2]
        if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
            view = frame[y0:y1, x0:x1]
        else:
            scale = min(BEYOND / max(x1 - x0, y1 - y0), 1)
            shift = scale * (0.5 - np.array([x0, y0])) - 0.5
            transform = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            view = cv2.warpAffine(frame, transform, (round(scale * (x1 - x0)), round(scale * (y1 - y0))))
        return np.ascontiguousarray(np.rot90(view, self.turns))

    def place(self, points: np.ndarray) -> np.ndarray:
        """Map points (n, 2) in [0, 1] of what `cut` returns to pixels of the picture, 0 at its corner."""
        for _ in range(self.turns):
            points = np.stack([1 - points[:, 1], points[:, 0]], axis=1)
        x0, y0, x1, y1 = self.region
        return points * [x1 - x0, y1 - y0] + [x0, y0]


class _Found(NamedTuple):
    """A face that the detector found."""

    box: np.ndarray  # (4,) x0, y0, x1, y1 in pixels of the picture
    score: float  # 0 to 1
    look: _Look


def _whole(frame: np.ndarray, turns: int = 0) -> _Look:
    return _Look((0, 0, frame.shape[1], frame.shape[0]), turns)


def _looks(frame: np.ndarray, turns: int) -> list[_Look]:
    """The picture, and the picture with black around it: the detector knows no face without its surroundings."""
    height, width = frame.shape[:2]
    longer = max(height, width)
    framed = [_Look((-r, -r, width + r, height + r), turns, reach=longer) for r in (longer // 2, longer)]
    return [_whole(frame, turns), *framed]


def _tiles(frame: np.ndarray) -> list[_Look]:
    """Squares that overlap by half and show faces of about 25 pixels large enough to be found."""
    height, width = frame.shape[:2]
    side = max(min(TILE, height, width), ceil(max(height, width) / MAX_TILES))
    tile_width, tile_height = min(side, width), min(side, height)
    lefts, tops = _starts(width, tile_width), _starts(height, tile_height)
    return [_Look((x, y, x + tile_width, y + tile_height)) for y, x in product(tops, lefts)]


def _starts(length: int, side: int) -> list[int]:
    return [int(start) for start in np.linspace(0, length - side, 1 + ceil(2 * (length - side) / side))]


class _Searches:
    """When to search: at first, when a face is lost, when a scene begins, and now and then."""

    def __init__(self) -> None:
        self._next = 0
        self._before: np.ndarray | None = None

    def due(self, index: int, frame: np.ndarray, lost: bool) -> bool:
        """Say whether it is time to search in a frame without a known face."""
        after = thumbnail(frame)
        begins = self._before is not None and is_cut(self._before, after)
        self._before = after
        if not (begins or lost or index >= self._next):
            return False
        self._next = index + DETECT_EVERY
        return True


class _View:
    """A fixed region of the picture and the graph that follows one face in it."""

    def __init__(self, mesh: FaceMesh, found: _Found, frame: np.ndarray) -> None:
        self.mesh = mesh
        self.face = np.zeros((68, 2), np.float32)
        self.look = found.look
        self._moved = True
        self._move(found.box, frame)

    def see(self, frame: np.ndarray) -> bool:
        """Update `face` from the next picture; False when no face is seen any more."""
        process = _process_anew if self._moved else FaceMesh.process
        found = process(self.mesh, self.look.cut(frame)).multi_face_landmarks
        self._moved = False
        if not found:
            return False
        mesh = found[0].landmark  # x, y in [0, 1] of the view
        points = np.array([(mesh[i].x, mesh[i].y) for i in IBUG_FROM_MEDIAPIPE])  # (68, 2)
        self.face = (self.look.place(points) - 0.5).astype(np.float32)
        if self._near_edge(frame):
            self._move(bounding_box(self.face), frame)
        return True

    def _move(self, box: np.ndarray, frame: np.ndarray) -> None:
        """Put the region around a face's box; the graph must forget what it saw before."""
        reach, size = self.look.reach, np.array(frame.shape[1::-1])
        centre, half = (box[:2] + box[2:]) / 2, VIEW_SIDE / 2 * (box[2:] - box[:2]).max()
        x0, y0 = np.maximum(centre - half, -reach).astype(int)
        x1, y1 = np.minimum(np.ceil(centre + half), size + reach).astype(int)
        self.look = self.look._replace(region=(int(x0), int(y0), int(x1), int(y1)))
        self._moved = True

    def _near_edge(self, frame: np.ndarray) -> bool:
        """Whether the face comes near an edge of the region that could be farther out."""
        x0, y0, x1, y1 = self.look.region
        reach = self.look.reach
        box = bounding_box(self.face)
        margin = VIEW_MARGIN * (box[2:] - box[:2]).max()
        near = box[0] < x0 + margin, box[1] < y0 + margin, box[2] > x1 - margin, box[3] > y1 - margin
        free = x0 > -reach, y0 > -reach, x1 < frame.shape[1] + reach, y1 < frame.shape[0] + reach
        return any(a and b for a, b in zip(near, free, strict=True))


class _Lost:
    """Where a face was when it was seen last."""

    def __init__(self, since: int, view: _View) -> None:
        self.since, self.look, self.point = since, view.look, view.face.mean(axis=0)


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


def _shown(point: np.ndarray, views: list[_View]) -> bool:
    """Whether a point lies in the box of a face that one of the views shows."""
    return _inside(point, [bounding_box(view.face) for view in views])


def _inside(point: np.ndarray, boxes: list[np.ndarray]) -> bool:
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
