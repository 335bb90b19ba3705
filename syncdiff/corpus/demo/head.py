"""The whole figure: face, skull, hair, ears, eyes, teeth, tongue, neck and shoulders as one list of triangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from syncdiff.corpus.demo import mesh
from syncdiff.corpus.demo.face import express, open_mouth
from syncdiff.corpus.demo.person import Person
from syncdiff.corpus.demo.speech import CHANNELS
from syncdiff.corpus.demo.texture import face_coordinates, in_tile

NECK_PIVOT = np.array([0.0, 1.5, 1.0])
HEAD_Y, NECK_Y = 1.5, 2.6  # what lies above moves with the head, what lies below stays with the shoulders
EYEBALL = 0.30
EYE_REACH = 1.25  # radians from the pupil to the edge of the modelled part of the ball


@dataclass(frozen=True)
class Pose:
    """Where the head is at one instant: angles in radians, shift in eye distances; and lids, brows and gaze."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    blink: float = 0.0
    brow: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)


@dataclass
class Part:
    """A piece of surface at rest."""

    points: np.ndarray  # (N, 3)
    triangles: np.ndarray  # (M, 3)
    coordinates: np.ndarray  # (N, 2) pixels of the texture
    occlusion: float | np.ndarray = 1.0
    gloss: float | np.ndarray = 0.0


class Head:
    """A person's figure. The face's 468 points come first, so that FaceMesh's indices hold."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._base = _skin_and_mouth(person.face)
        self._smooth, faces = mesh.subdivide(len(self._base.points), self._base.triangles)
        skull = _skull(person.face)
        self._eye_centres = [_eye_centre(person.face, side) for side in (0, 1)]
        parts = {
            "face": Part(
                self._smooth @ self._base.points,
                faces,
                self._smooth @ self._base.coordinates,
                self._smooth @ self._base.occlusion,
                self._smooth @ self._base.gloss,
            ),
            "left eye": _eyeball(),
            "right eye": _eyeball(),
            "upper teeth": _teeth(person.face, upper=True),
            "lower teeth": _teeth(person.face, upper=False),
            "tongue": _tongue(),
            **_hair(person, skull),
            "left ear": _ear(person.face, -1),
            "right ear": _ear(person.face, 1),
            "neck": _neck(person.face),
            "shoulders": _shoulders(),
        }
        starts = np.cumsum([0, *(len(part.points) for part in parts.values())])
        self._slices = {name: slice(a, b) for name, a, b in zip(parts, starts[:-1], starts[1:], strict=True)}
        self._rest = np.concatenate([part.points for part in parts.values()])
        offsets = zip(parts.values(), starts[:-1], strict=True)
        self.triangles = np.concatenate([part.triangles + start for part, start in offsets]).astype(np.int32)
        self.coordinates = np.concatenate([part.coordinates for part in parts.values()])
        self.occlusion = np.concatenate([np.broadcast_to(p.occlusion, len(p.points)) for p in parts.values()]).copy()
        self.gloss = np.concatenate([np.broadcast_to(p.gloss, len(p.points)) for p in parts.values()])
        # Neck and long hair bend: their points follow the head less and less towards the shoulders.
        follow = ((NECK_Y - self._rest[:, 1]) / (NECK_Y - HEAD_Y)).clip(0, 1)
        follow[self._slices["face"].start : self._slices["tongue"].stop] = 1
        self._follow = (follow**2 * (3 - 2 * follow))[:, None]
        self._jaw_tooth = np.ones(len(parts["lower teeth"].points))

    def posed(self, mouth: np.ndarray, pose: Pose) -> np.ndarray:
        """Move the figure: (N, 3) points for one row of `speech.articulate` and one head pose."""
        points = self._rest.copy()
        face = express(self._person.face, mouth, pose.blink, pose.brow)
        base = np.concatenate([face, _bag(face), _rim(face)])
        points[self._slices["face"]] = self._smooth @ base
        for name, centre in zip(("left eye", "right eye"), self._eye_centres, strict=True):
            points[self._slices[name]] = points[self._slices[name]] @ _rotation(*pose.gaze, 0).T + centre
        jaw = float(mouth[CHANNELS.index("jaw")])
        lower = self._slices["lower teeth"]
        points[lower] = open_mouth(points[lower], self._jaw_tooth, jaw)
        points[self._slices["tongue"]] = _place_tongue(points[self._slices["tongue"]], face, mouth)
        turned = (points - NECK_PIVOT) @ _rotation(pose.yaw, pose.pitch, pose.roll).T + NECK_PIVOT
        turned[:, :2] += pose.shift
        moved: np.ndarray = points + (turned - points) * self._follow
        return moved


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: np.ndarray = about_z @ about_x @ about_y
    return rotation


# ---- face, back to the ears, and the mouth's inside: one surface, subdivided together ---------------------------

BAG_RINGS = ((0.06, 1.0), (0.22, 1.25), (0.55, 0.8), (0.8, 0.1))  # depth behind the lips, size
RIM_RINGS = ((0.25, 1.0), (0.6, 0.96), (1.0, 0.7))  # share of the way back, size


def _skin_and_mouth(face: np.ndarray) -> Part:
    seam = [*mesh.UPPER_SEAM, *mesh.LOWER_SEAM[-2:0:-1]]
    bag_start = mesh.N_POINTS
    rim_start = bag_start + len(BAG_RINGS) * len(seam)
    triangles = [mesh.triangles()]
    triangles += _loft(seam, bag_start, len(BAG_RINGS), len(seam), inward=True)
    triangles += _loft(mesh.OVAL, rim_start, len(RIM_RINGS), len(mesh.OVAL), inward=False)
    uv = face_coordinates(mesh.neutral())
    depth = np.repeat([ring[0] for ring in BAG_RINGS], len(seam))
    bag_uv = in_tile("mouth", np.stack([np.full(len(depth), 0.5), (depth / 0.6)], axis=1))
    rim_uv = np.tile(in_tile("face", uv[mesh.OVAL]), (len(RIM_RINGS), 1))
    occlusion = np.concatenate([np.ones(mesh.N_POINTS), np.full(len(depth), 0.8), np.full(len(rim_uv), 0.92)])
    gloss = np.concatenate([_face_gloss(face), np.zeros(len(depth) + len(rim_uv))])
    points = np.concatenate([face, _bag(face), _rim(face)])
    coordinates = np.concatenate([in_tile("face", uv), bag_uv, rim_uv])
    return Part(points, np.concatenate(triangles), coordinates, occlusion, gloss)


def _bag(face: np.ndarray) -> np.ndarray:
    """Rings behind the lips' inner edge, that go back into the dark."""
    edge = face[[*mesh.UPPER_SEAM, *mesh.LOWER_SEAM[-2:0:-1]]]
    centre = edge.mean(axis=0)
    rings = [(edge - centre) * [min(size, 1), size, 1] + centre + [0, 0, depth] for depth, size in BAG_RINGS]
    return np.concatenate(rings)


