"""The denoiser: shapes, what each prior reaches, and files of another architecture."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from syncdiff.config import Config, parse_config
from syncdiff.errors import UserError
from syncdiff.models.bottleneck import PoseBottleneck
from syncdiff.models.denoiser import Denoiser, VisualPriors, load_denoiser, save_denoiser
from syncdiff.models.warping import FINER, REACH, IdentityWarp, upsampling, warp

pytestmark = pytest.mark.quick
B, C, SIDE, R, W = 2, 64, 8, 8, 13


def _config(pose_frame: str = "bottleneck", **changes: object) -> Config:
    return parse_config({"denoiser": {"channels": [32, 32], "pose_frame": pose_frame, **changes}})


def _inputs() -> tuple[torch.Tensor, torch.Tensor, VisualPriors, torch.Tensor, torch.Tensor, torch.Tensor]:
    planes = [torch.randn(B, C, SIDE, SIDE) for _ in range(3)]
    priors = VisualPriors(planes[0], planes[1], torch.rand(B, R, R, 3) * 2 - 1, planes[2])
    speech, valid = torch.randn(B, W, 104), torch.ones(B, W, dtype=torch.bool)
    return (
        torch.randn(B, C, SIDE, SIDE),
        torch.tensor([10, 900]),
        priors,
        speech,
        valid,
        torch.ones(B, dtype=torch.bool),
    )


@pytest.mark.parametrize("n_flows", [0, 1, 3])
@pytest.mark.parametrize("pose_frame", ["bottleneck", "full", "none"])
def test_the_output_has_the_shape_of_the_latents(pose_frame: str, n_flows: int) -> None:
    inputs = _inputs()
    assert Denoiser(_config(pose_frame, n_flows=n_flows))(*inputs).shape == inputs[0].shape


@pytest.mark.parametrize(
    ("pose_frame", "reads_pose", "reads_previous"),
    [("bottleneck", True, False), ("full", False, True), ("none", False, False)],
)
def test_only_the_chosen_form_of_the_pose_frame_reaches_the_output(
    pose_frame: str, reads_pose: bool, reads_previous: bool
) -> None:
    denoiser = Denoiser(_config(pose_frame)).eval()
    noisy, timesteps, priors, *rest = _inputs()
    priors.pose.requires_grad_()
    priors.previous.requires_grad_()
    denoiser(noisy, timesteps, priors, *rest).sum().backward()
    assert (priors.pose.grad is not None and bool(priors.pose.grad.any())) == reads_pose
    assert (priors.previous.grad is not None and bool(priors.previous.grad.any())) == reads_previous


def test_speech_reaches_the_output_unless_it_is_dropped() -> None:
    denoiser = Denoiser(_config()).eval()
    noisy, timesteps, priors, speech, valid, with_speech = _inputs()
    with torch.no_grad():
        cond = [denoiser(noisy, timesteps, priors, rows, valid, with_speech) for rows in (speech, -speech)]
        uncond = [denoiser(noisy, timesteps, priors, rows, valid, ~with_speech) for rows in (speech, -speech)]
    assert not torch.allclose(*cond)
    assert torch.equal(*uncond)


K = 3


def _predicted(**values: float) -> torch.Tensor:
    """What the UNet predicts at each place: zeros but for weights `weight0` ... and flows `x0`, `y0` ... of copies."""
    planes = torch.zeros(3 * K, FINER**2)
    for name, value in values.items():
        kind, k = name[:-1], int(name[-1])
        planes[k if kind == "weight" else K + 2 * k + "xy".index(kind)] = value
    return planes.flatten()[None, :, None, None].expand(B, -1, SIDE, SIDE)


def _identity_warp() -> IdentityWarp:
    identity_warp = IdentityWarp(C, patch=8, n_flows=K)
    identity_warp.start(torch.randn(192, C), torch.randn(192))
    return identity_warp


def test_where_the_unet_predicts_zeros_the_output_is_the_identity_frame() -> None:
    denoiser = Denoiser(_config(n_flows=K)).eval()
    noisy, timesteps, priors, *rest = _inputs()
    with torch.no_grad():
        denoiser.unet.conv_out.weight.zero_()
        denoiser.unet.conv_out.bias.zero_()
        denoiser.identity_warp.start(torch.randn(192, C), torch.randn(192))
        predicted = denoiser(noisy, timesteps, priors, *rest)
    assert torch.allclose(predicted, priors.identity, atol=1e-4)


@torch.no_grad()
def test_a_flow_warps_the_identity_frame_sideways_and_up() -> None:
    """By one latent, which is as far as 1 / REACH reaches."""
    identity_warp, identity = _identity_warp(), torch.randn(B, C, SIDE, SIDE)
    pixels = identity_warp.to_pixels(identity)
    beside = identity_warp.blend(pixels, _predicted(x0=1 / REACH))
    assert torch.allclose(beside[..., :-1], identity[..., 1:], atol=1e-4)
    below = identity_warp.blend(pixels, _predicted(y0=1 / REACH))
    assert torch.allclose(below[..., :-1, :], identity[..., 1:, :], atol=1e-4)
    assert torch.isfinite(identity_warp.blend(pixels, _predicted(x0=1e6))).all()


@torch.no_grad()
def test_warped_copies_are_blended_by_their_weights() -> None:
    """The first one's weight is counted from 1 on: predicted -1, it is gone."""
    identity_warp, identity = _identity_warp(), torch.randn(B, C, SIDE, SIDE)
    pixels = identity_warp.to_pixels(identity)
    second = identity_warp.blend(pixels, _predicted(weight0=-1, weight1=1, x1=1 / REACH))
    assert torch.allclose(second[..., :-1], identity[..., 1:], atol=1e-4)
    half = identity_warp.blend(pixels, _predicted(weight0=-0.5, weight2=0.5, x2=1 / REACH))
    assert torch.allclose(half[..., :-1], (identity[..., :-1] + identity[..., 1:]) / 2, atol=1e-4)


