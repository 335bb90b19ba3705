"""Landmarkers: every face in every frame as the 68 iBUG points (`ibug`). `registry.landmarkers` has each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Protocol

import numpy as np

from syncdiff.config import Faces
from syncdiff.registry.landmarkers import LANDMARKERS


class Landmarker(Protocol):
    """Finds the landmarks of all faces in a stream of frames; is made with (faces, device): see `open_landmarker`."""

    misses: str  # which faces it does not find, for those who miss one; may be empty

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Yield the faces of each frame, in no particular order; nothing is remembered from an earlier call.

        Args:
            frames: (H, W, 3) uint8 RGB each, all of one size.

        Yields:
            For each frame a list of (68, 2) float32 iBUG points: x right, y down, in pixels of the frame, whole numbers
            at the centres of pixels.
        """
        ...


@cache
def open_landmarker(faces: Faces, device: str = "cpu") -> Landmarker:
    """Return the landmarker that `faces.backend` names, one in a process: its models load once.

    Args:
        faces: beside `backend`, each reads its own keys: face-alignment `detector` and `weights`.
        device: as `choose_device` takes it; of those that compute on the CPU alone, it is not read.

    Raises:
        UserError: its weights are not there, or its device is not.
    """
    landmarker: Landmarker = LANDMARKERS[faces.backend].load()(faces, device)
    return landmarker
