"""The parts of a figure beside the face: eyes, teeth, tongue, hair, ears, neck and shoulders, as textured grids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from syncdiff.corpus.demo import mesh
from syncdiff.corpus.demo.person import Person
from syncdiff.corpus.demo.texture import in_tile

EYEBALL = 0.30  # radius in eye distances
EYE_REACH = 1.25  # radians from the pupil to the edge of the modelled part of the ball
TONGUE = np.array([0.26, 0.10, 0.34])  # half axes
HEAD_AXIS_Z = 1.0  # depth of the neck


@dataclass(frozen=True)
class Part:
    """A piece of surface: points at rest, and what each of them looks like."""

    points: np.ndarray  # (N, 3)
    triangles: np.ndarray  # (M, 3), clockwise as seen from outside
    coordinates: np.ndarray  # (N, 2) pixels of the texture
    occlusion: np.ndarray  # (N,) share of the light that reaches a point
    gloss: np.ndarray  # (N,) strength of the highlight


def make_part(
    points: np.ndarray,
    triangles: np.ndarray,
    tile: str,
    uv: np.ndarray,
    occlusion: float | np.ndarray,
    gloss: float = 0.0,
) -> Part:
    """Make a part of one material from points (..., 3) and their place (..., 2) in the material's tile."""
    points = points.reshape(-1, 3)
    light = np.broadcast_to(np.asarray(occlusion, np.float64).reshape(-1), len(points))
    return Part(points, triangles, in_tile(tile, uv.reshape(-1, 2)), light, np.full(len(points), gloss))


def join(parts: Iterable[Part]) -> Part:
    """Put parts into one, points in the same order."""
    parts = list(parts)
    starts = np.cumsum([0, *(len(part.points) for part in parts[:-1])])
    return Part(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)]).astype(np.int32),
        np.concatenate([part.coordinates for part in parts]),
        np.concatenate([part.occlusion for part in parts]),
        np.concatenate([part.gloss for part in parts]),
    )


