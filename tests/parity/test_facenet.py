"""FaceNet against timesler/facenet-pytorch 2.6.0: the same weights by its names, its embeddings of the same faces."""

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.errors import UserError
from syncdiff.models.facenet import FaceNet, load_facenet
from tests.parity.golden import compare

# The first four numbers of facenet-pytorch's embeddings of `faces`, with `formula` as weights.
EXPECTED = [[-0.0533275, 0.0519164, -0.0422411, 0.0119997], [-0.0518652, 0.0378713, -0.0521975, 0.0050371]]
N_TENSORS = 716  # of its state dict with the classifier


def faces() -> np.ndarray:
    """Coarse noise, and the same much darker."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    large = coarse.repeat(20, axis=0).repeat(20, axis=1)
    return np.stack([large, large // 4])


def formula(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights that depend on their names alone, and keep the spread of what goes through them."""
    weights = {}
    for name, shape in shapes.items():
        normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(0)
        elif len(shape) > 1:
            weights[name] = torch.from_numpy(normal * math.sqrt(2 / math.prod(shape[1:])))
        else:
            base = 1.0 if name.endswith(("running_var", "bn.weight")) else 0.0
            weights[name] = torch.from_numpy(base + 0.1 * np.tanh(normal))
    return weights


@pytest.mark.slow
def test_embeddings_are_those_of_facenet_pytorch(tmp_path: Path) -> None:
    weights = formula({name: tuple(value.shape) for name, value in FaceNet().state_dict().items()})
    assert len(weights) == N_TENSORS
    torch.save(weights, tmp_path / "facenet.pt")
    found = load_facenet(str(tmp_path / "facenet.pt"), torch.device("cpu"))(faces())
    compare("embeddings", found[:, :4], EXPECTED, 1e-5)
    compare("their lengths", np.linalg.norm(found, axis=1), 1, 1e-6)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv2d_1a.conv.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not the weights of FaceNet"):
        load_facenet(str(tmp_path / "other.pt"), torch.device("cpu"))
