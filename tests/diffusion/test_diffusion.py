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
    """A denoiser that knows z_0, and answers in the schedule's own terms."""

    def __init__(self, diffusion: Diffusion) -> None:
        self.prediction = diffusion.prediction
        self.signal = training_schedule(diffusion).alphas_cumprod

    def denoise(self, noisy: torch.Tensor, timesteps: torch.Tensor, *_: object) -> torch.Tensor:
        signal = self.signal[timesteps].view(-1, 1, 1, 1)
        noise = (noisy - signal.sqrt() * TRUTH) / (1 - signal).sqrt()
        targets = {
            "epsilon": noise,
            "sample": TRUTH,
            "v_prediction": signal.sqrt() * noise - (1 - signal).sqrt() * TRUTH,
        }
        return targets[self.prediction]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 50), ("ddim", 4), ("dpm_solver++", 6), ("dpm_solver++", 1)])
def test_every_sampler_finds_the_truth_of_a_perfect_denoiser(prediction: str, sampler: str, steps: int) -> None:
    diffusion = Diffusion(prediction=prediction)
    schedule = solver(diffusion, Sample(sampler=sampler, steps=steps))
    nothing = torch.zeros(0)
    found = sample_latents(
        Perfect(diffusion), schedule, torch.randn(TRUTH.shape), nothing, nothing, nothing, guidance=1.0
    )
    assert torch.allclose(found, TRUTH, atol=2e-2)


def test_guidance_moves_away_from_what_is_predicted_without_speech() -> None:
    class Two:
        def denoise(
            self, noisy: torch.Tensor, timesteps: torch.Tensor, _: object, context: torch.Tensor
        ) -> torch.Tensor:
            return torch.ones_like(noisy) * context

    schedule = solver(Diffusion(prediction="sample"), Sample(sampler="ddim", steps=1))
    heard, unheard = torch.tensor(1.0), torch.tensor(0.5)
    found = sample_latents(Two(), schedule, torch.randn(1, 1, 2, 2), torch.zeros(0), heard, unheard, guidance=3.0)
    assert torch.allclose(found, torch.full_like(found, 0.5 + 3 * 0.5), atol=1e-4)


def _batch(n: int = 4) -> dict[str, torch.Tensor]:
    planes = {name: torch.randn(n, 4, 8, 8) for name in ("latents", "masked", "identity", "previous")}
    speech = {"speech": torch.randn(n, 13, 104), "valid": torch.ones(n, 13, dtype=torch.bool)}
    return {**planes, **speech, "pose": torch.rand(n, 8, 8, 3) * 2 - 1}


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_loss_of_a_perfect_prediction_is_zero_and_the_mouth_weighs_more(prediction: str) -> None:
    config = parse_config({"diffusion": {"prediction": prediction, "mouth_weight": 3.0}})
    schedule = training_schedule(config.diffusion)
    mask = torch.zeros(32, 32)
    mask[16:] = 1
    loss = DiffusionLoss(config, schedule, mask)
    batch = _batch()

    def wrong_in(rows: slice):
        def denoiser(noisy: torch.Tensor, timesteps: torch.Tensor, *_: object) -> torch.Tensor:
            signal = schedule.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
            noise = (noisy - signal.sqrt() * batch["latents"]) / (1 - signal).sqrt()
            velocity = signal.sqrt() * noise - (1 - signal).sqrt() * batch["latents"]
            answer = {"epsilon": noise, "sample": batch["latents"], "v_prediction": velocity}[prediction].clone()
            answer[:, :, rows] += 1
            return answer

        return denoiser

    assert loss(wrong_in(slice(0, 0)), batch)["loss"] < 1e-4
    above, mouth = (float(loss(wrong_in(rows), batch)["loss"]) for rows in (slice(0, 4), slice(4, 8)))
    assert mouth == pytest.approx(4 * above, rel=1e-3)


def test_a_dropped_pose_frame_is_all_zero() -> None:
    config = parse_config({"denoiser": {"pose_dropout": 1.0}})
    loss = DiffusionLoss(config, training_schedule(config.diffusion), torch.ones(8, 8))
    seen = SimpleNamespace(priors=None)

    def denoiser(noisy: torch.Tensor, timesteps: torch.Tensor, priors: object, *_: object) -> torch.Tensor:
        seen.priors = priors
        return noisy

    loss(denoiser, _batch())
    assert not seen.priors.pose.any()
    assert not seen.priors.previous.any()
    assert seen.priors.masked.any()
