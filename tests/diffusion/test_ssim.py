"""The SSIM loss: scikit-image's SSIM, under the mask, of what latents stand for."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from syncdiff.config import parse_config
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.schedule import training_schedule
from syncdiff.diffusion.ssim import RADIUS, SSIMLoss, gaussian_blur_matrix
from syncdiff.priors import mouth_mask

pytestmark = pytest.mark.quick
SIZE, PATCH = 64, 8
EVERYTHING = torch.eye(3 * PATCH**2), torch.zeros(3 * PATCH**2)  # latents that are the patches themselves


def _pictures(n: int = 2) -> torch.Tensor:
    """Smooth coloured pictures (n, 3, S, S) in [-1, 1]."""
    rough = torch.rand(n, 3, 10, 10) * 2 - 1
    return torch.nn.functional.interpolate(rough, SIZE, mode="bicubic").clamp(-1, 1)


def _latents(pictures: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pixel_unshuffle(pictures, PATCH)


def test_it_is_the_ssim_of_scikit_image_in_the_mask() -> None:
    torch.manual_seed(0)
    pictures, others = _pictures(), _pictures()
    others = 0.8 * pictures + 0.2 * others
    found = float(SSIMLoss(*EVERYTHING, SIZE)(_latents(others), _latents(pictures)))
    mask = mouth_mask(SIZE)
    mask[-RADIUS:] = 0  # at the very edge, windows of scikit-image mirror the picture
    maps = [
        structural_similarity(
            *(np.asarray(picture) for picture in pair),
            channel_axis=0,
            data_range=2.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )[1].mean(axis=0)
        for pair in zip(pictures, others, strict=True)
    ]
    expected = 1 - np.average(np.mean(maps, axis=0), weights=mask)
    assert expected > 0.02
    assert found == pytest.approx(expected, rel=0.02)


def test_equal_latents_lose_nothing_and_only_the_mouth_region_counts() -> None:
    torch.manual_seed(1)
    loss, pictures = SSIMLoss(*EVERYTHING, SIZE), _pictures()
    assert float(loss(_latents(pictures), _latents(pictures))) == pytest.approx(0, abs=1e-5)
    above, below = pictures.clone(), pictures.clone()
    above[:, :, :20] *= -1
    below[:, :, 40:] *= -1
    assert float(loss(_latents(above), _latents(pictures))) == pytest.approx(0, abs=1e-5)
    assert float(loss(_latents(below), _latents(pictures))) > 0.2


def test_faint_structure_weighs_as_much_as_strong() -> None:
    torch.manual_seed(2)
    loss, pictures = SSIMLoss(*EVERYTHING, SIZE), _pictures() * 0.5

    def without_detail(strength: float) -> float:
        return float(loss(_latents(pictures * 0), _latents(pictures * strength)))

    assert without_detail(0.5) > 0.7 * without_detail(1.0)  # of a mean square it would be a quarter


def test_its_arithmetic_is_float32_under_autocast() -> None:
    torch.manual_seed(3)
    loss, pictures = SSIMLoss(*EVERYTHING, SIZE), _pictures()
    noisy = _latents(pictures + 0.02 * torch.randn_like(pictures))
    exact = loss(noisy, _latents(pictures))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(noisy, _latents(pictures)), exact)


def test_the_window_keeps_a_plain_line_plain_and_is_a_gaussian() -> None:
    matrix = gaussian_blur_matrix(20)
    assert torch.allclose(matrix.sum(dim=1), torch.ones(20))
    assert torch.allclose(matrix[10, 5:16], matrix[10, 5:16].flip(0))
    assert float(matrix[10, 11] / matrix[10, 10]) == pytest.approx(np.exp(-0.5 / 1.5**2))


def test_the_loss_of_training_has_it_with_its_weight() -> None:
    torch.manual_seed(4)
    config = parse_config({"diffusion": {"ssim_weight": 3.0}})
    structure = SSIMLoss(*EVERYTHING, SIZE)
    truth = _latents(_pictures(4))
    planes = {name: torch.zeros_like(truth) for name in ("masked", "identity", "previous")}
    speech = {"speech": torch.zeros(4, 13, 104), "valid": torch.ones(4, 13, dtype=torch.bool)}
    batch = {"latents": truth, **planes, **speech, "pose": torch.zeros(4, 8, 8, 3)}
    answer = (truth + 0.1 * torch.randn_like(truth)).requires_grad_()
    schedule = training_schedule(config.diffusion)
    plain = DiffusionLoss(config, schedule)(lambda *_: answer, batch)
    both = DiffusionLoss(config, schedule, structure)(lambda *_: answer, batch)
    assert both.keys() - plain.keys() == {"loss_ssim"}
    assert float(both["loss"]) == pytest.approx(float(plain["loss"]) + 3 * float(both["loss_ssim"]), rel=1e-5)
    both["loss_ssim"].backward()
    assert answer.grad is not None
    assert bool(answer.grad.any())
