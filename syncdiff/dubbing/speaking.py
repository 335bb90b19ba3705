"""Who speaks: how well the lips of each face fit the video's own sound, by a SyncNet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from syncdiff.errors import ClipRejected
from syncdiff.evaluation.crops import crop_face, detector_box
from syncdiff.evaluation.metrics.lse import score
from syncdiff.faces.align import ANCHORS, similarity, warp
from syncdiff.faces.track import Track
from syncdiff.media.audio import SAMPLES_PER_FRAME, read_wav
from syncdiff.media.container import FPS
from syncdiff.models.syncnet import for_inference, load_syncnet, mouth_view

HEARD_S = 10  # the last seconds of a face decide; those of all faces are in memory


class LipReader:
    """Remembers the mouths of the last seconds, and scores those of a track once it has ended."""

    def __init__(self, syncnet: Path, wav: Path, device: torch.device) -> None:
        """Load a network; `wav` is the video's sound, as `write_wav` writes it."""
        loaded = load_syncnet(syncnet)
        self._net = for_inference(loaded.net, device)
        self._aligned, self._crop_size = loaded.crop == "aligned", loaded.crop_size
        self._wav = wav
        self._slot = -1
        self._kept: deque[tuple[int, int, list[np.ndarray], list[np.ndarray]]] = deque(maxlen=HEARD_S * FPS)

    def add(self, index: int, time: float, frame: np.ndarray, faces: Sequence[np.ndarray]) -> None:
        """Look at the faces of frame `index`, due after so many seconds; 25 frames a second are kept."""
        slot = round(time * FPS)
        if slot > self._slot:
            self._slot = slot
            self._kept.append((index, slot, list(faces), [self._view(frame, face) for face in faces]))

    def take(self, track: Track) -> tuple[float, int] | None:
        """Return LSE-C and the number of windows of a track that has ended; None: it is too short."""
        views = dict(self._of(track))
        if not views:
            return None
        slots = range(min(views), max(views) + 1)
        audio = read_wav(self._wav, slots.start * SAMPLES_PER_FRAME, slots.stop * SAMPLES_PER_FRAME)
        with suppress(ClipRejected):
            found = score(_held(views, slots), audio, self._net)
            return found.lse_c, found.n_windows
        return None

    def _of(self, track: Track) -> Iterator[tuple[int, np.ndarray]]:
        landmarks = track.landmarks()
        for index, slot, faces, views in self._kept:
            if track.start <= index < track.end:
                own = landmarks[index - track.start]
                yield from ((slot, view) for face, view in zip(faces, views, strict=True) if np.array_equal(face, own))

    def _view(self, frame: np.ndarray, face: np.ndarray) -> np.ndarray:
        if self._aligned:
            crop = warp(frame, similarity(face[ANCHORS], self._crop_size), self._crop_size)
            return mouth_view(crop, self._net.image_size)
        return crop_face(frame, detector_box(face[None])[0], self._net.image_size)


def _held(views: dict[int, np.ndarray], slots: range) -> Iterator[np.ndarray]:
    """Yield a view for each slot; where none was kept, the one before stays."""
    shown = views[slots.start]
    for slot in slots:
        shown = views.get(slot, shown)
        yield shown
