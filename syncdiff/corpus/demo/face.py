"""The face that moves: identities as smooth changes of the neutral face, and a rig for mouth, lids and brows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from syncdiff.corpus.demo import mesh
from syncdiff.corpus.demo.speech import CHANNELS

JAW_AXIS = np.array([0.0, 0.45, 0.95])  # (x, y, z) of the line through both jaw joints, just before the ears
JAW_ANGLE = 0.34  # radians at jaw = 1: about 19 degrees


@dataclass(frozen=True)
class Shape:
    """One way in which faces differ: a Gaussian window around a point (and its mirror image) that scales and shifts."""

    centre: tuple[float, float, float]
    radius: tuple[float, float, float]
    scale: tuple[float, float, float] = (0, 0, 0)  # standard deviation over people, about the centre
    shift: tuple[float, float, float] = (0, 0, 0)  # standard deviation, in eye distances; x away from the midline

    def displace(self, points: np.ndarray, amount: float) -> np.ndarray:
        """Displacement of points (N, 3) for `amount` standard deviations."""
        total = np.zeros_like(points)
        for side in (-1, 1) if self.centre[0] else (1,):
            centre = np.array(self.centre) * [side, 1, 1]
            offset = points - centre
            window = np.exp(-((offset / self.radius) ** 2).sum(axis=1, keepdims=True) / 2)
            outward = np.array([side, 1, 1]) if self.centre[0] else np.ones(3)
            total += amount * window * (offset * self.scale + outward * self.shift)
        return total


WIDE = 9.0  # a radius beyond the head: no window along this axis
SHAPES = {
    "width": Shape((0, 0.4, 0), (WIDE, WIDE, WIDE), scale=(0.045, 0, 0)),
    "jaw width": Shape((0, 1.7, 0.4), (WIDE, 0.45, WIDE), scale=(0.09, 0, 0)),
    "cheeks": Shape((0.75, 0.75, 0.1), (0.35, 0.35, 0.5), shift=(0.03, 0, -0.04)),
    "chin length": Shape((0, 1.95, 0), (0.8, 0.32, WIDE), shift=(0, 0.07, 0)),
    "chin forward": Shape((0, 1.7, -0.1), (0.4, 0.3, 0.6), shift=(0, 0, 0.06)),
    "forehead": Shape((0, -0.9, 0), (WIDE, 0.35, WIDE), shift=(0, 0.06, 0.02)),
    "nose length": Shape((0, 0.62, -0.5), (0.3, 0.2, 0.4), shift=(0, 0.045, -0.06)),
    "nose width": Shape((0, 0.68, -0.4), (0.3, 0.2, 0.5), scale=(0.17, 0, 0)),
    "nose bridge": Shape((0, 0.2, -0.2), (0.15, 0.25, 0.4), shift=(0, 0, -0.05)),
    "eye distance": Shape((0.5, 0, 0), (0.25, 0.25, WIDE), shift=(0.025, 0, 0)),
    "eye size": Shape((0.5, 0, 0), (0.28, 0.22, WIDE), scale=(0.07, 0.14, 0)),
    "brow height": Shape((0.5, -0.32, -0.2), (0.4, 0.15, WIDE), shift=(0, 0.035, 0)),
    "brow ridge": Shape((0.45, -0.28, -0.2), (0.4, 0.14, WIDE), shift=(0, 0, 0.035)),
    "mouth width": Shape((0, 1.1, -0.2), (0.5, 0.3, WIDE), scale=(0.09, 0, 0)),
    "lips": Shape((0, 1.1, -0.3), (0.45, 0.17, WIDE), scale=(0, 0.16, 0.1)),
    "mouth corners": Shape((0.4, 1.1, -0.1), (0.12, 0.12, WIDE), shift=(0, 0.02, 0)),
}


def random_face(rng: np.random.Generator) -> np.ndarray:
    """Draw a person's face: (468, 3) points, symmetrical, lips closed."""
    points = mesh.neutral()
    amounts = rng.normal(size=len(SHAPES)).clip(-1.8, 1.8)
    shapes = zip(SHAPES.values(), amounts.tolist(), strict=True)
    return points + sum(shape.displace(points, amount) for shape, amount in shapes)


@dataclass(frozen=True)
class Rig:
    """How the face's points follow; all weights and displacements are smooth over the face."""

    jaw: np.ndarray  # (468,) share of the jaw's rotation
    lower_lip: np.ndarray  # (468,) share of that rotation which closing the lips takes back
    moves: dict[str, np.ndarray]  # (468, 3) displacement at full deflection


@cache
def rig() -> Rig:
    """Build the rig of the neutral face; it fits every identity, because identities change the face little."""
    lower = _lip(mesh.LOWER_LIP, mesh.LOWER_RED, mesh.LOWER_SEAM)
    upper = _lip(mesh.UPPER_LIP, mesh.UPPER_RED, mesh.UPPER_SEAM)
    chin = [18, 83, 313, 200, 199, 175, 152, 148, 377, 176, 400, 149, 378, 201, 421, 208, 428, 171, 396]
    jaw_line = {150: 0.9, 379: 0.9, 136: 0.75, 365: 0.75, 172: 0.55, 397: 0.55, 58: 0.3, 288: 0.3, 132: 0.1, 361: 0.1}
    still = {**dict.fromkeys(_still_points(), 0.0), **dict.fromkeys(upper, 0.0)}
    jaw = mesh.extend(still | dict.fromkeys(mesh.MOUTH_CORNERS, 0.4) | dict.fromkeys([*lower, *chin], 1.0) | jaw_line)
    below = dict.fromkeys([*mesh.MOUTH_CORNERS, *chin[3:], *jaw_line], 0.0)
    lip = mesh.extend(still | below | dict.fromkeys(lower, 1.0))
    return Rig(jaw.clip(0, 1), lip.clip(0, 1), {**_lip_moves(upper, lower), **_upper_moves()})


