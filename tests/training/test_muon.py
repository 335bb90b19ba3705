"""Muon: orthogonalised steps for matrices and convolutions, AdamW's for the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from syncdiff.config import Config
from syncdiff.models.denoiser import Denoiser
from syncdiff.training.loop import ADAMW
from syncdiff.training.muon import Muon, orthogonalised

pytestmark = pytest.mark.quick


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 24, 24)])
def test_singular_values_come_near_each_other_and_the_axes_stay(shape: tuple[int, ...]) -> None:
    matrices = _draw(*shape) @ torch.diag(torch.logspace(0, -1, shape[2]))
    u, before, vt = torch.linalg.svd(matrices, full_matrices=False)
    after = u.mT @ orthogonalised(matrices) @ vt.mT
    values = after.diagonal(dim1=1, dim2=2)
    assert torch.allclose(after, torch.diag_embed(values), atol=1e-4)
    strong = before / before.norm(dim=1, keepdim=True) > 0.02
    assert 0.3 < values[strong].min() < values.max() < 1.25
    assert (before[:, 0] / before[:, -1]).max() > 2 * (values.amax(1) / values.amin(1)).max()


def test_a_matrix_does_not_depend_on_those_beside_it() -> None:
    matrices = _draw(3, 8, 20) * torch.tensor([1.0, 1e3, 1e-3])[:, None, None]
    together = orthogonalised(matrices)
    assert torch.allclose(together, torch.cat([orthogonalised(matrix[None]) for matrix in matrices]), atol=1e-5)


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 5))


def _optimizer(network: nn.Sequential) -> Muon:
    inner = [network[0].weight, network[2].weight]
    return Muon(inner, [network[0].bias, network[2].bias], 1e-2, **ADAMW)


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    network(_draw(4, 3, 3, 3, seed=seed)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def test_inner_weights_go_along_orthogonal_directions_and_the_others_as_in_adamw() -> None:
    network = _network()
    before, reference = copy.deepcopy(network), copy.deepcopy(network)
    _step(network, _optimizer(network), seed=1)
    _step(reference, torch.optim.AdamW(reference.parameters(), 1e-2, **ADAMW), seed=1)
    for index in (0, 2):
        assert torch.equal(network[index].bias, reference[index].bias)
        moved = (network[index].weight - before[index].weight).flatten(1)
        rms = moved.square().mean().sqrt()
        assert 0.05 * 1e-2 < rms < 0.4 * 1e-2  # as large as AdamW's, about
        assert torch.linalg.matrix_rank(moved) >= 4
        assert not torch.allclose(network[index].weight, reference[index].weight, atol=1e-4)


def test_a_step_goes_on_along_those_before_it() -> None:
    """After ten gradients of one direction, one of another does not make them forgotten."""
    weight = nn.Parameter(torch.zeros(4, 4))
    optimizer = Muon([weight], [nn.Parameter(torch.zeros(1))], 1e-2)
    for gradient in [torch.eye(4)] * 10 + [torch.eye(4).flip(1)]:
        before = weight.detach().clone()
        weight.grad = gradient.clone()
        optimizer.step()
    moved = before - weight.detach()
    assert moved.trace() > 0.1 * moved.flip(1).trace() > 0


def test_training_goes_down_and_goes_on_from_its_state() -> None:
    network = _network()
    optimizer = _optimizer(network)
    for seed in range(5):
        _step(network, optimizer, seed)
    resumed = copy.deepcopy(network)
    later = _optimizer(resumed)
    later.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    loss = network(_draw(64, 3, 3, 3, seed=99)).square().mean()
    for seed in range(5, 60):
        _step(network, optimizer, seed)
        _step(resumed, later, seed)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), resumed.parameters(), strict=True))
    assert network(_draw(64, 3, 3, 3, seed=99)).square().mean() < 0.7 * loss


def test_what_is_frozen_and_first_and_last_layers_are_not_the_denoisers_inner_weights() -> None:
    denoiser = Denoiser(Config())
    names = {id(weight): name for name, weight in denoiser.named_parameters()}
    inner = {names[id(weight)] for weight in denoiser.inner_weights()}
    assert not any(name.startswith(("unet.conv_in", "unet.conv_out", "unet.time", "identity_warp")) for name in inner)
    assert "unet.mid_block.resnets.0.conv1.weight" in inner
    assert "speech.encoder.encoder.layers.0.fc1.weight" in inner
    denoiser.speech.encoder.encoder.layers["0"].requires_grad_(False)
    assert len(denoiser.inner_weights()) == len(inner) - 6
