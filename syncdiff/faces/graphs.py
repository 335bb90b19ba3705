"""MediaPipe's graphs: made without a word on stderr, warm, and in little memory."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from syncdiff.errors import UserError

try:
    from mediapipe.python.solution_base import SolutionBase
    from mediapipe.python.solutions.face_detection import FaceDetection
    from mediapipe.python.solutions.face_mesh import FaceMesh
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION  # noqa: F401 (the demo draws it)
except ImportError as missing:
    hint = "install it with `pip install --no-deps mediapipe==0.10.21 attrs 'protobuf>=4.25,<5'`"
    raise UserError(f"MediaPipe, which finds faces, cannot be loaded ({missing}); {hint}") from None

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # glibc's malloc.h
LARGE = 4_000_000  # bytes; an RGB frame of 1080p has 6 million


def keep_heap_small() -> None:
    """Let all threads allocate from one heap, and large frames outside of it, where the C library is glibc.

    MediaPipe's threads free frames that others have made. In a heap for each they piled up: two minutes of 1080p took
    828 MB, 546 MB with one. Large frames leave holes in a heap that smaller things keep from being given back: 21 s
    of 1080p took 1,161 MB to dub, and 805 MB with them outside, at 1.25 times the time.
    """
    with suppress(AttributeError):
        glibc = ctypes.CDLL(None)
        glibc.mallopt(M_ARENA_MAX, 1)
        glibc.mallopt(M_MMAP_THRESHOLD, LARGE)


def new_detector() -> FaceDetection:
    """Return a detector of the full-range model: faces up to 5 m away."""
    return _warm(lambda: FaceDetection(model_selection=1))


def new_mesh() -> FaceMesh:
    """Return a graph that follows one face; refined: the attention model, better lips."""
    return _warm(lambda: FaceMesh(max_num_faces=1, refine_landmarks=True))


def _warm(make: Callable[[], SolutionBase]) -> SolutionBase:
    """Make a graph and let it see one black frame, so that it has loaded its models and logged about it."""
    with quiet():
        graph = make()
        graph.process(np.zeros((64, 64, 3), np.uint8))
    return graph


def process_anew(mesh: FaceMesh, frame: np.ndarray) -> Any:
    """Process a frame as the first one of a new run: nothing is left of an earlier clip or view."""
    with quiet():
        mesh.reset()
        return mesh.process(frame)


@contextmanager
def quiet() -> Iterator[None]:
    """Send the process's stderr to nowhere: MediaPipe logs each start of a graph, at no level that one can set."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
