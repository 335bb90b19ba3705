"""The sync loss: it falls as lips match their sound, and teaches the denoiser alone."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from syncdiff.config import parse_config
from syncdiff.diffusion.loss import DiffusionLoss, Draws
from syncdiff.diffusion.schedule import training_schedule
from syncdiff.diffusion.ssim import SSIMLoss
from syncdiff.diffusion.sync_loss import SYNC_SHIFTS, SyncLoss, sync_windows
from syncdiff.errors import UserError
from syncdiff.models.autoencoder import build_autoencoder
from syncdiff.models.denoiser import Denoiser
from syncdiff.models.syncnet import SyncNet, mouth_pixels, mouth_view, save_syncnet
from syncdiff.training.windows import shared_sync_windows

pytestmark = pytest.mark.quick
CPU = torch.device("cpu")
CONFIG = parse_config(
    {
        "autoencoder": {"latent_channels": 4},
        "denoiser": {"channels": [32, 32], "pose_noise": 0.0, "speech_dropout": 1.0},
        "speech": {"dim": 32, "layers": 1},
        "train": {"sync_weight": 0.5},
    }
)
N_SAMPLES, N_WINDOWS = 6, 2


@pytest.fixture
def sync(tmp_path: Path) -> SyncLoss:
    """The loss with two untrained networks."""
    torch.manual_seed(0)
    save_syncnet(SyncNet(0.125, 64), tmp_path / "syncnet.safetensors", "test")
    build_autoencoder(CONFIG.autoencoder).save_pretrained(tmp_path / "autoencoder")
    return SyncLoss(tmp_path / "autoencoder", tmp_path / "syncnet.safetensors", CPU)


def _batch() -> dict[str, torch.Tensor]:
    """Six samples, and two windows of five frames after them."""
    n, random = N_SAMPLES + 5 * N_WINDOWS, torch.Generator().manual_seed(1)
    planes = {name: torch.randn(n, 4, 8, 8, generator=random) for name in ("latents", "masked", "identity", "previous")}
    speech = {"speech": torch.randn(n, 13, 104, generator=random), "valid": torch.ones(n, 13, dtype=torch.bool)}
    mfcc = 10 * torch.randn(N_WINDOWS, len(SYNC_SHIFTS), 13, 20, generator=random)
    sync = {"mfcc": mfcc, "mfcc_valid": torch.ones(mfcc.shape[:2], dtype=torch.bool)}
    return {**planes, **speech, **sync, "pose": torch.rand(n, 8, 8, 3, generator=random) * 2 - 1}


def test_its_gradient_leads_to_latents_that_match_better(sync: SyncLoss) -> None:
    batch = _batch()
    latents = batch["latents"][N_SAMPLES:].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([latents], 0.05)
    course = []
    for _ in range(15):
        losses = sync(latents, batch["mfcc"], batch["mfcc_valid"])
        assert losses.shape == (N_WINDOWS,)
        course.append(float(losses.detach().mean()))
        losses.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert course[-1] < min(course[:10])


def test_the_audio_of_the_window_itself_is_the_right_answer(sync: SyncLoss) -> None:
    """A perfect sync expert: equal embeddings where the shift is 0."""
    n, zero = len(SYNC_SHIFTS), SYNC_SHIFTS.index(0)

    class Numbers(nn.Module):
        image_size = 64

        def lip(self, frames: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(frames), 1, 2)

        def audio(self, mfcc: torch.Tensor) -> torch.Tensor:
            return mfcc[:, :2, 0]

    sync.expert = Numbers()  # type: ignore[assignment]
    mfcc = torch.full((N_WINDOWS, n, 13, 20), 9.0)
    mfcc[0, zero], mfcc[1, zero + 1] = 0, 0
    valid = torch.ones(N_WINDOWS, n, dtype=torch.bool)
    right, wrong = sync(torch.zeros(10, 4, 8, 8), mfcc, valid)
    assert right < 1e-3
    assert wrong > 9
    valid[1, zero + 1] = False  # beyond the clip's end, it is no answer
    assert float(sync(torch.zeros(10, 4, 8, 8), mfcc, valid)[1]) == pytest.approx(np.log(n - 1), abs=1e-4)


def test_gradients_reach_the_denoiser_and_neither_sync_expert_nor_autoencoder(sync: SyncLoss) -> None:
    torch.manual_seed(0)
    denoiser = Denoiser(CONFIG)
    loss = DiffusionLoss(CONFIG, training_schedule(CONFIG.diffusion), sync=sync)
    before = [weights.clone() for weights in (*sync.expert.parameters(), *sync.autoencoder.parameters())]
    loss(denoiser, _batch())["loss_sync"].backward()
    assert any(bool(weights.grad.any()) for weights in denoiser.unet.parameters() if weights.grad is not None)
    gradients = [weights.grad for weights in denoiser.speech.parameters()]
    assert any(grad is not None and bool(grad.any()) for grad in gradients)  # although speech_dropout is 1
    frozen = [*sync.expert.parameters(), *sync.autoencoder.parameters()]
    assert all(weights.grad is None and not weights.requires_grad for weights in frozen)
    assert all(torch.equal(a, b) for a, b in zip(before, frozen, strict=True))


def test_frames_of_a_window_share_their_draws_and_the_denoising_loss_leaves_them_out(sync: SyncLoss) -> None:
    batch, seen = _batch(), {}

    def denoiser(noisy: torch.Tensor, timesteps: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        seen.update(noisy=noisy, timesteps=timesteps, with_speech=rest[-1])
        answer = batch["latents"].clone()
        answer[N_SAMPLES:] += 3
        return answer

    ssim = SSIMLoss(torch.randn(3 * 8**2, 4), torch.zeros(3 * 8**2), CONFIG.faces.size)
    loss = DiffusionLoss(CONFIG, training_schedule(CONFIG.diffusion), ssim, sync)
    losses = loss(denoiser, batch)
    assert float(losses["loss_ssim"]) == pytest.approx(0, abs=1e-5)
    assert float(losses["loss"]) == pytest.approx(0.5 * float(losses["loss_sync"]))
    assert float(losses["loss_lips"]) == 0
    times = seen["timesteps"][N_SAMPLES:].view(N_WINDOWS, 5)
    assert (times == times[:, :1]).all()
    assert len(set(seen["timesteps"].tolist())) > N_WINDOWS
    kept = training_schedule(CONFIG.diffusion).alphas_cumprod[times].sqrt()
    noise = seen["noisy"][N_SAMPLES:].unflatten(0, (N_WINDOWS, 5)) - kept[..., None, None, None] * batch["latents"][
        N_SAMPLES:
    ].unflatten(0, (N_WINDOWS, 5))
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise), atol=1e-4, rtol=0)
    assert seen["with_speech"].tolist() == [False] * N_SAMPLES + [True] * 5 * N_WINDOWS


def test_mouths_are_seen_as_the_syncnet_was_trained_on_them() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = torch.from_numpy(crop).permute(2, 0, 1)[None] / 127.5 - 1
    seen = mouth_pixels(pixels, 112)[0].permute(1, 2, 0).flip(-1)
    np.testing.assert_allclose(seen, mouth_view(crop, 112), atol=1)


def test_a_syncnet_not_trained_on_aligned_crops_is_refused(sync: SyncLoss, tmp_path: Path) -> None:
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    with pytest.raises(UserError, match="not trained on aligned crops"):
        SyncLoss(tmp_path / "autoencoder", tmp_path / "syncnet_v2.model", CPU)


@pytest.mark.parametrize(("n_samples", "world"), [(40, 2), (48, 3), (96, 4), (64, 1)])
def test_the_sync_loss_of_a_step_is_the_mean_over_its_windows_for_any_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, n_samples: int, world: int
) -> None:
    """Windows that come twice, so that all processes have as many, count once."""
    by_window = torch.rand(sync_windows(n_samples), generator=torch.Generator().manual_seed(0))
    parts = []
    for rank in range(world):
        state = SimpleNamespace(process_index=rank, num_processes=world)
        monkeypatch.setattr("syncdiff.diffusion.loss.PartialState", lambda state=state: state)
        own, _ = shared_sync_windows(n_samples, rank, world)
        draw = Draws(n_samples // world, len(own), torch.device("cpu"))
        parts.append(draw.mean_over_windows(by_window[own]))
    assert float(torch.stack(parts).mean()) == pytest.approx(float(by_window.mean()), rel=1e-6)
