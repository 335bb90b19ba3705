"""The whole figure as one list of triangles, and how mouth, lids and head pose move it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from syncdiff.corpus.demo import mesh, parts
from syncdiff.corpus.demo.face import express, open_mouth
from syncdiff.corpus.demo.parts import Part
from syncdiff.corpus.demo.person import Person
from syncdiff.corpus.demo.speech import CHANNELS
from syncdiff.corpus.demo.texture import face_coordinates, in_tile

NECK_PIVOT = np.array([0.0, 1.5, 1.0])
HEAD_Y, NECK_Y = 1.5, 2.6  # what lies above moves with the head, what lies below stays with the shoulders
BAG_RINGS = ((0.06, 1.0), (0.20, 1.25), (0.42, 1.0), (0.50, 0.02))  # the mouth's inside: depth behind the lips, height
RIM_RINGS = ((0.25, 1.0), (0.6, 0.96), (1.0, 0.7))  # from the face's edge: share of the way back, size
RIM_CENTRE = np.array([0.0, 0.45, 1.25])


@dataclass(frozen=True)
class Pose:
    """A head at one instant: angles in radians, shift in eye distances; and lids, brows and gaze."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    blink: float = 0.0  # 0 open to 1 shut
    brow: float = 0.0  # -1 lowered to 1 raised
    gaze: tuple[float, float] = (0.0, 0.0)


class Head:
    """A person's figure. The face's 468 points come first, so that FaceMesh's indices hold."""

    def __init__(self, person: Person) -> None:
        self._person = person
        base = _skin_and_mouth(person.face)
        self._smooth, triangles = mesh.subdivide(len(base.points), base.triangles, mesh.SEAM)
        looks = (self._smooth @ values for values in (base.coordinates, base.occlusion, base.gloss))
        seam = person.face[[13, 14]].mean(axis=0)
        figure = {
            "face": Part(self._smooth @ base.points, triangles, *looks),
            "left eye": parts.eyeball(),
            "right eye": parts.eyeball(),
            "upper teeth": parts.teeth(seam, upper=True),
            "lower teeth": parts.teeth(seam, upper=False),
            "tongue": parts.tongue(),
            **parts.hair(person),
            "left ear": parts.ear(person.face, -1),
            "right ear": parts.ear(person.face, 1),
            "neck": parts.neck(person.face),
            "shoulders": parts.shoulders(),
        }
        self.surface = parts.join(figure.values())
        ends = np.cumsum([len(part.points) for part in figure.values()])
        self._at = {name: slice(end - len(figure[name].points), end) for name, end in zip(figure, ends, strict=True)}
        self._follow = self._share_of_head_motion()

    def posed(self, mouth: np.ndarray, pose: Pose) -> np.ndarray:
        """Move the figure: (N, 3) points for one row of `speech.articulate` and one head pose."""
        points, person = self.surface.points.copy(), self._person
        face = express(person.face, mouth, person.lids + (1 - person.lids) * pose.blink, pose.brow)
        points[self._at["face"]] = self._smooth @ np.concatenate([face, _bag(face), _rim(face)])
        for side, name in enumerate(("left eye", "right eye")):
            points[self._at[name]] = points[self._at[name]] @ _rotation(*pose.gaze, 0).T + _eye_centre(
                person.face, side
            )
        lower_teeth, tongue = self._at["lower teeth"], self._at["tongue"]
        jaw = float(mouth[CHANNELS.index("jaw")])
        points[lower_teeth] = open_mouth(points[lower_teeth], np.ones(lower_teeth.stop - lower_teeth.start), jaw)
        points[tongue] = _place_tongue(points[tongue], face, mouth)
        turned = (points - NECK_PIVOT) @ _rotation(pose.yaw, pose.pitch, pose.roll).T + NECK_PIVOT
        turned[:, :2] += pose.shift
        moved: np.ndarray = points + (turned - points) * self._follow
        return moved

    def _share_of_head_motion(self) -> np.ndarray:
        """(N, 1): neck and long hair bend, for their points follow the head less and less towards the shoulders."""
        share = ((NECK_Y - self.surface.points[:, 1]) / (NECK_Y - HEAD_Y)).clip(0, 1)
        share[: self._at["tongue"].stop] = 1
        smooth: np.ndarray = share**2 * (3 - 2 * share)
        return smooth[:, None]


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: np.ndarray = about_z @ about_x @ about_y
    return rotation


