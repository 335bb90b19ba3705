"""LPIPS against its published definition (Zhang et al. 2018, equation 1; lpips 0.1.4), and against torchmetrics'."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.functional.image import lpips as theirs

from syncdiff.errors import UserError
from syncdiff.models.lpips import ALEXNET, HEADS, VGG16, Lpips, load_lpips, read_lpips
from tests.parity.golden import compare

TRUNKS = {"alex": ALEXNET, "vgg": VGG16}
# torchvision's numbers of the convolutions: stride, padding, and whether a pool comes before, a ReLU counts behind.
LAYERS = {
    "alex": {0: (4, 2, 0, 1), 3: (1, 2, 3, 1), 6: (1, 1, 3, 1), 8: (1, 1, 0, 1), 10: (1, 1, 0, 1)},
    "vgg": {
        number: (1, 1, 2 * (number in (5, 10, 17, 24)), number in (2, 7, 14, 21, 28))
        for number in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    },
}


@pytest.fixture(scope="module", params=TRUNKS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def trunk(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a random trunk by torchvision's names, and a classifier as it has one."""
    torch.manual_seed(0)
    weights = {f"features.{name}": value for name, value in Lpips(TRUNKS[kind]).features.state_dict().items()}
    path = tmp_path_factory.mktemp(kind) / "trunk.pth"
    torch.save({**weights, "classifier.1.weight": torch.zeros(4, 4)}, path)
    return path


def distance(kind: str, trunk: Path, *seeds: int) -> np.ndarray:
    sides = (torch.from_numpy(pictures(seed)).permute(0, 3, 1, 2) / 127.5 - 1 for seed in seeds)
    return read_lpips(str(trunk), TRUNKS[kind])(*sides).double().numpy()


def pictures(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, 48, 56, 3), dtype=np.uint8)


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """A convolution of (C, H, W), by its definition."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]


def pooled(x: np.ndarray, side: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))


def layers(kind: str, picture: np.ndarray, weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Unit-normalised features behind each ReLU, of a picture (H, W, 3) uint8."""
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x, found = ((picture / 127.5 - 1 - shift) / scale).transpose(2, 0, 1), []
    for number, (stride, padding, pool, counts) in LAYERS[kind].items():
        x = pooled(x, pool) if pool else x
        weight, bias = (weights[f"features.{number}.{part}"] for part in ("weight", "bias"))
        x = np.maximum(convolved(x, weight, bias, stride, padding), 0)
        if counts:
            found.append(x / (np.sqrt(np.square(x).sum(axis=0)) + 1e-10))
    return found


def test_the_definition_in_numpy_with_the_published_heads(kind: str, trunk: Path) -> None:
    weights = {name: value.double().numpy() for name, value in torch.load(trunk).items()}
    published = torch.load(HEADS / TRUNKS[kind].heads, map_location="cpu").values()
    heads = [value.double().numpy()[0] for value in published]  # (C, 1, 1) each
    both = zip(*([layers(kind, picture, weights) for picture in pictures(seed)] for seed in (1, 2)), strict=True)
    expected = [
        sum((head * np.square(a - b)).sum(axis=0).mean() for a, b, head in zip(*sides, heads, strict=True))
        for sides in both
    ]
    compare("LPIPS, relative", distance(kind, trunk, 1, 2) / np.array(expected), 1, 1e-4)
    assert distance(kind, trunk, 1, 1).tolist() == [0, 0]


def test_torchmetrics_with_the_same_trunk(kind: str, trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Lpips(TRUNKS[kind])
    own.features.load_state_dict({k[9:]: v for k, v in torch.load(trunk).items() if k.startswith("features.")})
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained: own.features)
    net: nn.Module = theirs._NoTrainLpips(net=kind)
    one, other = (torch.from_numpy(pictures(seed)).permute(0, 3, 1, 2) / 255 for seed in (1, 2))
    with torch.no_grad():
        expected = net(one, other, normalize=True).flatten().numpy()
    compare("LPIPS, relative", distance(kind, trunk, 1, 2) / expected, 1, 1e-4)  # it adds 1e-8 under each root


def test_pictures_are_measured_with_alexnet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = {f"features.{name}": value for name, value in Lpips().features.state_dict().items()}
    torch.save(weights, tmp_path / "trunk.pth")
    found = load_lpips(str(tmp_path / "trunk.pth"), torch.device("cpu"))(pictures(1), pictures(2))
    assert found.tolist() == pytest.approx(distance("alex", tmp_path / "trunk.pth", 1, 2).tolist())


def test_as_a_loss_it_has_a_gradient_where_features_are_all_zero() -> None:
    torch.manual_seed(0)
    net = Lpips(VGG16)
    made = torch.zeros(1, 3, 48, 48, requires_grad=True)
    for part in net.features:
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.bias, -100)
    net(made, torch.ones(1, 3, 48, 48)).sum().backward()
    assert made.grad is not None and bool(made.grad.isfinite().all())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="give torchvision's alexnet-owt-7be5be79"):
        load_lpips(str(tmp_path / "other.pth"), torch.device("cpu"))