def _rim(face: np.ndarray) -> np.ndarray:
    """Rings from the face's oval back to where ears and neck begin."""
    edge, back = face[mesh.OVAL], np.array([0.0, 0.45, 1.25])
    rings = []
    for share, size in RIM_RINGS:
        ring = (edge - back) * [size, size, 1] + back
        ring[:, 2] = edge[:, 2] + share * (back[2] - edge[:, 2])
        rings.append(ring)
    return np.concatenate(rings)


def _loft(edge: Sequence[int], start: int, n_rings: int, n: int, inward: bool) -> list[np.ndarray]:
    """Triangles between an edge loop and the rings that follow it."""
    loops = [np.asarray(edge), *(start + ring * n + np.arange(n) for ring in range(n_rings))]
    triangles = []
    for near, far in zip(loops[:-1], loops[1:], strict=True):
        a, b, c, d = near, np.roll(near, -1), far, np.roll(far, -1)
        quads = np.concatenate([np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)])
        triangles.append(quads if inward else quads[:, ::-1])
    return triangles


def _face_gloss(face: np.ndarray) -> np.ndarray:
    gloss = np.full(mesh.N_POINTS, 0.07)
    gloss[[*mesh.LOWER_LIP, *(i for row in mesh.LOWER_RED for i in row)]] = 0.22
    gloss[[4, 5, 195, 9, 8, 151]] = 0.14
    return gloss


# ---- parts of their own ------------------------------------------------------------------------------------------


