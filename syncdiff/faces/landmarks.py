"""Landmarkers: every face in every picture as the 68 iBUG points, by MediaPipe or by face-alignment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Protocol

import numpy as np

from syncdiff.config import Faces


class Landmarker(Protocol):
    """Finds the landmarks of all faces in a stream of pictures."""

    misses: str  # which faces it does not find, for those who miss one; may be empty

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Yield the faces of each picture, in no particular order; nothing is remembered from an earlier call.

        Args:
            frames: (H, W, 3) uint8 RGB each, all of one size.

        Yields:
            For each picture a list of (68, 2) float32 iBUG points: x right, y down, in pixels of the picture, whole
            numbers at the centres of pixels.
        """
        ...


@cache
def open_landmarker(faces: Faces, device: str = "cpu") -> Landmarker:
    """Return the landmarker that the config names, one in a process: its models load once.

    Args:
        faces: reads `backend`, and for face-alignment `detector` and `weights`.
        device: face-alignment's, as `choose_device` takes it; MediaPipe's FaceMesh computes on the CPU alone.

    Raises:
        UserError: face-alignment's weights are not there, or its device is not.
    """
    if faces.backend == "mediapipe":
        from syncdiff.faces.facemesh import FaceMeshLandmarker

        return FaceMeshLandmarker()
    from syncdiff.faces.fan import FanLandmarker

    return FanLandmarker(faces.detector, faces.weights, device)
