"""Turning triangles into pictures: camera, light per point, and a z-buffer rasteriser."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

SUPERSAMPLING = 2
CAMERA_DISTANCE = 11.0  # in eye distances: 70 cm


@dataclass(frozen=True)
class Light:
    """A key light, a weaker one from the other side, and light from everywhere."""

    direction: np.ndarray  # (3,) unit vector towards the light
    key: float
    fill: float
    ambient: float


def project(points: np.ndarray, scale: float, centre: tuple[float, float]) -> np.ndarray:
    """Perspective: points (N, 3) to pixels x, y and depth (N, 3); `scale` is pixels per unit at z = 0."""
    projected = np.empty_like(points)
    nearness = scale * CAMERA_DISTANCE / (CAMERA_DISTANCE + points[:, 2])
    projected[:, 0] = points[:, 0] * nearness + centre[0]
    projected[:, 1] = points[:, 1] * nearness + centre[1]
    projected[:, 2] = points[:, 2]
    return projected


def shade(
    points: np.ndarray, triangles: np.ndarray, light: Light, occlusion: np.ndarray, gloss: np.ndarray
) -> np.ndarray:
    """Light each point by its smooth normal: (N, 2) float32, a factor on its colour, and grey levels added to it.

    Args:
        points: (N, 3).
        triangles: (M, 3), clockwise as seen from outside.
        light: the lights.
        occlusion: (N,) in [0, 1], how much of the light reaches a point.
        gloss: (N,) strength of the highlight.
    """
    normals = _normals(points, triangles)
    towards = np.clip(normals @ light.direction, -1, 1)
    fill = np.clip(normals @ (light.direction * [-1, 1, 1]), 0, 1)
    half = light.direction + [0, 0, -1]
    half = half / np.linalg.norm(half)
    wrapped = np.clip((towards + 0.35) / 1.35, 0, 1)  # light that scatters under the skin softens the terminator
    lit = np.empty((len(points), 2), np.float32)
    lit[:, 0] = (light.ambient + light.key * wrapped + light.fill * fill) * occlusion
    lit[:, 1] = 255 * gloss * np.clip(normals @ half, 0, 1) ** 14 * light.key
    return lit


def rasterise(
    projected: np.ndarray,
    triangles: np.ndarray,
    coordinates: np.ndarray,
    lit: np.ndarray,
    texture: np.ndarray,
    background: np.ndarray,
) -> np.ndarray:
    """Draw triangles over a background, at twice the resolution and reduced: (S, S, 3) uint8 RGB.

    Args:
        projected: (N, 3) pixels x, y, and depth, of the supersampled picture.
        triangles: (M, 3); those that turn their back are left out.
        coordinates: (N, 2) pixel of the texture.
        lit: (N, 2) from `shade`.
        texture: (A, A, 3) uint8.
        background: (2 S, 2 S, 3) uint8.
    """
    picture = background.copy()
    depth = np.full(picture.shape[:2], np.inf, np.float32)
    attributes = np.concatenate([projected, coordinates, lit], axis=1).astype(np.float32)  # (N, 7)
    _fill(attributes, triangles, texture, depth, picture)
    side = background.shape[0] // SUPERSAMPLING
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


@numba.njit("f8[:,::1](f8[:,::1], i4[:,::1])", cache=True)
def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted mean of the adjacent faces' normals, outwards, (N, 3)."""
    normals = np.zeros(points.shape)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t]
        ux, uy, uz = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        vx, vy, vz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
        x, y, z = uz * vy - uy * vz, ux * vz - uz * vx, uy * vx - ux * vy
        for corner in (i, j, k):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    for n in range(normals.shape[0]):
        length = np.sqrt(normals[n, 0] ** 2 + normals[n, 1] ** 2 + normals[n, 2] ** 2) + 1e-12
        for axis in range(3):
            normals[n, axis] /= length
    return normals


@numba.njit("void(f4[:,::1], i4[:,::1], u1[:,:,::1], f4[:,::1], u1[:,:,::1])", cache=True)
def _fill(
    attributes: np.ndarray, triangles: np.ndarray, texture: np.ndarray, depth: np.ndarray, picture: np.ndarray
) -> None:
    """Scan each triangle's bounding box row by row; attributes are linear in the picture (the head is shallow)."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        a, b, c = attributes[triangles[t, 0]], attributes[triangles[t, 1]], attributes[triangles[t, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area <= 1e-6:
            continue
        top, bottom = max(int(np.ceil(min(a[1], b[1], c[1]) - 0.5)), 0), min(int(max(a[1], b[1], c[1]) + 0.5), height)
        left, right = max(int(np.ceil(min(a[0], b[0], c[0]) - 0.5)), 0), min(int(max(a[0], b[0], c[0]) + 0.5), width)
        # Barycentric weights of b and c at the box's first pixel, and their steps along x and y.
        bx, by = (c[1] - a[1]) / area, -(c[0] - a[0]) / area
        cx, cy = -(b[1] - a[1]) / area, (b[0] - a[0]) / area
        for y in range(top, bottom):
            dy = y + np.float32(0.5) - a[1]
            for x in range(left, right):
                dx = x + np.float32(0.5) - a[0]
                wb, wc = dx * bx + dy * by, dx * cx + dy * cy
                wa = 1 - wb - wc
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                z = wa * a[2] + wb * b[2] + wc * c[2]
                if z >= depth[y, x]:
                    continue
                depth[y, x] = z
                u, v = wa * a[3] + wb * b[3] + wc * c[3], wa * a[4] + wb * b[4] + wc * c[4]
                factor, highlight = wa * a[5] + wb * b[5] + wc * c[5], wa * a[6] + wb * b[6] + wc * c[6]
                column, row = int(u), int(v)
                fu, fv = u - column, v - row
                for channel in range(3):
                    above = texture[row, column, channel] * (1 - fu) + texture[row, column + 1, channel] * fu
                    below = texture[row + 1, column, channel] * (1 - fu) + texture[row + 1, column + 1, channel] * fu
                    value = (above * (1 - fv) + below * fv) * factor + highlight
                    picture[y, x, channel] = np.uint8(min(value, np.float32(255)))
