"""The neutral face: FaceMesh's 468 points, asked of MediaPipe's own landmarker with a drawing, and surfaces over it.

The wheel carries FaceMesh's topology and its network but not its canonical geometry. The network answers a plain
drawing of a face with its notion of an average face in three dimensions: nobody's likeness, and in the very points
that the landmarker reports later.

Units: 1 is the distance between the centres of the eyes (about 63 mm). x right and y down in the picture, z away from
the camera; the origin lies between the eyes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from syncdiff.faces.graphs import FACEMESH_TESSELATION, FaceMesh, quiet

N_POINTS = 468

# Contours of FaceMesh (read off MediaPipe's published picture of the mesh), each from the image's left to its right;
# the oval runs clockwise from the middle of the forehead.
OVAL = [
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
]
UPPER_LIP = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
LOWER_LIP = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
UPPER_SEAM = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
LOWER_SEAM = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
SEAM = [*UPPER_SEAM, *LOWER_SEAM[-2:0:-1]]  # all around
# The contours that MediaPipe draws between the outer and the inner edge of the lips.
UPPER_RED = [[76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306], [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292]]
LOWER_RED = [[76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306], [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292]]
MOUTH_CORNERS = [61, 76, 62, 78, 291, 306, 292, 308]
UPPER_LIDS = ([33, 246, 161, 160, 159, 158, 157, 173, 133], [362, 398, 384, 385, 386, 387, 388, 466, 263])
LOWER_LIDS = ([33, 7, 163, 144, 145, 153, 154, 155, 133], [362, 382, 381, 380, 374, 373, 390, 249, 263])
UPPER_BROWS = ([70, 63, 105, 66, 107], [336, 296, 334, 293, 300])
LOWER_BROWS = ([46, 53, 52, 65, 55], [285, 295, 282, 283, 276])


@cache
def triangles() -> np.ndarray:
    """Return FaceMesh's faces, (852, 3) point indices, clockwise in the picture; the eyes and the mouth are holes.

    MediaPipe gives edges only. Their 3-cycles are the faces, and two cycles around the sides of the nose, each of whose
    edges already has its two faces.
    """
    edges = {frozenset(edge) for edge in FACEMESH_TESSELATION}
    neighbours: dict[int, set[int]] = {i: set() for i in range(N_POINTS)}
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    cycles = sorted({tuple(sorted((a, b, c))) for a, b in edges for c in neighbours[a] & neighbours[b]})
    uses = Counter(edge for cycle in cycles for edge in combinations(cycle, 2))
    faces = np.array([cycle for cycle in cycles if min(uses[edge] for edge in combinations(cycle, 2)) <= 2])
    a, b, c = np.moveaxis(neutral()[faces][..., :2], 1, 0)  # each (852, 2)
    (x, y), (u, v) = (b - a).T, (c - a).T
    clockwise = x * v - y * u > 0
    return np.where(clockwise[:, None], faces, faces[:, ::-1]).astype(np.int32)


@cache
def neutral() -> np.ndarray:
    """Return the average face, symmetrical and with its lips closed: (468, 3) float64.

    Raises:
        RuntimeError: the landmarker finds no face in the drawing (another version of MediaPipe).
    """
    picture = _drawing(512)
    with quiet(), FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True) as landmarker:
        found = landmarker.process(picture).multi_face_landmarks
    if not found:
        raise RuntimeError("MediaPipe finds no face in the drawing that the demo's faces are made from")
    points = np.array([(point.x, point.y, point.z) for point in found[0].landmark[:N_POINTS]])
    eyes = np.array(
        [points[[*upper, *lower]].mean(axis=0) for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True)]
    )
    points = (points - eyes.mean(axis=0)) / np.linalg.norm(eyes[1] - eyes[0])
    mirrored = points * [-1, 1, 1]
    _, twin = linear_sum_assignment(np.linalg.norm(points[:, None] - mirrored[None], axis=-1))
    points = (points + mirrored[twin]) / 2
    points[UPPER_SEAM] = points[LOWER_SEAM] = (points[UPPER_SEAM] + points[LOWER_SEAM]) / 2
    return points


def extend(handles: Mapping[int, np.ndarray | float]) -> np.ndarray:
    """Extend values given at some points smoothly over the face: the biharmonic field through them.

    Args:
        handles: point index to value, a number or a vector (k,).

    Returns:
        (468,) or (468, k) float64.
    """
    known = np.array(list(handles))
    free = np.setdiff1d(np.arange(N_POINTS), known)
    values = np.array([handles[i] for i in known], dtype=np.float64)
    bilaplacian = _laplacian().T @ _laplacian()
    field = np.zeros((N_POINTS, *values.shape[1:]))
    field[known] = values
    field[free] = np.linalg.solve(bilaplacian[np.ix_(free, free)], -bilaplacian[np.ix_(free, known)] @ values)
    return field


@cache
def _laplacian() -> np.ndarray:
    """The umbrella operator: a point minus the mean of its neighbours."""
    edges = np.array(list(FACEMESH_TESSELATION))
    adjacent = np.zeros((N_POINTS, N_POINTS))
    adjacent[edges[:, 0], edges[:, 1]] = adjacent[edges[:, 1], edges[:, 0]] = 1
    laplacian: np.ndarray = np.eye(N_POINTS) - adjacent / adjacent.sum(axis=1, keepdims=True)
    return laplacian


def subdivide(n_points: int, faces: np.ndarray, crease: Sequence[int]) -> tuple[csr_array, np.ndarray]:
    """Split each triangle into four by Loop's scheme (1987), which rounds the surface and keeps old points' indices.

    Args:
        n_points: N, number of points.
        faces: (M, 3) point indices, all turning the same way.
        crease: a closed line of points that stays sharp: its points are smoothed along it only.

    Returns:
        A sparse (N + E, N) matrix from old points to new, and the (4 M, 3) new faces.
    """
    opposite: dict[tuple[int, int], list[int]] = {}
    for a, b, c in faces.tolist():
        for i, j, k in ((a, b, c), (b, c, a), (c, a, b)):
            opposite.setdefault((min(i, j), max(i, j)), []).append(k)
    for a, b in zip(crease, [*crease[1:], crease[0]], strict=True):
        del opposite[min(a, b), max(a, b)][1:]  # smoothed like a border, which has a face on one side only
    middle = {edge: n_points + index for index, edge in enumerate(opposite)}
    weights = [*_old_points(n_points, opposite), *_new_points(opposite, middle)]
    rows, columns, values = zip(*weights, strict=True)
    matrix = csr_array((values, (rows, columns)), shape=(n_points + len(middle), n_points))
    split = []
    for a, b, c in faces.tolist():
        ab, bc, ca = (middle[min(i, j), max(i, j)] for i, j in ((a, b), (b, c), (c, a)))
        split += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return matrix, np.array(split, np.int32)


def _old_points(n_points: int, opposite: Mapping[tuple[int, int], Sequence[int]]) -> list[tuple[int, int, float]]:
    """Weights that smooth the old points: inside with all neighbours, on a border along the border only."""
    inside: list[set[int]] = [set() for _ in range(n_points)]
    border: list[set[int]] = [set() for _ in range(n_points)]
    for (a, b), corners in opposite.items():
        for i, j in ((a, b), (b, a)):
            inside[i].add(j)
            if len(corners) == 1:
                border[i].add(j)
    weights: list[tuple[int, int, float]] = []
    for i in range(n_points):
        around = border[i] or inside[i]
        beta = 1 / 8 if border[i] else (5 / 8 - (3 / 8 + np.cos(2 * np.pi / len(around)) / 4) ** 2) / len(around)
        weights += [(i, i, 1 - beta * len(around)), *((i, j, beta) for j in sorted(around))]
    return weights


def _new_points(
    opposite: Mapping[tuple[int, int], Sequence[int]], middle: Mapping[tuple[int, int], int]
) -> list[tuple[int, int, float]]:
    """Weights of the points in the middle of edges."""
    weights: list[tuple[int, int, float]] = []
    for edge, corners in opposite.items():
        along, across = (1 / 2, 0.0) if len(corners) == 1 else (3 / 8, 1 / 8)
        weights += [(middle[edge], i, along) for i in edge]
        weights += [(middle[edge], i, across) for i in corners if across]
    return weights


def _drawing(size: int) -> np.ndarray:
    """Draw a face of ellipses that the landmarker takes for one: (size, size, 3) uint8 RGB."""
    hair, skin, shade, dark = (60, 40, 30), (214, 164, 138), (180, 125, 105), (120, 70, 60)
    picture = np.full((size, size, 3), (120, 130, 140), np.uint8)

    def ellipse(x: float, y: float, width: float, height: float, colour: tuple[int, int, int], turn: float = 0) -> None:
        centre, axes = (round(x * size), round(y * size)), (round(width * size), round(height * size))
        cv2.ellipse(picture, centre, axes, turn, 0, 360, colour, -1, cv2.LINE_AA)

    ellipse(0.5, 0.95, 0.16, 0.25, (190, 140, 115))
    ellipse(0.5, 0.45, 0.27, 0.36, hair)
    ellipse(0.5, 0.52, 0.235, 0.31, skin)
    for side in (-1, 1):
        ellipse(0.5 + side * 0.1, 0.45, 0.055, 0.032, shade)
        ellipse(0.5 + side * 0.1, 0.45, 0.044, 0.020, (245, 240, 238))
        ellipse(0.5 + side * 0.1, 0.45, 0.019, 0.020, hair)
        ellipse(0.5 + side * 0.1, 0.39, 0.060, 0.010, hair, side * 6)
        ellipse(0.5 + side * 0.025, 0.588, 0.012, 0.007, dark)
    ellipse(0.5, 0.5, 0.014, 0.07, (225, 177, 152))
    ellipse(0.5, 0.575, 0.030, 0.012, (225, 175, 150))
    ellipse(0.5, 0.68, 0.075, 0.025, (175, 85, 85))
    ellipse(0.5, 0.678, 0.070, 0.003, (90, 40, 40))
    return cv2.GaussianBlur(picture, (0, 0), size / 128)
