"""Paint: one texture per person with a tile for each material, and the wall behind."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from syncdiff.corpus.demo import mesh
from syncdiff.corpus.demo.person import Person

SIDE = 512
TILES = {  # x, y, width, height in pixels
    "face": (0, 0, 384, 384),
    "hair": (384, 0, 128, 128),
    "clothes": (384, 128, 128, 128),
    "eye": (384, 256, 128, 128),
    "skin": (0, 384, 128, 128),
    "teeth": (128, 384, 128, 128),
    "tongue": (256, 384, 128, 128),
    "mouth": (384, 384, 128, 128),
}
UNROLL_AXIS_Z = 1.1  # the face is unrolled from a cylinder about a vertical line at this depth
IRIS = 0.36  # radius in the eye's tile, whose half width is 1


def in_tile(tile: str, uv: np.ndarray) -> np.ndarray:
    """Map (..., 2) in [0, 1] to pixels of the texture, clear of the neighbouring tiles."""
    x, y, width, height = TILES[tile]
    return uv.clip(0, 1) * [width - 5, height - 5] + [x + 2, y + 2]


def face_coordinates(points: np.ndarray) -> np.ndarray:
    """Unroll points (N, 3) of the neutral face: (N, 2) in [0, 1]."""
    turn = np.arctan2(points[:, 0], UNROLL_AXIS_Z - points[:, 2])
    return np.stack([turn / 2.9 + 0.5, (points[:, 1] + 0.95) / 2.9], axis=1)


def paint(person: Person) -> np.ndarray:
    """Paint a person's texture: (SIDE, SIDE, 3) float32 RGB in [0, 255]."""
    rng = np.random.default_rng(person.paint_seed)
    texture = np.zeros((SIDE, SIDE, 3), np.float32)
    tiles = {
        "face": _paint_face,
        "hair": _paint_hair,
        "clothes": _paint_clothes,
        "eye": _paint_eye,
        "skin": _paint_skin,
        "teeth": _paint_teeth,
        "tongue": _paint_tongue,
        "mouth": _paint_mouth,
    }
    for name, painter in tiles.items():
        x, y, width, height = TILES[name]
        texture[y : y + height, x : x + width] = painter(person, rng, width)
    return texture.clip(0, 255)


def paint_wall(person: Person, size: int) -> np.ndarray:
    """Paint the background, out of focus: (size, size, 3) uint8 RGB."""
    rng = np.random.default_rng(person.paint_seed + 1)
    wall = np.empty((size, size, 3), np.float32)
    wall[:] = person.wall * np.linspace(1.1, 0.75, size)[:, None, None]
    for _ in range(int(rng.integers(3, 8))):
        colour = (person.wall * rng.uniform(0.5, 1.5) + rng.normal(0, 18, 3)).clip(10, 245)
        x, y, width, height = (rng.random(4) * size * [1, 1, 0.5, 0.6]).astype(int)
        cv2.rectangle(wall, (int(x), int(y)), (int(x + width), int(y + height)), colour.tolist(), -1)
    blurred = cv2.GaussianBlur(wall, (0, 0), size / 28)
    return (blurred + rng.normal(0, 1.5, (size, size, 1))).clip(0, 255).astype(np.uint8)


def _paint_face(person: Person, rng: np.random.Generator, size: int) -> np.ndarray:
    face = _paint_skin(person, rng, size)
    points = face_coordinates(mesh.neutral()) * (size - 5) + 2
    _complexion(face, points, person, rng)
    if person.beard:
        _beard(face, points, person, rng)
    _lips(face, points, person, rng)
    _eyes(face, points, person)
    _brows(face, points, person, rng)
    for nostril in ((98, 97, 2), (327, 326, 2)):
        centre = points[nostril[0]] * 0.32 + points[nostril[1]] * 0.68 + [0, -2]
        _dab(face, centre, (6.0, 3.2), person.skin * 0.28, 0.9)
    return face


def _paint_skin(person: Person, rng: np.random.Generator, size: int) -> np.ndarray:
    skin = np.empty((size, size, 3), np.float32)
    skin[:] = person.skin
    mottled = 0.030 * _noise(rng, size, 14) + 0.018 * _noise(rng, size, 4) + 0.014 * _noise(rng, size, 1.2)
    redness = 0.025 * _noise(rng, size, 20)
    return skin * (1 + mottled[..., None] + redness[..., None] * np.array([1, -0.6, -0.6], np.float32))


