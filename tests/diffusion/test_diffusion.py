"""The diffusion: targets, weights, and samplers that find the answer of a perfect denoiser."""

from types import SimpleNamespace

import pytest
import torch

from syncdiff.config import Diffusion, Sample, parse_config
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.sampler import Denoising, guidance_map, step
from syncdiff.diffusion.schedule import scheduler, training_schedule
from syncdiff.priors import LIPS_X, LIPS_Y

pytestmark = pytest.mark.quick
TRUTH = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))


class Perfect:
    """A denoiser that knows z_0."""

    def denoise(self, *_: object) -> torch.Tensor:
        return TRUTH


def _denoising(sampler: str, steps: int, noise: torch.Tensor, context: torch.Tensor | None = None) -> Denoising:
    schedule = scheduler(Diffusion(), Sample(sampler=sampler, steps=steps))
    context = torch.zeros(len(noise), 1, 1) if context is None else context
    return Denoising(noise, torch.zeros_like(noise), context, schedule)


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 50), ("ddim", 4), ("dpm_solver++", 6), ("dpm_solver++", 1)])
def test_every_sampler_finds_the_truth_of_a_perfect_denoiser(sampler: str, steps: int) -> None:
    frame = _denoising(sampler, steps, torch.randn(TRUTH.shape))
    while not frame.finished:
        step(Perfect(), [frame], guidance=None)
    assert frame.n_done == steps
    assert torch.allclose(frame.latents, TRUTH, atol=2e-2)


def test_classifier_free_guidance_moves_away_from_the_unconditional_prediction() -> None:
    class Two:
        def denoise(
            self, noisy: torch.Tensor, timesteps: torch.Tensor, _: object, context: torch.Tensor
        ) -> torch.Tensor:
            return torch.ones_like(noisy) * context[..., None]

        def uncond_context(self, like: torch.Tensor) -> torch.Tensor:
            return torch.full_like(like, 0.5)

    cond = torch.tensor([1.0, 2.0]).view(2, 1, 1)
    frame = _denoising("ddim", 1, torch.randn(2, 1, 2, 2), cond)
    guidance = torch.tensor([[1.0, 2.0], [3.0, 1.0]])
    step(Two(), [frame], guidance)
    expected = 0.5 + guidance * (cond - 0.5)[..., None]
    assert torch.allclose(frame.latents, expected, atol=1e-4)


def test_guidance_is_strong_at_the_lips_and_none_at_the_eyes_and_in_the_corners() -> None:
    latents = torch.zeros(1, 4, 16, 16)
    guidance = guidance_map(3.0, 64, latents)
    assert guidance is not None
    below, beside = divmod(int(guidance.argmax()), 16)
    assert ((below + 0.5) / 16, (beside + 0.5) / 16) == pytest.approx((LIPS_Y, LIPS_X), abs=1 / 16)
    assert guidance.max() == 3
    assert guidance.min() >= 1
    assert guidance[:5].max() < 1.1
    assert guidance[-1, [0, -1]].max() < 1.01
    assert guidance_map(1.0, 64, latents) is None


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver++"])
def test_frames_that_share_a_batch_take_the_steps_that_they_take_alone(sampler: str) -> None:
    """The second frame begins after the first one's first step, and has one clip less."""

    class Noisy:
        def denoise(self, noisy: torch.Tensor, timesteps: torch.Tensor, *_: object) -> torch.Tensor:
            return torch.tanh(noisy) * (1 - timesteps / 2000).view(-1, 1, 1, 1)

    def new() -> list[Denoising]:
        return [_denoising(sampler, 4, TRUTH), _denoising(sampler, 4, TRUTH[:1].flip(2))]

    (first, second), alone = new(), new()
    step(Noisy(), [first], guidance=None)
    for _ in range(3):
        step(Noisy(), [first, second], guidance=None)
    step(Noisy(), [second], guidance=None)
    for frame, expected in zip((first, second), alone, strict=True):
        while not expected.finished:
            step(Noisy(), [expected], guidance=None)
        assert frame.finished
        assert torch.allclose(frame.latents, expected.latents, atol=1e-6)
        assert torch.allclose(frame.estimate, expected.estimate, atol=1e-6)


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
    with_speech, kept = torch.rand(4) >= 0.1, torch.rand(4) >= 0.1
    pose = (batch["pose"] + 0.1 * torch.randn(4, 8, 8, 3)) * kept[:, None, None, None]
    expected = schedule.add_noise(batch["latents"], noise, timesteps), timesteps, pose, with_speech
    noisy, at, priors, *_, speech_kept = seen.inputs
    assert all(torch.equal(a, b) for a, b in zip((noisy, at, priors.pose, speech_kept), expected, strict=True))
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
