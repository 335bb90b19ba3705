"""FVD's arithmetic: two Gaussians, LatentSync's formula (eval/fvd.py) and torchmetrics'; and its frames and input."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import _compute_fid

from syncdiff.errors import UserError
from syncdiff.evaluation.metrics.fvd import fvd_frames, fvd_of_set
from syncdiff.models.i3d import load_i3d
from tests.parity.golden import compare

pytestmark = pytest.mark.quick


class Recorder(nn.Module):
    """Takes what the published file takes, and returns the mean of each frame and channel, as logits."""

    def forward(self, video: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor:
        assert not rescale and not resize and return_features
        return video.mean(dim=(3, 4)).flatten(1)


def logits(mean: np.ndarray, spread: np.ndarray, seed: int) -> np.ndarray:
    """200 rows whose mean and covariance, divided by N - 1, are exactly `mean` and spread spreadᵀ."""
    rows = np.random.default_rng(seed).normal(size=(200, len(mean)))
    rows -= rows.mean(axis=0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    return white @ spread.T + mean


def fvd(real: np.ndarray, generated: np.ndarray) -> float:
    return fvd_of_set([(a[None], b[None]) for a, b in zip(real, generated, strict=True)], 10, seed=0)[0]


def test_two_gaussians_of_known_mean_and_covariance() -> None:
    """With covariances s² I and t² I the distance is |m - n|² + F (s - t)²."""
    mean, other = np.arange(6.0), np.arange(6.0) + 0.5
    found = fvd(logits(mean, 2 * np.eye(6), 1), logits(other, 3 * np.eye(6), 2))
    compare("FVD", found, 6 * 0.5**2 + 6 * (2 - 3) ** 2, 1e-9)


def test_latentsyncs_formula_and_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    real, generated = (logits(rng.normal(size=8), rng.normal(size=(8, 8)), seed) for seed in (1, 2))
    moments = [(side.mean(axis=0), np.cov(side, rowvar=False)) for side in (real, generated)]
    (mean, cov), (other_mean, other_cov) = moments
    root = np.real(scipy.linalg.sqrtm(other_cov @ cov))
    latentsyncs = np.square(other_mean - mean).sum() + np.trace(other_cov + cov - 2 * root)
    tensors = [torch.from_numpy(value) for value in (mean, cov, other_mean, other_cov)]
    compare("LatentSync's", fvd(real, generated) / latentsyncs, 1, 1e-8)
    compare("torchmetrics'", fvd(real, generated) / float(_compute_fid(*tensors)), 1, 1e-6)


def test_few_clips_are_said(caplog: pytest.LogCaptureFixture) -> None:
    fvd_of_set([(np.zeros((1, 4)), np.ones((1, 4)))] * 3, 10, seed=0)
    assert "3 clips for 400 logits" in caplog.text


def test_sixteen_frames_from_frame_20_on_and_none_of_a_clip_that_ends_before() -> None:
    numbered = np.arange(60)
    assert fvd_frames(numbered).tolist() == list(range(20, 36))
    assert len(fvd_frames(numbered[:36])) == 16 and not len(fvd_frames(numbered[:35]))


def test_the_network_gets_zero_to_one_by_channel_frame_row_and_column(tmp_path: Path) -> None:
    torch.jit.script(Recorder()).save(str(tmp_path / "i3d.pt"))
    frames = np.zeros((16, 224, 224, 3), np.uint8)
    frames[3, ..., 1] = 255
    found = load_i3d(str(tmp_path / "i3d.pt"), torch.device("cpu"))(frames)
    assert found.shape == (1, 48) and found[0, 16 + 3] == 1 and found.sum() == 1


def test_what_is_no_torchscript_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.pt").write_bytes(b"weights")
    with pytest.raises(UserError, match="not a TorchScript file"):
        load_i3d(str(tmp_path / "no.pt"), torch.device("cpu"))
    with pytest.raises(UserError, match="no such file"):
        load_i3d(str(tmp_path / "none.pt"), torch.device("cpu"))