def _lip(edge: list[int], red: list[list[int]], seam: list[int]) -> list[int]:
    """All points of a lip but those near the corners of the mouth."""
    return [*edge[2:-2], *seam[1:-1], *(i for row in red for i in row[1:-1])]


def _still_points() -> list[int]:
    """Points that no movement of the mouth reaches: nose, eyes, forehead, temples."""
    nose = [1, 2, 4, 5, 6, 94, 97, 98, 326, 327, 168, 195, 197, 19, 129, 358, 49, 279]
    eyes = [i for lids in (*mesh.UPPER_LIDS, *mesh.LOWER_LIDS) for i in lids]
    sides = mesh.OVAL[-9:] + mesh.OVAL[:10]
    return [*nose, *eyes, *sides]


def _lip_moves(upper: list[int], lower: list[int]) -> dict[str, np.ndarray]:
    points, zero = mesh.neutral(), np.zeros(3)
    still = dict.fromkeys([*_still_points(), 152, 148, 377, 175, 199], zero)
    side = {i: np.array([np.sign(points[i, 0]), 1, 1]) for i in mesh.MOUTH_CORNERS}
    # The middle of the lips moves fully, their ends little: a raised cosine over the mouth's half width.
    bump = {i: np.cos(np.pi / 2 * min(abs(points[i, 0]) / 0.4, 1)) ** 1.5 for i in [*upper, *lower]}
    pucker = {i: np.array([-0.28 * points[i, 0], 0, -0.10]) for i in [*upper, *lower]}
    lifted = {i: np.array([0, -0.07, -0.01]) * bump[i] for i in upper}
    tucked = {i: np.array([0, -0.075, 0.07]) * bump[i] for i in lower}
    fixed = dict.fromkeys(mesh.MOUTH_CORNERS, zero)
    return {
        "spread": mesh.extend(still | {i: side[i] * [0.085, -0.02, 0.04] for i in mesh.MOUTH_CORNERS}),
        "round": mesh.extend(still | {i: side[i] * [-0.13, 0, -0.04] for i in mesh.MOUTH_CORNERS} | pucker),
        "lift": mesh.extend(still | fixed | dict.fromkeys(lower, zero) | lifted),
        "tuck": mesh.extend(still | fixed | dict.fromkeys(upper, zero) | tucked),
    }


def _upper_moves() -> dict[str, np.ndarray]:
    points, zero = mesh.neutral(), np.zeros(3)
    lids: dict[int, np.ndarray] = {}
    for upper, lower in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True):
        lids |= dict.fromkeys(lower, zero)
        lids |= {i: (points[j] - points[i]) * 0.95 for i, j in zip(upper[1:-1], lower[1:-1], strict=True)}
    brows = [i for brow in (*mesh.UPPER_BROWS, *mesh.LOWER_BROWS) for i in brow]
    away = [i for i in mesh.OVAL if points[i, 1] < 0.3] + [1, 4, 5, 6, 197, 195, 50, 280, 61, 291, 0, 152, *mesh.SEAM]
    blink = mesh.extend(lids | dict.fromkeys([*away, *brows], zero))
    raised = dict.fromkeys(brows, np.array([0, -0.09, 0]))
    brow = mesh.extend(raised | dict.fromkeys([*away, *lids], zero))
    return {"blink": blink, "brow": brow}


def open_mouth(points: np.ndarray, share: np.ndarray, jaw: float) -> np.ndarray:
    """Rotate points (N, 3) about the jaw's axis by `share` (N,) of the jaw's angle at `jaw` in [0, 1]."""
    angle = JAW_ANGLE * jaw * share
    cos, sin = np.cos(angle), np.sin(angle)
    offset = points - JAW_AXIS
    y = offset[:, 1] * cos - offset[:, 2] * sin
    z = offset[:, 1] * sin + offset[:, 2] * cos
    return np.stack([points[:, 0], y + JAW_AXIS[1], z + JAW_AXIS[2]], axis=1)


def express(face: np.ndarray, mouth: np.ndarray, blink: float, brow: float) -> np.ndarray:
    """Move a face.

    Args:
        face: (468, 3), a person at rest.
        mouth: (len(CHANNELS),) in [0, 1], a row of `speech.articulate`.
        blink: 0 open to 1 shut.
        brow: brows, -1 lowered to 1 raised.

    Returns:
        (468, 3) float64.
    """
    pose, value = rig(), dict(zip(CHANNELS, mouth.tolist(), strict=True))
    apart = 1 - value["close"]
    amounts = {
        "spread": value["spread"],
        "round": value["round"],
        "lift": value["lift"] * apart,
        "tuck": value["tuck"] * apart,
        "blink": blink,
        "brow": brow,
    }
    moved = face + sum(amount * pose.moves[name] for name, amount in amounts.items())
    # While a lid sweeps over the eyeball it bulges: the chord between open and shut would cut through the ball.
    moved[:, 2] -= 0.25 * blink * (1 - blink) * np.abs(pose.moves["blink"][:, 1])
    return open_mouth(moved, pose.jaw - value["close"] * pose.lower_lip, value["jaw"])
