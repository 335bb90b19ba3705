"""MediaPipe's graphs: made without a word on stderr, warm, in little memory, and asked without detours."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from syncdiff.errors import UserError

try:
    from mediapipe.python import packet_getter
    from mediapipe.python.solution_base import SolutionBase
    from mediapipe.python.solutions.face_detection import FaceDetection
    from mediapipe.python.solutions.face_mesh import FaceMesh
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION  # noqa: F401 (the demo draws it)
except ImportError as missing:
    hint = "install it with `pip install --no-deps mediapipe==0.10.21 attrs 'protobuf>=4.25,<5'`"
    raise UserError(f"MediaPipe, which finds faces, cannot be loaded ({missing}); {hint}") from None

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # glibc's malloc.h
BLACK = np.zeros((64, 64, 3), np.uint8)
TICK = 33_333  # microseconds from frame to frame, as the package has it
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


class _Graph(SolutionBase):
    """A graph of one picture in and one list of messages out, warm: its models are loaded, and it has logged so."""

    def __init__(self, **options: Any) -> None:
        with quiet():
            super().__init__(**options)
            self.process(BLACK)

    def process(self, frame: np.ndarray) -> list[Any]:
        """Return what is seen in a frame (H, W, 3) uint8 RGB: nothing, or a message a face.

        The package's own method makes a class for each frame, to hold one list: a twentieth of the time.
        """
        ((name, kind),) = self._input_stream_type_info.items()
        self._graph_outputs.clear()
        self._simulated_timestamp += TICK
        packet = self._make_packet(kind, frame).at(self._simulated_timestamp)
        self._graph.add_packet_to_input_stream(stream=name, packet=packet)
        self._graph.wait_until_idle()
        said = next(iter(self._graph_outputs.values()), None)
        return [] if said is None or said.is_empty() else packet_getter.get_proto_list(said)

    def process_anew(self, frame: np.ndarray) -> list[Any]:
        """Process a frame as the first one of a new clip or view; of a view that is not square, MediaPipe warns once.

        Who has lost his face looks for one anew. To start the graph again would load its models again.
        """
        with quiet():
            self.process(BLACK)
            return self.process(frame)


class Detector(_Graph, FaceDetection):
    """Finds faces up to 5 m away: the full-range model."""

    def __init__(self) -> None:
        super().__init__(model_selection=1)


class Mesh(_Graph, FaceMesh):
    """Follows one face; refined: the attention model, better lips."""

    def __init__(self) -> None:
        super().__init__(max_num_faces=1, refine_landmarks=True)


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