def _complexion(face: np.ndarray, points: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    """Blush, shadows that the light does not make, creases, freckles."""
    skin = person.skin
    red = skin * [1.0, 0.74, 0.72]
    for cheek in (50, 280):
        _dab(face, points[cheek], (30, 24), red, 0.30 + 0.2 * person.makeup)
    _dab(face, points[4], (14, 12), red, 0.30)
    _dab(face, points[199], (18, 12), red, 0.15)
    for upper, lower in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True):
        centre = points[[*upper, *lower]].mean(axis=0)
        _dab(face, centre, (26, 15), skin * [0.74, 0.66, 0.66], 0.55)
        crease = points[[*upper[1:-1]]] + [0, -6]
        _stroke(face, crease, skin * [0.62, 0.52, 0.50], 1.6, 0.5)
    _dab(face, points[18] + [0, -3], (20, 4), skin * 0.66, 0.5)
    for fold in ([129, 203, 206, 216], [358, 423, 426, 436]):
        _stroke(face, points[fold], skin * 0.70, 3.0, 0.30)
    for side in ([168, 6, 197, 195], [122, 196, 3, 51], [351, 419, 248, 281]):
        _stroke(face, points[side], skin * (1.10 if side[0] == 168 else 0.86), 5.0, 0.25)
    for x, y in rng.normal(points[5] + [0, 6], (42, 18), (int(70 * person.freckles), 2)):
        _dab(face, (x, y), (1.2, 1.2), skin * [0.72, 0.58, 0.48], 0.6)


