"""The sync loss: it falls as lips match their sound, and reaches what shows them alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from syncdiff.diffusion.sync_loss import SYNC_SHIFTS, SyncLoss
from syncdiff.errors import UserError
from syncdiff.models.syncnet import SyncNet, mouth_pixels, mouth_view, save_syncnet

pytestmark = pytest.mark.quick
CPU = torch.device("cpu")
N_RUNS = 2


@pytest.fixture
def sync(tmp_path: Path) -> SyncLoss:
    """The loss with an untrained network."""
    torch.manual_seed(0)
    save_syncnet(SyncNet(0.125, 64), tmp_path / "syncnet.safetensors", "test")
    return SyncLoss(tmp_path / "syncnet.safetensors", CPU)


def test_its_gradient_leads_to_pixels_that_match_better_and_not_into_the_syncnet(sync: SyncLoss) -> None:
    random = torch.Generator().manual_seed(1)
    mfcc = 10 * torch.randn(N_RUNS, len(SYNC_SHIFTS), 13, 20, generator=random)
    pixels = (torch.rand(5 * N_RUNS, 3, 64, 64, generator=random) * 2 - 1).requires_grad_(True)
    before = [weights.clone() for weights in sync.expert.parameters()]
    optimizer = torch.optim.Adam([pixels], 0.05)
    course = []
    for _ in range(15):
        losses = sync(pixels, mfcc, torch.ones(mfcc.shape[:2], dtype=torch.bool))
        assert losses.shape == (N_RUNS,)
        course.append(float(losses.detach().mean()))
        losses.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert course[-1] < min(course[:10])
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, sync.expert.parameters(), strict=True))


def test_the_audio_of_the_run_itself_is_the_right_answer(sync: SyncLoss) -> None:
    """A perfect sync expert: equal embeddings where the shift is 0."""
    n, zero = len(SYNC_SHIFTS), SYNC_SHIFTS.index(0)

    class Numbers(nn.Module):
        image_size = 64

        def lip(self, frames: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(frames), 1, 2)

        def audio(self, mfcc: torch.Tensor) -> torch.Tensor:
            return mfcc[:, :2, 0]

    sync.expert = Numbers()  # type: ignore[assignment]
    mfcc = torch.full((N_RUNS, n, 13, 20), 9.0)
    mfcc[0, zero], mfcc[1, zero + 1] = 0, 0
    valid = torch.ones(N_RUNS, n, dtype=torch.bool)
    right, wrong = sync(torch.zeros(10, 3, 64, 64), mfcc, valid)
    assert right < 1e-3
    assert wrong > 9
    valid[1, zero + 1] = False  # beyond the clip's end, it is no answer
    assert float(sync(torch.zeros(10, 3, 64, 64), mfcc, valid)[1]) == pytest.approx(np.log(n - 1), abs=1e-4)


def test_mouths_are_seen_as_the_syncnet_was_trained_on_them() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = torch.from_numpy(crop).permute(2, 0, 1)[None] / 127.5 - 1
    seen = mouth_pixels(pixels, 112)[0].permute(1, 2, 0).flip(-1)
    np.testing.assert_allclose(seen, mouth_view(crop, 112), atol=1)


def test_a_syncnet_not_trained_on_aligned_crops_is_refused(tmp_path: Path) -> None:
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    with pytest.raises(UserError, match="not trained on aligned crops"):
        SyncLoss(tmp_path / "syncnet_v2.model", CPU)