def test_flows_are_pixels_of_the_source_and_fall_between_them() -> None:
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)  # its value is its x
    flows = torch.zeros(1, 2, 2, 16, 16)
    flows[:, 0, 0], flows[:, 1, 1] = 2.5, 2.5
    beside, below = warp(ramp, flows)[0].unbind(dim=1)
    assert torch.allclose(beside, (ramp[0] + 2.5).clamp(max=15), atol=1e-4)  # beyond the edge, the edge goes on
    assert torch.allclose(below, ramp[0], atol=1e-4)


def test_between_predicted_values_it_is_interpolated_as_images_are() -> None:
    predicted, finer = torch.randn(2, 3, 6, 6), upsampling(6, 16)
    expected = F.interpolate(predicted, size=16, mode="bilinear")
    assert torch.allclose(finer @ predicted @ finer.T, expected, atol=1e-6)


def test_in_bf16_the_output_is_nearly_the_same_and_has_gradients() -> None:
    denoiser, inputs = Denoiser(_config()), _inputs()
    exact = denoiser(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        rough = denoiser(*inputs)
    rough.float().square().mean().backward()
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).std() < 0.05 * exact.std()
    assert all(
        weights.grad is not None and weights.grad.isfinite().all() for weights in denoiser.identity_warp.parameters()
    )


def test_the_pose_bottleneck_passes_bottleneck_dim_numbers_and_zeros_of_a_dropped_frame() -> None:
    bottleneck = PoseBottleneck(pose_size=R, dim=5, channels=C)
    assert bottleneck(torch.zeros(B, R, R, 3), side=SIDE).abs().max() == 0
    planes = bottleneck(torch.randn(64, R, R, 3), side=SIDE).flatten(1)
    assert torch.linalg.matrix_rank(planes, rtol=1e-4) == 5


def test_weights_come_back_and_another_architecture_is_named(tmp_path: Path) -> None:
    denoiser = Denoiser(_config()).eval()
    save_denoiser(denoiser, tmp_path / "denoiser.safetensors")
    loaded = load_denoiser(_config(), tmp_path / "denoiser.safetensors", torch.device("cpu"))
    inputs = _inputs()
    with torch.no_grad():
        assert torch.equal(denoiser(*inputs), loaded(*inputs))
    with pytest.raises(UserError, match=r"denoiser\.safetensors: not a denoiser of this config"):
        load_denoiser(_config(layers_per_block=2), tmp_path / "denoiser.safetensors", torch.device("cpu"))
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "denoiser.safetensors").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"cut\.safetensors"):
        load_denoiser(_config(), tmp_path / "cut.safetensors", torch.device("cpu"))
