"""LPIPS v0.1 (richzhang/PerceptualSimilarity, lpips/lpips.py): torchvision's trunks, heads of torchmetrics.

torchmetrics carries the published heads, and needs torchvision for the trunks, whose convolutions stand here. Its own
LPIPS adds 1e-8 under the root of a feature's length, where the published one adds 1e-10 to the length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn

from syncdiff.device import full_fp32
from syncdiff.errors import UserError
from syncdiff.weights.files import read_weights

HEADS = Path(torchmetrics.__file__).parent / "functional/image/lpips_models"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of R, G, B in [-1, 1]


@dataclass(frozen=True)
class Trunk:
    """One of torchvision's networks, as far as LPIPS looks at it.

    Attributes:
        published: its file.
        heads: that of its weightings.
        layers: its `features`: for a convolution the channels out, side, stride and padding, "pool" for a pool; a ReLU
            follows each convolution.
        pool: side of its pools, whose stride is 2.
        seen: the numbers among `features` of the ReLUs whose output counts.
    """

    published: str
    heads: str
    layers: Sequence[tuple[int, int, int, int] | str]
    pool: int
    seen: tuple[int, ...]

    def build(self) -> tuple[nn.Sequential, list[int]]:
        """Return its layers untrained, by torchvision's numbers, and the channels of what counts."""
        modules: list[nn.Module] = []
        channels, widths = 3, []
        for layer in self.layers:
            if isinstance(layer, str):
                modules.append(nn.MaxPool2d(self.pool, stride=2))
                continue
            out, side, stride, padding = layer
            modules += [nn.Conv2d(channels, out, side, stride, padding), nn.ReLU()]
            channels = out
            widths += [out] if len(modules) - 1 in self.seen else []
        return nn.Sequential(*modules), widths


def _block(width: int, n: int) -> list[tuple[int, int, int, int] | str]:
    return [(width, 3, 1, 1)] * n


ALEXNET = Trunk(
    published="alexnet-owt-7be5be79.pth",
    heads="alex.pth",
    layers=((64, 11, 4, 2), "pool", (192, 5, 1, 2), "pool", *_block(384, 1), *_block(256, 2)),
    pool=3,
    seen=(1, 4, 7, 9, 11),
)
VGG16 = Trunk(
    published="vgg16-397923af.pth",
    heads="vgg.pth",
    layers=(
        *_block(64, 2),
        "pool",
        *_block(128, 2),
        "pool",
        *_block(256, 3),
        "pool",
        *_block(512, 3),
        "pool",
        *_block(512, 3),
    ),
    pool=2,
    seen=(3, 8, 15, 22, 29),
)


class Lpips(nn.Module):
    """The distance of pictures; `features` has the names of torchvision's trunk, `heads` are its five weightings."""

    def __init__(self, trunk: Trunk = ALEXNET) -> None:
        super().__init__()
        self.trunk = trunk
        self.features, widths = trunk.build()
        self.heads = nn.ParameterList(torch.zeros(1, width, 1, 1) for width in widths)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the distances (N,) of two batches (N, 3, H, W) of RGB in [-1, 1]."""
        pairs = zip(self._layers(one), self._layers(other), self.heads, strict=True)
        return torch.stack([(head * (a - b).square()).sum(dim=1).mean(dim=(1, 2)) for a, b, head in pairs]).sum(dim=0)

    def _layers(self, pictures: Tensor) -> list[Tensor]:
        """Return the features that count, (N, C, H, W), of length 1 over channels."""
        shift, scale = (pictures.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        x, found = (pictures - shift) / scale, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.trunk.seen:
                found.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10))
        return found


def load_lpips(path: str, device: torch.device) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the distance (N,) of two batches (N, S, S, 3) of uint8 RGB, with AlexNet: LPIPS as a measure.

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


def read_lpips(path: str, trunk: Trunk = ALEXNET) -> Lpips:
    """Read the trunk from `path` and the heads of torchmetrics.

    Raises:
        UserError: the file is missing, or holds another model.
    """
    net, heads = Lpips(trunk), read_weights(HEADS / trunk.heads)
    weights = {name: value for name, value in read_weights(path).items() if name.startswith("features.")}
    try:
        net.features.load_state_dict({name.removeprefix("features."): value for name, value in weights.items()})
    except RuntimeError:
        raise UserError(f"{path}: other weights than LPIPS needs; give torchvision's {trunk.published}") from None
    for number, head in enumerate(net.heads):
        head.data = heads[f"lin{number}.model.1.weight"]
    return net.eval().requires_grad_(False)
