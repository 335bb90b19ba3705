"""LPIPS v0.1 with AlexNet (richzhang/PerceptualSimilarity, lpips/lpips.py): torchvision's trunk, heads of torchmetrics.

torchmetrics carries the published heads, alex.pth, and needs torchvision for the trunk, whose five convolutions stand
here. Its own LPIPS adds 1e-8 under the root of a feature's length, where the published one adds 1e-10 to the length.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn

from syncdiff.device import full_fp32
from syncdiff.errors import UserError
from syncdiff.weights.files import read_weights

HEADS = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/alex.pth"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of R, G, B in [-1, 1]
CONVOLUTIONS = (0, 3, 6, 8, 10)  # their numbers among torchvision's layers
MIN_SIDE = 31  # pixels, that both pools leave some


class Lpips(nn.Module):
    """The distance of pictures; `features` has the names of torchvision's AlexNet, `heads` are its five weightings."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
        )
        self.heads = nn.ParameterList(torch.zeros(1, width, 1, 1) for width in (64, 192, 384, 256, 256))

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the distances (N,) of two batches (N, 3, H, W) of RGB in [-1, 1]."""
        pairs = zip(self._layers(one), self._layers(other), self.heads, strict=True)
        return torch.stack([(head * (a - b).square()).sum(dim=1).mean(dim=(1, 2)) for a, b, head in pairs]).sum(dim=0)

    def _layers(self, pictures: Tensor) -> list[Tensor]:
        """Return the features behind each convolution's ReLU, (N, C, H, W), of length 1 over channels."""
        shift, scale = (pictures.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        x, found = (pictures - shift) / scale, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number - 1 in CONVOLUTIONS:
                found.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return found


def load_lpips(path: str, device: torch.device) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the distance (N,) of two batches (N, S, S, 3) of uint8 RGB.

    Args:
        path: torchvision's alexnet-owt-7be5be79.pth; its classifier is not used.
        device: of the network.

    Raises:
        UserError: the file is missing, or holds another model.
    """
    net = read_lpips(path).to(device)

    def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), full_fp32():
            sides = (torch.from_numpy(side).to(device).permute(0, 3, 1, 2) / 127.5 - 1 for side in (one, other))
            return net(*sides).double().cpu().numpy()

    return distance


def read_lpips(path: str) -> Lpips:
    """Read the trunk from `path` and the heads of torchmetrics.

    Raises:
        UserError: the file is missing, or holds another model.
    """
    net, heads = Lpips(), read_weights(HEADS)
    trunk = {name: value for name, value in read_weights(path).items() if name.startswith("features.")}
    try:
        net.features.load_state_dict({name.removeprefix("features."): value for name, value in trunk.items()})
    except RuntimeError:
        raise UserError(f"{path}: not the weights of AlexNet; give torchvision's alexnet-owt-7be5be79.pth") from None
    for number, head in enumerate(net.heads):
        head.data = heads[f"lin{number}.model.1.weight"]
    return net.eval().requires_grad_(False)
