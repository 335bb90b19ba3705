"""MediaPipe's FaceMesh (its models come in the wheel): one tracking graph on a view around each face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from syncdiff.config import Faces
from syncdiff.faces.boxes import bounding_box
from syncdiff.faces.cuts import is_cut, thumbnail
from syncdiff.faces.graphs import Detector, Mesh, keep_heap_small
from syncdiff.faces.regions import Region, tiles, turned_frames, whole_frame

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
DETECT_EVERY = 25  # frames between looks for new faces while all known ones are in sight
MAX_FACES = 8  # the largest ones of a crowd
VIEW_SIDE = 2.0  # side of a new view, in sides of the face's box: a neighbour shows by half at most
VIEW_MARGIN = 0.15  # a face nearer to the edge of its view, in sides of its box, gets a new view
SURE = 0.8  # of a detector's score: what it takes for upright in a turned frame hardly ever has that
CLEAR = 1.2  # of the scores summed over the three `turned_frames`: two of them see the face


class FaceMeshLandmarker:
    """Detects faces now and then, and follows each with a graph of its own, at the resolution of the source.

    A graph that sees one face skips MediaPipe's detector while it tracks; a graph for many faces runs it on every
    frame. The views also find faces that are small in the frame. Where no face is known, `_search` looks closer.
    """

    misses = "not seen are faces under about 25 pixels, and those a third outside the picture"

    def __init__(self, faces: Faces | None = None, device: str = "cpu") -> None:
        """Load the detector; nothing of the config changes it, and it computes on the CPU alone."""
        keep_heap_small()
        self._detector = Detector()
        self._idle: list[Mesh] = []

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """See `Landmarker.track`."""
        views: list[_View] = []
        lost: list[_Lost] = []
        searches = _Searches()
        try:
            for index, frame in enumerate(frames):
                before = views
                views = self._follow(frame, before, known=[])
                lost += [_Lost(index, view) for view in before if view not in views]
                if index % DETECT_EVERY == 0 or not views or len(views) < len(before):
                    views = self._detect_further(frame, known=views)
                lost = [face for face in lost if index - face.since < DETECT_EVERY and not _shown(face.point, views)]
                views = self._open(frame, self._detect(frame, [face.region for face in lost]), known=views)
                if not views and searches.due(index, frame, lost=len(before) > 0):
                    views = self._search(frame)
                yield [view.face for view in views]
        finally:
            self._idle += [view.mesh for view in views]

    def _follow(self, frame: np.ndarray, views: list[_View], known: list[_View]) -> list[_View]:
        """Return `known` and those `views` that see a further face; the graphs of the others become idle."""
        seen = list(known)
        for view in views:
            if view.see(frame) and not _shown(view.face.mean(axis=0), seen):
                seen.append(view)
            else:
                self._idle.append(view.mesh)
        return seen

    def _detect_further(self, frame: np.ndarray, known: list[_View]) -> list[_View]:
        """Return `known` and a view of each further face that the detector finds on the frame as it is.

        Where it is not sure, what it sees may be a face that is upside down, and the frame is turned.
        """
        found = self._detect(frame, [whole_frame(frame)])
        views = self._open(frame, found, known)
        if known or not views or max(face.score for face in found) >= SURE:
            return views
        turns = self._turns(frame)
        if not turns:
            return views
        self._idle += [view.mesh for view in views]
        return self._open(frame, self._detect(frame, [whole_frame(frame, turns)]), known)

    def _search(self, frame: np.ndarray) -> list[_View]:
        """Look for faces that do not show on the frame as it is: turned, cut off by its edges, or small."""
        whole = turned_frames(frame, self._turns(frame))
        tries = [*([region] for region in whole), tiles(frame)]
        return next(filter(None, (self._open(frame, self._detect(frame, regions), known=[]) for regions in tries)), [])

    def _turns(self, frame: np.ndarray) -> int:
        """Return the quarter turns that make faces upright; 0 where that is not clear.

        Upright ones of which the detector is not sure fill the frame; with black around it, it is.
        """
        sums: list[float] = []
        for turns in range(4):
            scores = [
                max((face.score for face in self._detect(frame, [region])), default=0)
                for region in turned_frames(frame, turns)
            ]
            if not turns and max(scores) >= SURE:
                return 0
            sums.append(sum(scores))
        best = max(range(4), key=sums.__getitem__)
        return best if sums[best] > CLEAR else 0

    def _detect(self, frame: np.ndarray, regions: Iterable[Region]) -> list[_Found]:
        """Return what the detector finds, with boxes in pixels of the whole frame."""
        found = []
        for region in regions:
            for detection in self._detector.process(region.cut(frame)):
                box = detection.location_data.relative_bounding_box
                corners = np.array([[box.xmin, box.ymin], [box.xmin + box.width, box.ymin + box.height]])
                found.append(_Found(bounding_box(region.place(corners)), detection.score[0], region))
        return found

    def _open(self, frame: np.ndarray, found: list[_Found], known: list[_View]) -> list[_View]:
        """Return `known` and views that see further faces, where the detector found some."""
        boxes: list[np.ndarray] = []
        views: list[_View] = []
        for face in sorted(found, key=lambda face: face.box[0] - face.box[2]):  # widest first
            centre = (face.box[:2] + face.box[2:]) / 2
            if len(known) + len(views) < MAX_FACES and not _shown(centre, known) and not _inside(centre, boxes):
                boxes.append(face.box)
                mesh = self._idle.pop() if self._idle else Mesh()
                views.append(_View(mesh, face, frame))
        return self._follow(frame, views, known)


class _Found(NamedTuple):
    """A face that the detector found."""

    box: np.ndarray  # (4,) x0, y0, x1, y1 in pixels of the frame
    score: float  # 0 to 1
    region: Region


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
    """A fixed region of the frame and the graph that follows one face in it."""

    def __init__(self, mesh: Mesh, found: _Found, frame: np.ndarray) -> None:
        self.mesh = mesh
        self.face = np.zeros((68, 2), np.float32)
        self.region = found.region
        self._moved = True
        self._move(found.box, frame)

    def see(self, frame: np.ndarray) -> bool:
        """Update `face` from the next frame; False when no face is seen any more."""
        process = self.mesh.process_anew if self._moved else self.mesh.process
        found = process(self.region.cut(frame))
        self._moved = False
        if not found:
            return False
        mesh = found[0].landmark  # x, y in [0, 1] of the view
        points = np.array([(mesh[i].x, mesh[i].y) for i in IBUG_FROM_MEDIAPIPE])  # (68, 2)
        self.face = (self.region.place(points) - 0.5).astype(np.float32)
        if self._near_edge(frame):
            self._move(bounding_box(self.face), frame)
        return True

    def _move(self, box: np.ndarray, frame: np.ndarray) -> None:
        """Put the region around a face's box; the graph must forget what it saw before."""
        reach, size = self.region.reach, np.array(frame.shape[1::-1])
        centre, half = (box[:2] + box[2:]) / 2, VIEW_SIDE / 2 * (box[2:] - box[:2]).max()
        x0, y0 = np.maximum(centre - half, -reach).astype(int)
        x1, y1 = np.minimum(np.ceil(centre + half), size + reach).astype(int)
        self.region = self.region._replace(box=(int(x0), int(y0), int(x1), int(y1)))
        self._moved = True

    def _near_edge(self, frame: np.ndarray) -> bool:
        """Whether the face comes near an edge of the region that could be farther out."""
        x0, y0, x1, y1 = self.region.box
        reach = self.region.reach
        box = bounding_box(self.face)
        margin = VIEW_MARGIN * (box[2:] - box[:2]).max()
        near = box[0] < x0 + margin, box[1] < y0 + margin, box[2] > x1 - margin, box[3] > y1 - margin
        free = x0 > -reach, y0 > -reach, x1 < frame.shape[1] + reach, y1 < frame.shape[0] + reach
        return any(a and b for a, b in zip(near, free, strict=True))


class _Lost:
    """Where a face was when it was seen last."""

    def __init__(self, since: int, view: _View) -> None:
        self.since, self.region, self.point = since, view.region, view.face.mean(axis=0)


def _shown(point: np.ndarray, views: list[_View]) -> bool:
    """Whether a point lies in the box of a face that one of the views shows."""
    return _inside(point, [bounding_box(view.face) for view in views])


def _inside(point: np.ndarray, boxes: list[np.ndarray]) -> bool:
    return any(bool((box[:2] <= point).all() and (point <= box[2:]).all()) for box in boxes)
