"""The diffusion: targets, weights, and samplers that find the answer of a perfect denoiser."""

from types import SimpleNamespace

import pytest
import torch

from syncdiff.config import Diffusion, Sample, parse_config
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.sampler import sample_latents
from syncdiff.diffusion.schedule import solver, training_schedule

pytestmark = pytest.mark.quick
TRUTH = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))


class Perfect:
    """A denoiser that knows z_0."""

    def denoise(self, *_: object) -> torch.Tensor:
        return TRUTH


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 50), ("ddim", 4), ("dpm_solver++", 6), ("dpm_solver++", 1)])
def test_every_sampler_finds_the_truth_of_a_perfect_denoiser(sampler: str, steps: int) -> None:
    schedule = solver(Diffusion(), Sample(sampler=sampler, steps=steps))
    nothing = torch.zeros(0)
    found = sample_latents(Perfect(), schedule, torch.randn(TRUTH.shape), nothing, nothing, nothing, guidance=1.0)
    assert torch.allclose(found, TRUTH, atol=2e-2)


def test_guidance_moves_away_from_what_is_predicted_without_speech() -> None:
    class Two:
        def denoise(
            self, noisy: torch.Tensor, timesteps: torch.Tensor, _: object, context: torch.Tensor
        ) -> torch.Tensor:
            return torch.ones_like(noisy) * context

    schedule = solver(Diffusion(), Sample(sampler="ddim", steps=1))
    heard, unheard = torch.tensor(1.0), torch.tensor(0.5)
    found = sample_latents(Two(), schedule, torch.randn(1, 1, 2, 2), torch.zeros(0), heard, unheard, guidance=3.0)
    assert torch.allclose(found, torch.full_like(found, 0.5 + 3 * 0.5), atol=1e-4)


def _batch(n: int = 4) -> dict[str, torch.Tensor]:
    planes = {name: torch.randn(n, 4, 8, 8) for name in ("latents", "masked", "identity", "previous")}
    speech = {"speech": torch.randn(n, 13, 104), "valid": torch.ones(n, 13, dtype=torch.bool)}
    return {**planes, **speech, "pose": torch.rand(n, 8, 8, 3) * 2 - 1}


def test_the_loss_of_a_perfect_prediction_is_zero_and_the_lips_weigh_most() -> None:
    config = parse_config({"diffusion": {"lip_weight": 3.0}})
    loss = DiffusionLoss(config, training_schedule(config.diffusion))
    batch = _batch()

    def error_at(row: int, column: int) -> float:
        def denoiser(*_: object) -> torch.Tensor:
            answer = batch["latents"].clone()
            answer[:, :, row, column] += 1
            return answer

        return float(loss(denoiser, batch)["loss"])

    assert float(loss(lambda *_: batch["latents"], batch)["loss"]) == 0
    visible, hidden, lips = error_at(1, 4), error_at(7, 4), error_at(5, 4)
    assert visible < 0.2 * hidden
    assert lips > 2 * hidden


def test_without_a_sync_loss_the_draws_are_one_for_each_sample() -> None:
    """In this order, which the bytes of a training depend on: timesteps, noise, then dropouts and the pose's noise."""
    config, batch, seen = parse_config({}), _batch(), SimpleNamespace(inputs=())

    def denoiser(*inputs: object) -> torch.Tensor:
        seen.inputs = inputs
        return batch["latents"]

    schedule = training_schedule(config.diffusion)
    torch.manual_seed(5)
    losses = DiffusionLoss(config, schedule)(denoiser, batch)
    torch.manual_seed(5)
    timesteps, noise = torch.randint(1000, (4,)), torch.randn(4, 4, 8, 8)
    known, kept = torch.rand(4) >= 0.1, torch.rand(4) >= 0.1
    pose = (batch["pose"] + 0.1 * torch.randn(4, 8, 8, 3)) * kept[:, None, None, None]
    expected = schedule.add_noise(batch["latents"], noise, timesteps), timesteps, pose, known
    noisy, at, priors, *_, heard = seen.inputs
    assert all(torch.equal(a, b) for a, b in zip((noisy, at, priors.pose, heard), expected, strict=True))
    assert losses.keys() == {"loss", "loss_lips"}


def test_a_dropped_pose_frame_is_all_zero() -> None:
    config = parse_config({"denoiser": {"pose_dropout": 1.0}})
    loss = DiffusionLoss(config, training_schedule(config.diffusion))
    seen = SimpleNamespace(priors=None)

    def denoiser(noisy: torch.Tensor, timesteps: torch.Tensor, priors: object, *_: object) -> torch.Tensor:
        seen.priors = priors
        return noisy

    loss(denoiser, _batch())
    assert not seen.priors.pose.any()
    assert not seen.priors.previous.any()
    assert seen.priors.masked.any()