def _grid(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Triangles of a grid of points, row by row; with rows downwards and columns to the right it faces the camera."""
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1) if closed else index[:, 1:]
    left = index if closed else index[:, :-1]
    a, b, c, d = left[:-1], right[:-1], left[1:], right[1:]
    quads = [np.stack([a, b, c], axis=-1), np.stack([b, d, c], axis=-1)]
    return np.concatenate([quad.reshape(-1, 3) for quad in quads])


def _eye_centre(face: np.ndarray, side: int) -> np.ndarray:
    lids = [*mesh.UPPER_LIDS[side], *mesh.LOWER_LIDS[side]]
    middle, corners = face[lids].mean(axis=0), face[[lids[0], lids[8]]].mean(axis=0)
    front = max(middle[2], corners[2] - 0.06) - 0.005
    return np.array([middle[0], middle[1], front + EYEBALL])


def _eyeball() -> Part:
    """The front of a ball about the origin."""
    angle, turn = np.meshgrid(np.linspace(0, EYE_REACH, 9), np.linspace(0, 2 * np.pi, 24, endpoint=False), indexing="ij")
    x, y, z = np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), -np.cos(angle)
    points = EYEBALL * np.stack([x, y, z], axis=-1).reshape(-1, 3)
    uv = 0.5 + 0.5 * np.stack([angle * np.cos(turn), angle * np.sin(turn)], axis=-1).reshape(-1, 2) / EYE_REACH
    return Part(points, _grid(9, 24, closed=True)[:, ::-1], in_tile("eye", uv), 0.92, 0.25)


def _teeth(face: np.ndarray, upper: bool) -> Part:
    """A row of teeth on an arch behind the lips."""
    seam = face[[13, 14]].mean(axis=0)
    across, down = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(0, 1, 4))
    x = 0.33 * across
    z = seam[2] + 0.10 + 0.30 * across**2 + (0.0 if upper else 0.035)
    top, bottom = (-0.20, 0.035) if upper else (0.015, 0.24)
    y = seam[1] + top + (bottom - top) * down
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    uv = np.stack([(across + 1) / 2, down if upper else 1 - down], axis=-1).reshape(-1, 2)
    occlusion = (0.92 - 0.55 * across**2).reshape(-1) * (1.0 if upper else 0.82)
    return Part(points, _grid(4, 21), in_tile("teeth", uv), occlusion, 0.05)


def _tongue() -> Part:
    """Half an ellipsoid about the origin, its tip towards the camera."""
    angle, turn = np.meshgrid(np.linspace(0, np.pi / 2, 7), np.linspace(0, 2 * np.pi, 20, endpoint=False), indexing="ij")
    x, y, z = 0.26 * np.sin(angle) * np.cos(turn), 0.10 * np.sin(angle) * np.sin(turn), -0.34 * np.cos(angle)
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    uv = np.stack([x.ravel() / 0.52 + 0.5, y.ravel() / 0.2 + 0.5], axis=1)
    return Part(points, _grid(7, 20, closed=True)[:, ::-1], in_tile("tongue", uv), 0.62, 0.06)


def _place_tongue(points: np.ndarray, face: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    value = dict(zip(CHANNELS, mouth.tolist(), strict=True))
    upper, lower = face[13], face[14]
    gap = lower[1] - upper[1]
    low = lower + [0, 0.10, 0.52]  # at rest behind the lower teeth
    lift = value["tip"] * (gap + 0.02) * 0.9
    tipped: np.ndarray = points + low - [0, 0, 0.24 * value["out"]]
    tipped[:, 1] -= lift * np.clip(-points[:, 2] / 0.34, 0, 1)  # the tip rises, the root stays
    return tipped


@dataclass(frozen=True)
class _Skull:
    centre: np.ndarray
    radius: np.ndarray


def _skull(face: np.ndarray) -> _Skull:
    """The ellipsoid that the face's upper rim lies on."""
    width = np.abs(face[mesh.OVAL, 0]).max()
    centre = np.array([0.0, -0.12, 0.92])
    depth = (centre[2] - face[10, 2]) / np.sqrt(1 - ((face[10, 1] - centre[1]) / 1.32) ** 2)
    return _Skull(centre, np.array([width * 1.03, 1.32, depth]))


def _hair(person: Person, skull: _Skull) -> dict[str, Part]:
    """A cap from the crown to the hairline and, for long hair, a curtain from there down."""
    rng = np.random.default_rng(person.paint_seed + 2)
    rows, columns = 18, 64
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    front, side, back = person.hairline, 1.52 + 0.25 * min(person.hair_length, 0.4), 2.0
    edge = np.where(np.cos(around) > 0, side + (front - side) * np.cos(around) ** 2, side + (back - side) * np.cos(around) ** 2)
    fringe = 0.03 * np.interp(around, np.linspace(0, 2 * np.pi, 24), rng.normal(0, 1, 24), period=2 * np.pi)
    edge = edge + fringe
    share = np.linspace(0, 1, rows)[:, None]
    angle = share * edge  # (rows, columns) from the crown
    thickness = (0.03 + 0.13 * min(person.hair_length + 0.35, 1)) * (1 - share**5) + 0.012
    waves = 0.012 * np.interp(around * 3 % (2 * np.pi), np.linspace(0, 2 * np.pi, 16), rng.normal(0, 1, 16), period=2 * np.pi)
    crown, forward = np.array([0, -np.cos(0.3), np.sin(0.3)]), np.array([0, -np.sin(0.3), -np.cos(0.3)])
    direction = (
        np.cos(angle)[..., None] * crown
        + (np.sin(angle) * np.cos(around))[..., None] * forward
        + (np.sin(angle) * np.sin(around))[..., None] * np.array([1.0, 0, 0])
    )
    points = skull.centre + direction * skull.radius * (1.0 + thickness + waves * share)[..., None]
    uv = np.stack([np.broadcast_to(around / np.pi % 1, angle.shape), np.broadcast_to(share, angle.shape)], axis=-1)
    triangles = _grid(rows, columns, closed=True)[:, ::-1]
    parts = {"hair": Part(points.reshape(-1, 3), triangles, in_tile("hair", uv.reshape(-1, 2)), 0.9, 0.06)}
    if person.hair_length > 0.3:
        parts["curtain"] = _curtain(person, skull)
    return parts


def _curtain(person: Person, skull: _Skull) -> Part:
    rows, columns = 8, 40
    turn, share = np.meshgrid(np.linspace(-2.15, 2.15, columns), np.linspace(0, 1, rows))
    bottom = 0.9 + 1.6 * person.hair_length
    y = -0.5 + (bottom + 0.5) * share
    swell = 1.13 + 0.10 * np.sin(np.pi * share) - 0.05 * share
    x = skull.centre[0] + skull.radius[0] * swell * np.sin(turn)
    z = skull.centre[2] + 0.1 + skull.radius[2] * swell * 0.9 * np.cos(turn)
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    uv = np.stack([turn * 0.6 % 1, share], axis=-1).reshape(-1, 2)
    front = _grid(rows, columns)
    return Part(points, np.concatenate([front, front[:, ::-1]]), in_tile("hair", uv), 0.75, 0.0)


def _ear(face: np.ndarray, side: int) -> Part:
    x = np.abs(face[[234, 454], 0]).max()
    centre = np.array([side * (x + 0.02), 0.30, 1.12])
    angle, turn = np.meshgrid(np.linspace(0, np.pi, 9), np.linspace(0, 2 * np.pi, 16, endpoint=False), indexing="ij")
    ball = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), -np.cos(angle)], axis=-1).reshape(-1, 3)
    points = ball * [0.09, 0.34, 0.20]
    points[:, 0] += side * (0.10 + 0.25 * points[:, 2]) - side * 0.10 * points[:, 1]
    uv = np.full((len(ball), 2), 0.5) + ball[:, 1:] * 0.3
    occlusion = 0.86 - 0.25 * (ball[:, 2] > 0.3)
    return Part(points + centre, _grid(9, 16, closed=True)[:, ::-1], in_tile("skin", uv), occlusion, 0.04)