def _beard(face: np.ndarray, points: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    size = face.shape[0]
    jaw = [93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323]
    inner = [401, 435, 410, 391, 164, 165, 186, 215, 177]
    area = _region(size, points[[*jaw, *inner]], 9)
    grain = (0.75 + 0.35 * _noise(rng, size, 0.8)).clip(0, 1)
    _blend(face, area * grain, person.hair * 0.7 + person.skin * 0.12, 0.30 + 0.5 * person.beard)


def _lips(face: np.ndarray, points: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    size = face.shape[0]
    outline = points[[*mesh.UPPER_LIP, *mesh.LOWER_LIP[-2:0:-1]]]
    area = _region(size, outline, 1.3)
    lines = 1 + 0.03 * _noise(rng, size, 0.8, 3)
    _blend(face, area, person.lips * lines[..., None], 0.92)
    upper = points[[*mesh.UPPER_LIP, *mesh.UPPER_SEAM[::-1]]]
    _blend(face, _region(size, upper, 1.5), person.lips * 0.78, 0.55)
    _stroke(face, points[mesh.UPPER_SEAM], person.lips * 0.42, 2.6, 0.85)
    _stroke(face, points[mesh.LOWER_LIP[3:-3]] + [0, -6], person.lips * 1.15 + 10, 4.0, 0.35)


def _eyes(face: np.ndarray, points: np.ndarray, person: Person) -> None:
    lash = person.hair * 0.35
    for upper, lower in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True):
        _stroke(face, points[lower], person.skin * [0.72, 0.55, 0.52], 2.2, 0.7)
        _stroke(face, points[upper] + [0, -0.5], lash, 2.4 + 1.4 * person.makeup, 0.9)


def _brows(face: np.ndarray, points: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    colour = person.hair * 0.75
    for upper, lower in zip(mesh.UPPER_BROWS, mesh.LOWER_BROWS, strict=True):
        _stroke(face, (points[list(upper)] + points[list(lower)]) / 2, colour, 6.0, 0.55)
        for along in rng.random(110):
            position = along * (len(upper) - 1.001)
            i, f = int(position), position % 1
            top, bottom = (points[row[i]] * (1 - f) + points[row[i + 1]] * f for row in (upper, lower))
            root = bottom + (top - bottom) * rng.uniform(0.05, 0.75)
            away = np.sign(root[0] - face.shape[0] / 2)
            tip = root + np.array([away * rng.uniform(2, 6), -rng.uniform(1, 4)])
            _stroke(face, np.array([root, tip]), colour * rng.uniform(0.7, 1.1), 1.0, 0.7)


def _paint_hair(person: Person, rng: np.random.Generator, size: int) -> np.ndarray:
    strands, locks = _noise(rng, size, 0.8, 14), _noise(rng, size, 4, 40)
    return person.hair * (1 + 0.16 * strands + 0.14 * locks)[..., None]


def _paint_clothes(person: Person, rng: np.random.Generator, size: int) -> np.ndarray:
    cloth = np.empty((size, size, 3), np.float32)
    cloth[:] = person.clothes
    if rng.random() < 0.4:  # stripes
        width = int(rng.integers(6, 16))
        cloth[(np.arange(size) // width) % 2 == 0] *= rng.uniform(0.7, 1.3)
    cloth *= 1 + 0.05 * _noise(rng, size, 1)[..., None] + 0.08 * _noise(rng, size, 12)[..., None]
    neck = int((0.04 + 0.10 * person.neckline) * size)
    cloth[:neck] = person.skin * 0.9
    cloth[neck : neck + 5] = person.clothes * 0.75
    return cloth


def _paint_eye(person: Person, rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    white = np.array([222, 214, 210]) - np.array([30, 50, 50]) * np.clip(radius - 0.45, 0, 1)[..., None]
    fibres = np.interp(angle, np.linspace(-np.pi, np.pi, 64), rng.uniform(0.75, 1.25, 64))
    iris = person.eyes * (fibres * (0.75 + 0.9 * radius / IRIS))[..., None]
    iris *= (1 - 0.55 * _step(radius, IRIS * 0.86, 0.03))[..., None]
    eye = white + (iris - white) * (1 - _step(radius, IRIS, 0.03))[..., None]
    eye *= (_step(radius, IRIS * 0.42, 0.03))[..., None] * 0.97 + 0.03
    glint = np.exp(-((x + 0.09) ** 2 + (y + 0.11) ** 2) / 0.0016)
    eye *= (1 - 0.45 * np.exp(-(((y + 0.55) / 0.35) ** 2)))[..., None]  # the upper lid's shadow
    return eye + 220 * glint[..., None]


def _paint_teeth(person: Person, rng: np.random.Generator, size: int) -> np.ndarray:
    teeth = np.empty((size, size, 3), np.float32)
    teeth[:] = (236, 228, 212)
    phase = np.abs((np.linspace(0, 10, size) + 0.5) % 1 - 0.5)  # distance from the nearest gap, in teeth
    teeth *= (1 - 0.22 * np.exp(-((phase / 0.07) ** 2)))[None, :, None]
    gums = _step(np.linspace(1, 0, size), 0.72, 0.05)[:, None, None]
    return teeth + (np.array([186, 96, 98]) - teeth) * gums


def _paint_tongue(person: Person, rng: np.random.Generator, size: int) -> np.ndarray:
    tongue = np.empty((size, size, 3), np.float32)
    tongue[:] = (188, 96, 98)
    groove = np.exp(-(((np.linspace(0, 1, size) - 0.5) / 0.05) ** 2))
    return tongue * (1 + 0.06 * _noise(rng, size, 1.5) - 0.12 * groove)[..., None]


def _paint_mouth(person: Person, rng: np.random.Generator, size: int) -> np.ndarray:
    """From the lips' red at the top to darkness at the bottom."""
    depth = np.linspace(0, 1, size)[:, None, None]
    return np.broadcast_to(person.lips * 0.55 * (1 - depth) ** 2 + np.array([26, 8, 8]) * depth, (size, size, 3))


def _noise(rng: np.random.Generator, size: int, sigma_x: float, sigma_y: float | None = None) -> np.ndarray:
    """Smooth noise (size, size) of mean 0 and deviation 1."""
    white = rng.normal(0, 1, (size, size)).astype(np.float32)
    noise = cv2.GaussianBlur(white, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y or sigma_x)
    return noise / noise.std()


def _step(x: np.ndarray, edge: float, width: float) -> np.ndarray:
    return ((x - edge) / width + 0.5).clip(0, 1)


def _dab(
    picture: np.ndarray,
    centre: Sequence[float] | np.ndarray,
    radius: tuple[float, float],
    colour: np.ndarray,
    opacity: float,
) -> None:
    """Blend a soft spot into the picture, touching only its neighbourhood."""
    middle, reach = np.asarray(centre, np.float32), 4 * np.array(radius)
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.maximum(np.ceil(middle + reach), 0).astype(int)
    region = picture[low[1] : high[1], low[0] : high[0]]
    y, x = np.mgrid[: region.shape[0], : region.shape[1]].astype(np.float32)
    spot = np.exp(-(((x + low[0] - middle[0]) / radius[0]) ** 2 + ((y + low[1] - middle[1]) / radius[1]) ** 2))
    _blend(region, spot, colour, opacity)


def _region(size: int, outline: np.ndarray, blur: float) -> np.ndarray:
    """Mask of a polygon (N, 2) with soft edges."""
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [_fixed(outline)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), blur)


def _blend(picture: np.ndarray, mask: np.ndarray, colour: np.ndarray, opacity: float) -> None:
    picture += (np.asarray(colour, np.float32) - picture) * (mask * opacity)[..., None]


def _stroke(picture: np.ndarray, line: np.ndarray, colour: np.ndarray, width: float, opacity: float) -> None:
    """Blend a soft line through points (N, 2) into the picture, touching only its neighbourhood."""
    margin = 4 + 3 * width
    low = np.maximum(np.floor(line.min(axis=0) - margin), 0).astype(int)
    high = np.ceil(line.max(axis=0) + margin).astype(int)
    region = picture[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(region.shape[:2], np.float32)
    cv2.polylines(mask, [_fixed(line - low)], False, 1.0, max(round(width), 1), cv2.LINE_AA, 4)
    _blend(region, cv2.GaussianBlur(mask, (0, 0), 0.6 + width / 5), colour, opacity)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV's fixed point numbers with four bits of fraction."""
    return np.round(points * 16).astype(np.int32)
