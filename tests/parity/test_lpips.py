"""LPIPS against its published definition (Zhang et al. 2018, equation 1; lpips 0.1.4), and against torchmetrics'."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.functional.image import lpips as theirs

from syncdiff.errors import UserError
from syncdiff.models.alexnet import HEADS, Lpips, load_lpips
from tests.parity.golden import compare

LAYERS = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}  # torchvision's number: stride, padding


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a random trunk by torchvision's names, and a classifier as it has one."""
    torch.manual_seed(0)
    weights = {f"features.{name}": value for name, value in Lpips().features.state_dict().items()}
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save({**weights, "classifier.1.weight": torch.zeros(4, 4)}, path)
    return path


def pictures(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, 48, 56, 3), dtype=np.uint8)


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """A convolution of (C, H, W), by its definition."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]


def pooled(x: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))


def layers(picture: np.ndarray, weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Unit-normalised features behind each ReLU, of a picture (H, W, 3) uint8."""
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x, found = ((picture / 127.5 - 1 - shift) / scale).transpose(2, 0, 1), []
    for number, (stride, padding) in LAYERS.items():
        x = pooled(x) if number in (3, 6) else x
        weight, bias = (weights[f"features.{number}.{part}"] for part in ("weight", "bias"))
        x = np.maximum(convolved(x, weight, bias, stride, padding), 0)
        found.append(x / (np.sqrt(np.square(x).sum(axis=0)) + 1e-10))
    return found


def test_the_definition_in_numpy_with_the_published_heads(trunk: Path) -> None:
    weights = {name: value.double().numpy() for name, value in torch.load(trunk).items()}
    heads = [value.double().numpy()[0] for value in torch.load(HEADS, map_location="cpu").values()]  # (C, 1, 1) each
    both = zip(*([layers(picture, weights) for picture in pictures(seed)] for seed in (1, 2)), strict=True)
    expected = [
        sum((head * np.square(a - b)).sum(axis=0).mean() for a, b, head in zip(*sides, heads, strict=True))
        for sides in both
    ]
    distance = load_lpips(str(trunk), torch.device("cpu"))
    compare("LPIPS, relative", distance(pictures(1), pictures(2)) / np.array(expected), 1, 1e-5)
    assert distance(pictures(1), pictures(1)).tolist() == [0, 0]


def test_torchmetrics_with_the_same_trunk(trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Lpips()
    own.features.load_state_dict({k[9:]: v for k, v in torch.load(trunk).items() if k.startswith("features.")})
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained: own.features)
    net: nn.Module = theirs._NoTrainLpips(net="alex")
    one, other = (torch.from_numpy(pictures(seed)).permute(0, 3, 1, 2) / 255 for seed in (1, 2))
    with torch.no_grad():
        expected = net(one, other, normalize=True).flatten().numpy()
    found = load_lpips(str(trunk), torch.device("cpu"))(pictures(1), pictures(2))
    compare("LPIPS, relative", found / expected, 1, 1e-4)  # it adds 1e-8 under each root


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match="not the weights of AlexNet"):
        load_lpips(str(tmp_path / "vgg.pth"), torch.device("cpu"))