def _neck(face: np.ndarray) -> Part:
    rows, columns = 8, 28
    jaw = np.abs(face[[172, 397], 0]).max()
    return _tube(
        np.linspace(0.9, 2.9, rows),
        np.interp(np.linspace(0, 1, rows), [0, 0.6, 1], [jaw * 0.86, jaw * 0.84, jaw * 1.0]),
        np.full(rows, 0.62),
        columns,
        "skin",
        np.interp(np.linspace(0, 1, rows), [0, 0.35, 0.7, 1], [0.45, 0.6, 0.85, 0.9]),
    )


def _shoulders() -> Part:
    y = np.array([2.36, 2.42, 2.56, 2.72, 2.95, 3.4, 5.0])
    width = np.array([0.80, 0.95, 1.30, 1.85, 2.45, 2.80, 2.85])
    depth = np.array([0.66, 0.74, 0.86, 0.96, 1.05, 1.15, 1.2])
    return _tube(y, width, depth, 40, "clothes", np.array([0.7, 0.85, 0.95, 1, 1, 1, 1]))


def _tube(
    y: np.ndarray, width: np.ndarray, depth: np.ndarray, columns: int, tile: str, occlusion: np.ndarray
) -> Part:
    """Elliptic rings about a vertical line behind the face."""
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    x = width[:, None] * np.sin(around)
    z = 1.0 - depth[:, None] * np.cos(around)
    points = np.stack([x, np.broadcast_to(y[:, None], x.shape), z], axis=-1).reshape(-1, 3)
    v = np.broadcast_to(np.linspace(0, 1, len(y))[:, None], x.shape)
    u = np.broadcast_to(np.abs(around / np.pi - 1), x.shape)
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    return Part(points, _grid(len(y), columns, closed=True), in_tile(tile, uv), np.repeat(occlusion, columns))
