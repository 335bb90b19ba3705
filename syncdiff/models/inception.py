"""The Inception v3 behind FID: TensorFlow's network of 2015-12-05 as pytorch-fid 0.3.0 (inception.py) restates it.

It differs from torchvision's Inception in three places: average pools leave the padding out of the mean, the last block
pools by maximum, and the classifier has 1008 outputs. The names are those of pt_inception-2015-12-05-6726825d.pth.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from syncdiff.errors import UserError
from syncdiff.weights.files import read_weights

FEATURE_DIM = 2048
INPUT_SIZE = 299


class Unit(nn.Module):
    """Convolution without bias, batch norm (eps 1e-3), ReLU; padding keeps the size where `same`."""

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, same: bool = True):
        super().__init__()
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (rows // 2, columns // 2) if same else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (rows, columns), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class BlockA(nn.Module):
    """35 x 35: 1x1, 5x5, double 3x3 and pooled branches (Mixed_5b to 5d)."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(inputs, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Unit(inputs, 48, 1), Unit(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(inputs, 64, 1), Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3)
        self.branch_pool = Unit(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        five = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_average(x))], dim=1)


class BlockB(nn.Module):
    """35 x 35 to 17 x 17 (Mixed_6a)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = Unit(288, 384, 3, stride=2, same=False)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(288, 64, 1), Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], dim=1)


class BlockC(nn.Module):
    """17 x 17: 7x7 convolutions as 1x7 and 7x1, once and twice (Mixed_6b to 6e)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = Unit(768, width, 1), Unit(width, width, (1, 7))
        self.branch7x7_3 = Unit(width, 192, (7, 1))
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Unit(768, width, 1), Unit(width, width, (7, 1))
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Unit(width, width, (1, 7)), Unit(width, width, (7, 1))
        self.branch7x7dbl_5 = Unit(width, 192, (1, 7))
        self.branch_pool = Unit(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], dim=1)


class BlockD(nn.Module):
    """17 x 17 to 8 x 8 (Mixed_7a)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Unit(768, 192, 1), Unit(192, 320, 3, stride=2, same=False)
        self.branch7x7x3_1, self.branch7x7x3_2 = Unit(768, 192, 1), Unit(192, 192, (1, 7))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1))
        self.branch7x7x3_4 = Unit(192, 192, 3, stride=2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], dim=1)


class BlockE(nn.Module):
    """8 x 8: 3x3 convolutions split into 1x3 beside 3x1 (Mixed_7b, 7c)."""

    def __init__(self, inputs: int, max_pool: bool) -> None:
        super().__init__()
        self.branch1x1 = Unit(inputs, 320, 1)
        self.branch3x3_1 = Unit(inputs, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = Unit(384, 384, (1, 3)), Unit(384, 384, (3, 1))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(inputs, 448, 1), Unit(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = Unit(384, 384, (1, 3)), Unit(384, 384, (3, 1))
        self.branch_pool = Unit(inputs, 192, 1)
        self.max_pool = max_pool

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.max_pool else _average(x)
        split = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        split += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(x), *split, self.branch_pool(pooled)], dim=1)


class FidInception(nn.Module):
    """From pictures in 0..1 to the 2048 pooled features that FID compares."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2, same=False)
        self.Conv2d_2a_3x3, self.Conv2d_2b_3x3 = Unit(32, 32, 3, same=False), Unit(32, 64, 3)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Unit(64, 80, 1), Unit(80, 192, 3, same=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a = BlockB()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = BlockC(128), BlockC(160), BlockC(160), BlockC(192)
        self.Mixed_7a = BlockD()
        self.Mixed_7b, self.Mixed_7c = BlockE(1280, max_pool=False), BlockE(2048, max_pool=True)
        self.fc = nn.Linear(FEATURE_DIM, 1008)  # not used for FID; its weights are in the file

    def forward(self, pictures: Tensor) -> Tensor:
        """Map (N, 3, H, W) RGB in 0..1 to (N, 2048)."""
        x = F.interpolate(pictures, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(2 * x - 1)))  # (N, 64, 147, 147)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))  # (N, 192, 71, 71)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))  # (N, 288, 35, 35)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # (N, 768, 17, 17)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        return x.mean(dim=(2, 3))


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def load_inception(path: Path | str) -> FidInception:
    """Read pt_inception-2015-12-05-6726825d.pth (mseitzer/pytorch-fid's release); nothing in the file is executed.

    Raises:
        UserError: the file is missing, unreadable, or of another model.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; get pt_inception-2015-12-05-6726825d.pth")
    try:
        weights = read_weights(path)
        net = FidInception()
        net.load_state_dict(weights)
    except (UserError, RuntimeError):
        raise UserError(
            f"{path}: not the weights of FID's Inception; give pt_inception-2015-12-05-6726825d.pth"
        ) from None
    return net.eval().requires_grad_(False)
