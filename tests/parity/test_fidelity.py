"""Against pytorch-fid 0.3.0 (inception.py, fid_score.py), scikit-image 0.26.0 and the formula of PSNR."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from syncdiff.evaluation.metrics.fidelity import Moments, fid_features, frechet_distance, psnr, ssim
from tests.parity.golden import compare, golden_weights


def moments(features: np.ndarray, batch: int) -> Moments:
    result = Moments()
    for start in range(0, len(features), batch):
        result.add(features[start : start + batch])
    return result


def distance(a: Moments, b: Moments) -> float:
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


@pytest.mark.slow
def test_golden_fid(shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden/fid"
    torch.save(golden_weights(folder), tmp_path / "inception.pth")
    extract, name = fid_features(str(tmp_path / "inception.pth"))
    images, expected = np.load(folder / "images.npz"), np.load(folder / "features.npz")
    sides = []
    for side in ("set_a", "set_b"):
        features = np.concatenate([extract(images[side][i : i + 16]) for i in range(0, 40, 16)])
        compare(f"features {side}", features, expected[side], 2e-4)
        sides.append(moments(features, batch=7))
    values = json.loads((folder / "expected.json").read_text())
    compare("FID", distance(*sides), values["fid_2048_pytorch_fid_scipy_1_17_1"], 1e-3)
    assert name == "inception"


def test_golden_frechet(shared: Path) -> None:
    folder = shared / "golden/fid"
    small, features = np.load(folder / "frechet_small.npz"), np.load(folder / "features.npz")
    expected = json.loads((folder / "expected.json").read_text())
    found = frechet_distance(small["mu1"], small["sigma1"], small["mu2"], small["sigma2"])
    compare("Frechet, relative", found / expected["frechet_small_16d"], 1, 1e-8)
    sides = [moments(features[side], batch=16) for side in ("set_a", "set_b")]
    compare("FID of their features", distance(*sides), expected["fid_2048_exact_by_svd"], 1e-6)


def test_golden_ssim_psnr(shared: Path) -> None:
    pairs = np.load(shared / "golden/ssim_psnr/pairs.npz")
    expected = json.loads((shared / "golden/ssim_psnr/values.json").read_text())["pairs"]
    both = list(zip(pairs["reference"], pairs["degraded"], strict=True))
    compare("SSIM", [ssim(*pair) for pair in both], [entry["ssim"] for entry in expected], 1e-6)
    finite = [index for index, entry in enumerate(expected) if entry["psnr_db"] != "inf"]
    compare("PSNR", [psnr(*both[i]) for i in finite], [expected[i]["psnr_db"] for i in finite], 1e-6)
    assert all(psnr(*both[i]) == float("inf") for i in set(range(len(both))) - set(finite))


@pytest.mark.quick
@pytest.mark.parametrize("n_pictures", [12, 200])
def test_against_matrix_square_root(n_pictures: int) -> None:
    """pytorch-fid's own route, scipy's sqrtm, with fewer pictures than features and with more."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n_pictures, 32)) @ rng.normal(size=(32, 32)) + 100 for _ in range(2))
    mean_a, mean_b, cov_a, cov_b = a.mean(0), b.mean(0), np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b - 2 * root)
    compare("relative", distance(moments(a, 5), moments(b, 7)) / expected, 1, 1e-5)
    compare("of itself", distance(moments(a, 5), moments(a, 12)) / np.trace(cov_a), 0, 1e-10)
