"""face-alignment's landmarker, the field's default: any of three detectors, then 2DFAN-4."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor

from syncdiff.config import Faces
from syncdiff.device import choose_device, full_fp32
from syncdiff.errors import UserError

try:
    from face_alignment import FaceAlignment, LandmarksType
    from face_alignment.utils import CENTER_Y_OFFSET, crop, flip, get_preds_fromhm
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
TOGETHER = 16  # frames for the detector, and faces for 2DFAN-4
PIXELS = 1920 * 1080  # of the frames that the detector sees together: they take no more memory than one of that size


class FanLandmarker:
    """Detection and 2DFAN-4 on every frame, many at a time: the networks see batches, each frame is on its own.

    The package's own loops give 2DFAN-4 one face at a time, those over batches of frames too.
    """

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
        for together in _batches(frames):
            yield from self._faces_of(together)

    @torch.no_grad()
    def _faces_of(self, frames: list[np.ndarray]) -> list[list[np.ndarray]]:
        """Return the faces of each of several frames."""
        faces: list[list[np.ndarray]] = [[] for _ in frames]
        with full_fp32():
            images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
            found = self._network.face_detector.detect_from_batch(images)
            places = [(frame, *self._place(box)) for frame, boxes in enumerate(found) for box in boxes]
            heatmaps = self._heatmaps([crop(frames[frame], centre, scale) for frame, centre, scale in places])
            for (frame, centre, scale), heatmap in zip(places, heatmaps, strict=True):
                points = get_preds_fromhm(heatmap[None], centre, scale)[1]  # (1, 68, 2)
                faces[frame].append(points[0].astype(np.float32))
        return faces

    def _place(self, box: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the centre and the scale at which 2DFAN-4 was taught to see a detector's box."""
        x0, y0, x1, y1 = (float(edge) for edge in box[:4])
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - CENTER_Y_OFFSET * (y1 - y0)])
        return centre, (x1 - x0 + y1 - y0) / self._network.face_detector.reference_scale

    def _heatmaps(self, crops: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield of each crop (256, 256, 3) where its points may be: (68, 64, 64), of it and of its mirror image."""
        network, device = self._network.face_alignment_net, self._network.device
        for start in range(0, len(crops), TOGETHER):
            images = torch.from_numpy(np.stack(crops[start : start + TOGETHER])).to(device).permute(0, 3, 1, 2) / 255
            seen: Tensor = network(images)[-1] + flip(network(flip(images))[-1], is_label=True)
            yield from seen.cpu().numpy()


def _batches(frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield as many frames as the detector sees together, then the rest."""
    together: list[np.ndarray] = []
    for frame in frames:
        together.append(frame)
        if len(together) == max(min(TOGETHER, PIXELS // (frame.shape[0] * frame.shape[1])), 1):
            yield together
            together = []
    if together:
        yield together


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
