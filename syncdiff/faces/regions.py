"""Where the landmarker looks for faces: rectangles of a frame, turned or beyond its edges, and tiles for small ones."""

from __future__ import annotations

from itertools import product
from math import ceil
from typing import NamedTuple

import cv2
import numpy as np

TILE = 540  # pixels a side: the detector, which sees 192, is then left 9 of a face of 25
MAX_TILES = 24  # along the longer side
BEYOND = 640  # pixels a side of a view that reaches beyond the frame: its face is large


class Region(NamedTuple):
    """A rectangle to look at, and how: it may reach beyond the frame, where all is black."""

    box: tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the frame
    turns: int = 0  # quarters, anticlockwise
    reach: int = 0  # pixels by which views of its faces may reach beyond the frame

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """Return the pixels of the rectangle, turned; fewer of them where it reaches beyond the frame."""
        x0, y0, x1, y1 = self.box
        height, width = frame.shape[:2]
        if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
            view = frame[y0:y1, x0:x1]
        else:
            scale = min(BEYOND / max(x1 - x0, y1 - y0), 1)
            shift = scale * (0.5 - np.array([x0, y0])) - 0.5
            transform = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            view = cv2.warpAffine(frame, transform, (round(scale * (x1 - x0)), round(scale * (y1 - y0))))
        return np.ascontiguousarray(np.rot90(view, self.turns))

    def place(self, points: np.ndarray) -> np.ndarray:
        """Map points (n, 2) in [0, 1] of what `cut` returns to pixels of the frame, 0 at its corner."""
        for _ in range(self.turns):
            points = np.stack([1 - points[:, 1], points[:, 0]], axis=1)
        x0, y0, x1, y1 = self.box
        return points * [x1 - x0, y1 - y0] + [x0, y0]


def whole_frame(frame: np.ndarray, turns: int = 0) -> Region:
    """Return the frame as it is, or turned."""
    return Region((0, 0, frame.shape[1], frame.shape[0]), turns)


def turned_frames(frame: np.ndarray, turns: int) -> list[Region]:
    """Return the frame, and the frame with black around it: the detector knows no face without its surroundings."""
    height, width = frame.shape[:2]
    longer = max(height, width)
    framed = [Region((-r, -r, width + r, height + r), turns, reach=longer) for r in (longer // 2, longer)]
    return [whole_frame(frame, turns), *framed]


def tiles(frame: np.ndarray) -> list[Region]:
    """Return squares that overlap by half and show faces of about 25 pixels large enough to be found."""
    height, width = frame.shape[:2]
    side = max(min(TILE, height, width), ceil(max(height, width) / MAX_TILES))
    tile_width, tile_height = min(side, width), min(side, height)
    lefts, tops = _starts(width, tile_width), _starts(height, tile_height)
    return [Region((x, y, x + tile_width, y + tile_height)) for y, x in product(tops, lefts)]


def _starts(length: int, side: int) -> list[int]:
    return [int(start) for start in np.linspace(0, length - side, 1 + ceil(2 * (length - side) / side))]
