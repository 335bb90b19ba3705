"""Turning triangles into pictures: camera, light per point, and a z-buffer rasteriser."""

from __future__ import annotations

import math

import cv2
import numba
import numpy as np

from syncdiff.corpus.demo.parts import Part
from syncdiff.corpus.demo.person import Light

SUPERSAMPLING = 2
CAMERA_DISTANCE = 11.0  # in eye distances: 70 cm


def project(points: np.ndarray, scale: float, centre: tuple[float, float]) -> np.ndarray:
    """Perspective: points (N, 3) to pixels x, y and depth (N, 3); `scale` is pixels per unit at z = 0."""
    projected = np.empty_like(points)
    nearness = scale * CAMERA_DISTANCE / (CAMERA_DISTANCE + points[:, 2])
    projected[:, 0] = points[:, 0] * nearness + centre[0]
    projected[:, 1] = points[:, 1] * nearness + centre[1]
    projected[:, 2] = points[:, 2]
    return projected


def shade(points: np.ndarray, surface: Part, light: Light) -> np.ndarray:
    """Light each point of a moved surface by its smooth normal.

    Args:
        points: (N, 3), where the surface's points are now.
        surface: its triangles, occlusion and gloss.
        light: the lights.

    Returns:
        (N, 2) float32, a factor on the colour, and grey levels added to it.
    """
    normals = _normals(points, surface.triangles)
    towards = np.clip(normals @ light.direction, -1, 1)
    fill = np.clip(normals @ (light.direction * [-1, 1, 1]), 0, 1)
    half = light.direction + np.array([0, 0, -1])  # between the light and the camera
    half /= np.linalg.norm(half)
    wrapped = np.clip((towards + 0.35) / 1.35, 0, 1)  # light that scatters under the skin softens the terminator
    lit = np.empty((len(points), 2), np.float32)
    lit[:, 0] = (light.ambient + light.key * wrapped + light.fill * fill) * surface.occlusion
    lit[:, 1] = 255 * surface.gloss * np.clip(normals @ half, 0, 1) ** 14 * light.key
    return lit


def rasterise(
    projected: np.ndarray, surface: Part, lit: np.ndarray, texture: np.ndarray, background: np.ndarray
) -> np.ndarray:
    """Draw a surface over a background, supersampled: (2 S, 2 S, 3) uint8 RGB, which `reduce` makes a picture of.

    Args:
        projected: (N, 3) pixels x, y, and depth, of the supersampled picture.
        surface: its triangles (those that turn their back are left out) and texture coordinates.
        lit: (N, 2) from `shade`.
        texture: (A, A, 3) float32 in [0, 255].
        background: (2 S, 2 S, 3) uint8.
    """
    picture = background.copy()
    depth = np.full(picture.shape[:2], np.inf, np.float32)
    attributes = np.concatenate([projected, surface.coordinates, lit], axis=1).astype(np.float32)  # (N, 7)
    _fill(attributes, surface.triangles, texture, depth, picture)
    return picture


def reduce(picture: np.ndarray) -> np.ndarray:
    """Reduce a supersampled picture (2 S, 2 S, 3) to (S, S, 3)."""
    side = picture.shape[0] // SUPERSAMPLING
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


@numba.njit("f8[:,::1](f8[:,::1], i4[:,::1])", cache=True)
def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted mean of the adjacent faces' normals, outwards, (N, 3)."""
    normals = np.zeros_like(points)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
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


f4 = np.float32  # a Python number beside a float32 would make the whole inner loop float64
HALF, ONE, WHITE = f4(0.5), f4(1), f4(255)


@numba.njit(cache=True)
def _pixels(a: float, b: float, c: float, size: int) -> tuple[int, int]:
    """First pixel, and the one after the last, whose centre can lie between the least and the largest of a, b, c."""
    return max(math.ceil(min(a, b, c) - HALF), 0), min(math.floor(max(a, b, c) + HALF), size)


@numba.njit(cache=True, error_model="numpy")
def _slope(a: np.ndarray, b: np.ndarray, c: np.ndarray, i: int, slope_b: float, slope_c: float) -> float:
    """Change of attribute `i` over a triangle per pixel, where its weights of b and c change by these slopes."""
    return (b[i] - a[i]) * slope_b + (c[i] - a[i]) * slope_c


@numba.njit(cache=True, error_model="numpy")
def _at(a: np.ndarray, b: np.ndarray, c: np.ndarray, i: int, weight_b: float, weight_c: float) -> float:
    return a[i] + (b[i] - a[i]) * weight_b + (c[i] - a[i]) * weight_c


@numba.njit(cache=True, error_model="numpy")
def _span(start: float, slope: float, first: int, last: int) -> tuple[int, int]:
    """Narrow the steps `first` to `last` to those where `start + step * slope` is not negative."""
    step = -start / slope
    if slope > 0:
        return (max(first, math.ceil(step)), last) if step <= last else (1, 0)
    if slope < 0:
        return (first, min(last, math.floor(step))) if step >= first else (1, 0)
    return (first, last) if start >= 0 else (1, 0)


@numba.njit("void(f4[:,::1], i4[:,::1], f4[:,:,::1], f4[:,::1], u1[:,:,::1])", cache=True, error_model="numpy")
def _fill(
    attributes: np.ndarray, triangles: np.ndarray, texture: np.ndarray, depth: np.ndarray, picture: np.ndarray
) -> None:
    """Scan triangles row by row; all attributes are linear in the picture, for a head is shallow."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        a, b, c = attributes[triangles[t, 0]], attributes[triangles[t, 1]], attributes[triangles[t, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area <= f4(1e-3):  # turned away, or a sliver, whose slopes mean nothing
            continue
        top, bottom = _pixels(a[1], b[1], c[1], height)
        left, right = _pixels(a[0], b[0], c[0], width)
        # Barycentric weights of b and c: their slopes along x and y.
        bx, by = (c[1] - a[1]) / area, (a[0] - c[0]) / area
        cx, cy = (a[1] - b[1]) / area, (b[0] - a[0]) / area
        # Slopes along x of depth, texture coordinates and light.
        zx, ux, vx = _slope(a, b, c, 2, bx, cx), _slope(a, b, c, 3, bx, cx), _slope(a, b, c, 4, bx, cx)
        fx, hx = _slope(a, b, c, 5, bx, cx), _slope(a, b, c, 6, bx, cx)
        for y in range(top, bottom):
            dx, dy = f4(left) + HALF - a[0], f4(y) + HALF - a[1]
            wb, wc = dx * bx + dy * by, dx * cx + dy * cy
            first, last = _span(ONE - wb - wc, -bx - cx, *_span(wb, bx, *_span(wc, cx, 0, right - left - 1)))
            wb, wc = wb + f4(first) * bx, wc + f4(first) * cx
            z, u, v = _at(a, b, c, 2, wb, wc), _at(a, b, c, 3, wb, wc), _at(a, b, c, 4, wb, wc)
            factor, highlight = _at(a, b, c, 5, wb, wc), _at(a, b, c, 6, wb, wc)
            for x in range(left + first, left + last + 1):
                if z < depth[y, x]:
                    depth[y, x] = z
                    column, row = int(u), int(v)
                    for channel in range(3):
                        value = texture[row, column, channel] * factor + highlight
                        picture[y, x, channel] = np.uint8(min(value, WHITE))
                z, u, v = z + zx, u + ux, v + vx
                factor, highlight = factor + fx, highlight + hx
