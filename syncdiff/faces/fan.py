"""face-alignment's landmarker, the field's default: any of three detectors, then 2DFAN-4."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch

from syncdiff.config import Faces
from syncdiff.device import choose_device
from syncdiff.errors import UserError

try:
    from face_alignment import FaceAlignment, LandmarksType
except ImportError as missing:
    hint = "install it with `pip install --no-deps face-alignment==1.5.0`, or set faces.backend to mediapipe"
    raise UserError(f"face-alignment, which finds faces, cannot be loaded ({missing}); {hint}") from None

# The names under which face-alignment 1.5.0 looks for its weights, and others that they go by.
FAN_WEIGHTS: dict[str, list[str]] = {"2DFAN4-11f355bf06.pth.tar": []}
DETECTOR_WEIGHTS: dict[str, dict[str, list[str]]] = {
    "sfd": {"s3fd-619a316812.pth": []},
    "blazeface": {"blazeface.pth": [], "anchors.npy": ["blazeface_anchors.npy"]},
    "yunet": {"face_detection_yunet_2023mar.onnx": []},
}


class FanLandmarker:
    """Detection and 2DFAN-4 on every frame by itself."""

    misses = ""

    def __init__(self, faces: Faces, device: str) -> None:
        """Load the networks.

        Args:
            faces: reads `detector` and `weights`, the folder that holds the weights; None: the package downloads them.
            device: as `choose_device` takes it.

        Raises:
            UserError: weights are missing or cannot be loaded; names the files.
        """
        place = str(choose_device(device))
        needed = FAN_WEIGHTS | DETECTOR_WEIGHTS[faces.detector]
        try:
            with _weights_from(faces.weights, needed):
                self._network = FaceAlignment(
                    LandmarksType.TWO_D, face_detector=faces.detector, device=place, compile=False
                )
        except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
            reason = str(error).splitlines()[0].split(". ")[0]
            hint = f"put {' and '.join(needed)} into a folder and name it in faces.weights"
            raise UserError(f"faces.weights: face-alignment cannot load its weights ({reason}); {hint}") from None

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """See `Landmarker.track`."""
        for frame in frames:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "No faces were detected."
                faces = self._network.get_landmarks_from_image(frame)
            yield [np.asarray(face, np.float32) for face in faces or []]


@contextmanager
def _weights_from(folder: str | None, needed: dict[str, list[str]]) -> Iterator[None]:
    """Let torch.hub's cache, where face-alignment looks for weights, be links to the user's files for a while."""
    if folder is None:
        yield
        return
    cache = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as temporary:
        links = Path(temporary, "checkpoints")
        links.mkdir()
        for name, others in needed.items():
            found = next((path for path in (Path(folder, other) for other in (name, *others)) if path.is_file()), None)
            if found is None:
                raise UserError(f"{Path(folder, name)}: no such file; faces.weights must hold {' and '.join(needed)}")
            (links / name).symlink_to(found.resolve())
        torch.hub.set_dir(temporary)
        try:
            yield
        finally:
            torch.hub.set_dir(cache)
