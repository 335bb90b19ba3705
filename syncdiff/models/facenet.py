"""FaceNet behind CSIM: the Inception-ResNet v1 that timesler/facenet-pytorch restates (models/inception_resnet_v1.py).

Trained on VGGFace2 by davidsandberg/facenet. The names are those of 20180402-114759-vggface2.pt.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from syncdiff.device import full_fp32
from syncdiff.errors import UserError
from syncdiff.models.inception import Unit
from syncdiff.weights.files import read_weights

SIDE = 160  # pixels
EMBEDDING_DIM = 512
IDENTITIES = 8631  # of VGGFace2; their classifier is in the file and not used


class Residual(nn.Module):
    """Branches side by side, brought to the width of their input, scaled and added to it."""

    def __init__(self, branches: list[nn.Module], width: int, branch_width: int, scale: float, last: bool = False):
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)
        self.conv2d = nn.Conv2d(branch_width, width, 1)
        self.n_branches, self.scale, self.last = len(branches), scale, last

    def forward(self, x: Tensor) -> Tensor:
        branches = [getattr(self, f"branch{number}")(x) for number in range(self.n_branches)]
        out = self.conv2d(torch.cat(branches, dim=1)) * self.scale + x
        return out if self.last else F.relu(out)


class Reduction(nn.Module):
    """Branches side by side, each of which halves the grid, concatenated."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


def block35() -> Residual:
    """17 x 17, 256 channels: 1x1, 3x3 and double 3x3."""
    short = nn.Sequential(Unit(256, 32, 1), Unit(32, 32, 3))
    long = nn.Sequential(Unit(256, 32, 1), Unit(32, 32, 3), Unit(32, 32, 3))
    return Residual([Unit(256, 32, 1), short, long], 256, 96, 0.17)


def block17() -> Residual:
    """8 x 8, 896 channels: 1x1, and 7x7 as 1x7 and 7x1."""
    seven = nn.Sequential(Unit(896, 128, 1), Unit(128, 128, (1, 7)), Unit(128, 128, (7, 1)))
    return Residual([Unit(896, 128, 1), seven], 896, 256, 0.1)


def block8(scale: float = 0.2, last: bool = False) -> Residual:
    """3 x 3, 1792 channels: 1x1, and 3x3 as 1x3 and 3x1."""
    three = nn.Sequential(Unit(1792, 192, 1), Unit(192, 192, (1, 3)), Unit(192, 192, (3, 1)))
    return Residual([Unit(1792, 192, 1), three], 1792, 384, scale, last)


def _halved(inputs: int, outputs: int) -> Unit:
    return Unit(inputs, outputs, 3, stride=2, same=False)


class FaceNet(nn.Module):
    """From faces to embeddings of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a, self.conv2d_2a, self.conv2d_2b = _halved(3, 32), Unit(32, 32, 3, same=False), Unit(32, 64, 3)
        self.conv2d_3b, self.conv2d_4a = Unit(64, 80, 1), Unit(80, 192, 3, same=False)
        self.conv2d_4b = _halved(192, 256)
        self.repeat_1 = nn.Sequential(*(block35() for _ in range(5)))
        long = nn.Sequential(Unit(256, 192, 1), Unit(192, 192, 3), _halved(192, 256))
        self.mixed_6a = Reduction([_halved(256, 384), long, nn.MaxPool2d(3, 2)])
        self.repeat_2 = nn.Sequential(*(block17() for _ in range(10)))
        wide, narrow = (nn.Sequential(Unit(896, 256, 1), _halved(256, width)) for width in (384, 256))
        long = nn.Sequential(Unit(896, 256, 1), Unit(256, 256, 3), _halved(256, 256))
        self.mixed_7a = Reduction([wide, narrow, long, nn.MaxPool2d(3, 2)])
        self.repeat_3 = nn.Sequential(*(block8() for _ in range(5)))
        self.block8 = block8(scale=1.0, last=True)
        self.last_linear = nn.Linear(1792, EMBEDDING_DIM, bias=False)
        self.last_bn = nn.BatchNorm1d(EMBEDDING_DIM, eps=1e-3)
        self.logits = nn.Linear(EMBEDDING_DIM, IDENTITIES)

    def forward(self, faces: Tensor) -> Tensor:
        """Map (N, 3, 160, 160), RGB as (value - 127.5) / 128, to (N, 512)."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(faces)))  # (N, 64, 77, 77)
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(F.max_pool2d(x, 3, 2))))  # (N, 256, 17, 17)
        x = self.repeat_2(self.mixed_6a(self.repeat_1(x)))  # (N, 896, 8, 8)
        x = self.block8(self.repeat_3(self.mixed_7a(x)))  # (N, 1792, 3, 3)
        return F.normalize(self.last_bn(self.last_linear(x.mean(dim=(2, 3)))))


def load_facenet(path: str, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """Return what maps faces (N, S, S, 3) of uint8 RGB to embeddings (N, 512) of length 1.

    Args:
        path: 20180402-114759-vggface2.pt.
        device: of the network.

    Raises:
        UserError: the file is missing, or holds another model.
    """
    net = FaceNet()
    try:
        net.load_state_dict(read_weights(path))
    except RuntimeError:
        raise UserError(f"{path}: not the weights of FaceNet; give 20180402-114759-vggface2.pt") from None
    net = net.eval().requires_grad_(False).to(device)

    def embed(faces: np.ndarray) -> np.ndarray:
        resized = np.stack([cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for face in faces])
        with torch.inference_mode(), full_fp32():
            pixels = torch.from_numpy(resized).to(device).permute(0, 3, 1, 2)
            return net((pixels - 127.5) / 128).double().cpu().numpy()

    return embed
