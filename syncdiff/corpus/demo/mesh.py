"""The neutral face: FaceMesh's 468 points, asked of MediaPipe's own landmarker with a drawing, and surfaces over it.

The wheel carries FaceMesh's topology and its network but not its canonical geometry. The network answers a plain drawing
of a face with its notion of an average face in three dimensions: nobody's likeness, and in the very points that the
landmarker reports later.

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
from mediapipe.python.solutions.face_mesh import FaceMesh
from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

N_POINTS = 468

# Contours of FaceMesh, each from the image's left to its right (read off MediaPipe's published picture of the mesh).
OVAL = [
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
]  # clockwise in the picture, from the middle of the forehead
UPPER_LIP = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
LOWER_LIP = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
UPPER_SEAM = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
LOWER_SEAM = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
# The contours that MediaPipe draws between the outer and the inner edge of the lips.
UPPER_RED = [[76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306], [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292]]
LOWER_RED = [[76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306], [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292]]
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
    corners = neutral()[faces]  # (852, 3, 3)
    normal_z = np.cross(corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2])
    return np.where(normal_z[:, None] > 0, faces, faces[:, ::-1]).astype(np.int32)


@cache
def neutral() -> np.ndarray:
    """Return the average face, symmetrical and with its lips closed: (468, 3) float64.

    Raises:
        RuntimeError: the landmarker finds no face in the drawing (another version of MediaPipe).
    """
    picture = _drawing(512)
    with FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True) as landmarker:
        found = landmarker.process(picture).multi_face_landmarks
    if not found:
        raise RuntimeError("MediaPipe finds no face in the drawing that the demo's faces are made from")
    points = np.array([(point.x, point.y, point.z) for point in found[0].landmark[:N_POINTS]])
    eyes = np.array([points[[*upper, *lower]].mean(axis=0) for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True)])
    points = (points - eyes.mean(axis=0)) / np.linalg.norm(eyes[1] - eyes[0])
    mirrored = points * [-1, 1, 1]
    _, twin = linear_sum_assignment(np.linalg.norm(points[:, None] - mirrored[None], axis=-1))
    points = (points + mirrored[twin]) / 2
    seam = (points[UPPER_SEAM] + points[LOWER_SEAM]) / 2
    return extend({**dict(zip(UPPER_SEAM, seam, strict=True)), **dict(zip(LOWER_SEAM, seam, strict=True))}, points)