def _eye_centre(face: np.ndarray, side: int) -> np.ndarray:
    """Centre of an eyeball that touches the lids from behind."""
    lids = [*mesh.UPPER_LIDS[side], *mesh.LOWER_LIDS[side]]
    middle, corners_z = face[lids].mean(axis=0), face[[lids[0], lids[8]], 2].mean()
    front = max(middle[2], corners_z - 0.06) - 0.005
    return np.array([middle[0], middle[1], front + parts.EYEBALL])


def _place_tongue(points: np.ndarray, face: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """Behind the lower teeth; its tip rises to the upper ones (t, d, n, l) or comes out between them (th)."""
    upper, lower = face[13], face[14]
    tip, out = (float(mouth[CHANNELS.index(name)]) for name in ("tip", "out"))
    placed: np.ndarray = points + lower + [0, 0.07, 0.46 - 0.24 * out]
    placed[:, 1] -= 0.9 * tip * (lower[1] - upper[1] + 0.02) * np.clip(-points[:, 2] / parts.TONGUE[2], 0, 1)
    return placed


def _skin_and_mouth(face: np.ndarray) -> Part:
    """Face, its rim back to ears and neck, and the mouth's inside: one surface, subdivided together."""
    n_bag, n_rim = len(BAG_RINGS) * len(mesh.SEAM), len(RIM_RINGS) * len(mesh.OVAL)
    inside = _loft(mesh.SEAM, mesh.N_POINTS, len(BAG_RINGS))
    around = _loft(mesh.OVAL, mesh.N_POINTS + n_bag, len(RIM_RINGS))[:, ::-1]
    uv = face_coordinates(mesh.neutral())
    depth = np.repeat([ring[0] for ring in BAG_RINGS], len(mesh.SEAM))
    coordinates = [
        in_tile("face", uv),
        in_tile("mouth", np.stack([np.full(n_bag, 0.5), depth / 0.45], axis=1)),
        np.tile(in_tile("face", uv[mesh.OVAL]), (len(RIM_RINGS), 1)),
    ]
    gloss = np.full(mesh.N_POINTS, 0.07)
    gloss[[*mesh.LOWER_LIP, *(i for row in mesh.LOWER_RED for i in row)]] = 0.22
    gloss[[4, 5, 195, 9, 8, 151]] = 0.14  # nose and forehead
    return Part(
        np.concatenate([face, _bag(face), _rim(face)]),
        np.concatenate([mesh.triangles(), inside, around]),
        np.concatenate(coordinates),
        np.repeat([1.0, 0.8, 0.92], [mesh.N_POINTS, n_bag, n_rim]),
        np.concatenate([gloss, np.zeros(n_bag + n_rim)]),
    )


def _bag(face: np.ndarray) -> np.ndarray:
    """Rings behind the lips' inner edge, that go back into the dark."""
    edge = face[mesh.SEAM]
    centre = edge.mean(axis=0)
    rings = [(edge - centre) * [min(size, 1), size, 1] + centre + [0, 0, depth] for depth, size in BAG_RINGS]
    return np.concatenate(rings)


def _rim(face: np.ndarray) -> np.ndarray:
    """Rings from the face's oval back to where ears and neck begin."""
    edge = face[mesh.OVAL]
    rings = []
    for share, size in RIM_RINGS:
        ring = (edge - RIM_CENTRE) * [size, size, 1] + RIM_CENTRE
        ring[:, 2] = edge[:, 2] + share * (RIM_CENTRE[2] - edge[:, 2])
        rings.append(ring)
    return np.concatenate(rings)


def _loft(edge: Sequence[int], start: int, n_rings: int) -> np.ndarray:
    """Triangles between an edge loop and the rings of as many points that follow it from index `start`."""
    n = len(edge)
    loops = [np.asarray(edge), *(start + ring * n + np.arange(n) for ring in range(n_rings))]
    quads = []
    for near, far in pairwise(loops):
        a, b, c, d = near, np.roll(near, -1), far, np.roll(far, -1)
        quads += [np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)]
    return np.concatenate(quads)
