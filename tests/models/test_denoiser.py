"""The denoiser: shapes, what each prior reaches, and files of another architecture."""

from pathlib import Path

import pytest
import torch

from syncdiff.config import Config, parse_config
from syncdiff.errors import UserError
from syncdiff.models.bottleneck import PoseBottleneck
from syncdiff.models.copying import IdentityCopy
from syncdiff.models.denoiser import Denoiser, Priors, load_denoiser, save_denoiser

pytestmark = pytest.mark.quick
B, C, SIDE, R, W = 2, 64, 8, 8, 13


def _config(pose_frame: str = "bottleneck", **changes: object) -> Config:
    return parse_config({"denoiser": {"channels": [32, 32], "pose_frame": pose_frame, **changes}})


def _inputs() -> tuple[torch.Tensor, torch.Tensor, Priors, torch.Tensor, torch.Tensor, torch.Tensor]:
    planes = [torch.randn(B, C, SIDE, SIDE) for _ in range(3)]
    priors = Priors(planes[0], planes[1], torch.rand(B, R, R, 3) * 2 - 1, planes[2])
    speech, valid = torch.randn(B, W, 104), torch.ones(B, W, dtype=torch.bool)
    return (
        torch.randn(B, C, SIDE, SIDE),
        torch.tensor([10, 900]),
        priors,
        speech,
        valid,
        torch.ones(B, dtype=torch.bool),
    )


@pytest.mark.parametrize("pose_frame", ["bottleneck", "full", "none"])
def test_it_predicts_planes_like_the_latents(pose_frame: str) -> None:
    inputs = _inputs()
    assert Denoiser(_config(pose_frame))(*inputs).shape == inputs[0].shape


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


def test_speech_reaches_the_output_unless_it_is_unknown() -> None:
    denoiser = Denoiser(_config()).eval()
    noisy, timesteps, priors, speech, valid, known = _inputs()
    with torch.no_grad():
        heard, other = (denoiser(noisy, timesteps, priors, sound, valid, known) for sound in (speech, -speech))
        unknown = [denoiser(noisy, timesteps, priors, sound, valid, ~known) for sound in (speech, -speech)]
    assert not torch.allclose(heard, other)
    assert torch.equal(*unknown)


def test_what_is_copied_is_the_identity_frame_filtered_and_nothing_else() -> None:
    """Filter 3 moves it one place to the left; told to copy by that alone and paint nothing, so does the denoiser."""
    denoiser = Denoiser(_config()).eval()
    noisy, timesteps, priors, *rest = _inputs()
    with torch.no_grad():
        denoiser.unet.conv_out.weight.zero_()
        denoiser.unet.conv_out.bias.zero_()[C + 3] = 1.0
        denoiser.copying.filters.weight[3 * C : 4 * C] = 0.0
        denoiser.copying.filters.weight[3 * C : 4 * C, :, 1, 2] = torch.eye(C)
        predicted = denoiser(noisy, timesteps, priors, *rest)
    assert torch.allclose(predicted[..., :-1], priors.identity[..., 1:], atol=1e-6)
    assert not predicted[..., -1].any()


def test_copying_bends_no_value_and_begins_with_the_same_place() -> None:
    copying = IdentityCopy(channels=C, n_filters=4)
    identity, shares = torch.randn(2, C, SIDE, SIDE), torch.randn(1, 4, SIDE, SIDE)
    with torch.no_grad():
        one, other, both = (
            copying.mix(copying.filtered(frame[None]), shares) for frame in (*identity, identity[0] + 3 * identity[1])
        )
        first = copying.filtered(identity)[:, :C]
    assert torch.allclose(one + 3 * other, both, atol=1e-4)
    assert (first - identity).std() < 0.5 * identity.std()


def test_the_bottleneck_keeps_so_many_numbers_and_zero_of_a_dropped_frame() -> None:
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