def grid(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Triangles of a grid of points, row by row; with rows downwards and columns to the right it faces the camera."""
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1) if closed else index[:, 1:]
    left = index if closed else index[:, :-1]
    a, b, c, d = left[:-1], right[:-1], left[1:], right[1:]
    quads = [np.stack([a, b, c], axis=-1), np.stack([b, d, c], axis=-1)]
    return np.concatenate([quad.reshape(-1, 3) for quad in quads])


def eyeball() -> Part:
    """The front of a ball about the origin."""
    angle, ball = _ball(9, 24, EYE_REACH)
    turn = np.arctan2(ball[..., 1], ball[..., 0])
    uv = 0.5 + 0.5 * np.stack([angle * np.cos(turn), angle * np.sin(turn)], axis=-1) / EYE_REACH
    return make_part(EYEBALL * ball, grid(9, 24, closed=True)[:, ::-1], "eye", uv, 0.92, 0.25)


def teeth(seam: np.ndarray, upper: bool) -> Part:
    """A row of teeth on an arch behind the lips, which meet at `seam` (3,)."""
    across, down = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(0, 1, 4))
    top, bottom, behind = (-0.20, 0.035, 0.10) if upper else (0.015, 0.24, 0.135)
    y = seam[1] + top + (bottom - top) * down
    z = seam[2] + behind + 0.30 * across**2
    uv = np.stack([(across + 1) / 2, down if upper else 1 - down], axis=-1)
    occlusion = (0.92 - 0.55 * across**2) * (1.0 if upper else 0.82)
    return make_part(np.stack([0.33 * across, y, z], axis=-1), grid(4, 21), "teeth", uv, occlusion, 0.05)


def tongue() -> Part:
    """Half an ellipsoid about the origin, its tip towards the camera."""
    _, ball = _ball(7, 20, np.pi / 2)
    return make_part(ball * TONGUE, grid(7, 20, closed=True)[:, ::-1], "tongue", ball[..., :2] / 2 + 0.5, 0.62, 0.06)


def hair(person: Person) -> dict[str, Part]:
    """A cap from the crown to the hairline and, for long hair, a curtain from there down."""
    centre, radius = _skull(person.face)
    rng = np.random.default_rng(person.paint_seed + 2)
    rows, columns = 12, 48
    around, share = np.linspace(0, 2 * np.pi, columns, endpoint=False), np.linspace(0, 1, rows)[:, None]
    sides = 1.72 + 0.2 * person.hair_length
    ends = np.where(np.cos(around) > 0, person.hairline, 2.0)
    edge = sides + (ends - sides) * np.abs(np.cos(around)) ** 3 + 0.03 * _wave(rng, around)
    volume = 0.03 + 0.13 * min(person.hair_length + 0.35, 1)
    thickness = 1.012 + volume * (1 - share**5) + 0.012 * share * _wave(rng, 3 * around)
    points = centre + _from_crown(share * edge, around) * radius * thickness[..., None]
    uv = np.stack(np.broadcast_arrays(around / np.pi % 1, share), axis=-1)
    parts = {"hair": make_part(points, grid(rows, columns, closed=True)[:, ::-1], "hair", uv, 0.9, 0.06)}
    if person.hair_length > 0.3:
        parts["curtain"] = _curtain(person.hair_length, centre, radius)
    return parts


def ear(face: np.ndarray, side: int) -> Part:
    """A flat ball beside the head; `side` is -1 or 1."""
    _, ball = _ball(9, 16, np.pi)
    points = ball * [0.09, 0.34, 0.20]
    points[..., 0] += side * (0.12 + np.abs(face[[234, 454], 0]).max() + 0.25 * points[..., 2] - 0.1 * points[..., 1])
    points += [0, 0.30, 1.12]
    occlusion = 0.86 - 0.25 * (ball[..., 2] > 0.3)
    return make_part(points, grid(9, 16, closed=True)[:, ::-1], "skin", 0.5 + 0.3 * ball[..., 1:], occlusion, 0.04)


def neck(face: np.ndarray) -> Part:
    """A tube that leaves room for the mouth at its upper end and lies in the chin's shadow."""
    rows = np.linspace(0, 1, 8)
    width = np.abs(face[[172, 397], 0]).max() * np.interp(rows, [0, 0.6, 1], [0.80, 0.78, 0.95])
    depth = np.interp(rows, [0, 0.5, 1], [0.30, 0.60, 0.62])
    occlusion = np.interp(rows, [0, 0.35, 0.7, 1], [0.45, 0.6, 0.85, 0.9])
    return _tube(1.15 + 1.75 * rows, width, depth, 28, "skin", occlusion)


def shoulders() -> Part:
    """Shoulders and chest, clothed."""
    y = np.array([2.36, 2.42, 2.56, 2.72, 2.95, 3.4, 5.0])
    width = np.array([0.80, 0.95, 1.30, 1.85, 2.45, 2.80, 2.85])
    depth = np.array([0.66, 0.74, 0.86, 0.96, 1.05, 1.15, 1.2])
    return _tube(y, width, depth, 40, "clothes", np.array([0.7, 0.85, 0.95, 1, 1, 1, 1]))


def _ball(rows: int, columns: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit ball from the point nearest to the camera to `reach` radians from it: angles, and points (..., 3)."""
    turns = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    angle, turn = np.meshgrid(np.linspace(0, reach, rows), turns, indexing="ij")
    ball = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), -np.cos(angle)], axis=-1)
    return angle, ball


def _skull(face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half axes of the ellipsoid that the top of the forehead lies on."""
    centre, height = np.array([0.0, -0.12, 0.92]), 1.32
    depth = (centre[2] - face[10, 2]) / np.sqrt(1 - ((face[10, 1] - centre[1]) / height) ** 2)
    return centre, np.array([1.03 * np.abs(face[mesh.OVAL, 0]).max(), height, depth])


def _from_crown(angle: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Directions (..., 3) at an angle from the crown, which leans back; `around` is 0 towards the face."""
    crown, forward = np.array([0, -np.cos(0.3), np.sin(0.3)]), np.array([0, -np.sin(0.3), -np.cos(0.3)])
    sideways = np.sin(angle) * np.sin(around)
    direction: np.ndarray = np.cos(angle)[..., None] * crown + (np.sin(angle) * np.cos(around))[..., None] * forward
    direction[..., 0] += sideways
    return direction


def _wave(rng: np.random.Generator, around: np.ndarray) -> np.ndarray:
    """Random, continuous around the head, of about unit size."""
    return np.interp(around, np.linspace(0, 2 * np.pi, 20), rng.normal(0, 1, 20), period=2 * np.pi)


def _curtain(length: float, centre: np.ndarray, radius: np.ndarray) -> Part:
    """Long hair, seen from both sides."""
    rows, columns = 7, 30
    turn, share = np.meshgrid(np.linspace(-2.0, 2.0, columns), np.linspace(0, 1, rows))
    swell = 1.0 + 0.16 * np.sin(np.pi * share**0.6) + 0.06 * share
    x = centre[0] + radius[0] * swell * np.sin(turn)
    y = -0.5 + (1.4 + 1.6 * length) * share
    z = centre[2] + 0.1 + 0.9 * radius[2] * swell * np.cos(turn)
    outside = grid(rows, columns)
    both = np.concatenate([outside, outside[:, ::-1]])
    return make_part(np.stack([x, y, z], axis=-1), both, "hair", np.stack([turn * 0.6 % 1, share], axis=-1), 0.75)


def _tube(y: np.ndarray, width: np.ndarray, depth: np.ndarray, columns: int, tile: str, occlusion: np.ndarray) -> Part:
    """Elliptic rings about a vertical line behind the face."""
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    rings = width[:, None] * np.sin(around), y[:, None], HEAD_AXIS_Z - depth[:, None] * np.cos(around)
    uv = np.broadcast_arrays(np.abs(around / np.pi - 1), np.linspace(0, 1, len(y))[:, None])
    points, light = np.stack(np.broadcast_arrays(*rings), axis=-1), np.repeat(occlusion, columns)
    return make_part(points, grid(len(y), columns, closed=True), tile, np.stack(uv, axis=-1), light)
