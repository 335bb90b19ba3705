"""FID, SSIM and PSNR of folders: what pairs, what does not, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from syncdiff.errors import UserError
from syncdiff.evaluation.metrics.fidelity import Moments, fidelity
from syncdiff.media.video import write_video

RNG = np.random.default_rng(0)


def picture(size: int = 64) -> np.ndarray:
    return cv2.GaussianBlur(RNG.integers(0, 256, (size, size, 3), dtype=np.uint8), (0, 0), 2)


def write(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    for name, value in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), value)
    return folder


@pytest.mark.quick
def test_folder_against_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "real", {f"{i}.png": picture() for i in range(3)})
    result = fidelity(folder, folder)
    assert result["fid"] == pytest.approx(0, abs=1e-9)
    assert result["ssim"] == pytest.approx(1)
    assert (result["psnr"], result["n_identical"], result["n_real"], result["n_fake"]) == (None, 3, 3, 3)
    assert "stand-in" in result["scorer"]


@pytest.mark.quick
def test_names_pair_without_suffix_and_psnr_does_not_wrap(tmp_path: Path) -> None:
    real = {f"a/{i}.png": picture() for i in range(2)}
    inverted = {name.replace(".png", ".bmp"): 255 - value for name, value in real.items()}
    result = fidelity(write(tmp_path / "real", real), write(tmp_path / "fake", inverted))
    errors = [np.square(2.0 * value - 255).mean() for value in real.values()]
    assert result["psnr"] == pytest.approx(np.mean([10 * np.log10(255**2 / error) for error in errors]))
    assert result["ssim"] < 0.5


@pytest.mark.quick
@pytest.mark.parametrize("other", [{"0.png": 64}, {"0.png": 64, "2.png": 64}, {"0.png": 64, "1.png": 48}])
def test_what_does_not_pair_has_fid_only(tmp_path: Path, other: dict[str, int]) -> None:
    real = write(tmp_path / "real", {"0.png": picture(), "1.png": picture()})
    fake = write(tmp_path / "fake", {**{name: picture(size) for name, size in other.items()}, "9.png": picture()})
    result = fidelity(real, fake)
    assert (result["ssim"], result["psnr"], result["n_fake"]) == (None, None, len(other) + 1)
    assert result["fid"] > 0


def test_videos_pair_frame_by_frame(tmp_path: Path) -> None:
    frames = [picture() for _ in range(6)]
    write_video(tmp_path / "real/clip.mp4", frames)
    write_video(tmp_path / "fake/clip.mp4", [cv2.GaussianBlur(frame, (0, 0), 1) for frame in frames])
    result = fidelity(tmp_path / "real", tmp_path / "fake")
    assert (result["n_real"], result["n_fake"]) == (6, 6)
    assert 0.5 < result["ssim"] < 1
    alone = fidelity(tmp_path / "real/clip.mp4", tmp_path / "fake/clip.mp4")
    assert alone == result


@pytest.mark.quick
def test_bad_input_is_one_line(tmp_path: Path) -> None:
    good = write(tmp_path / "good", {"0.png": picture(), "1.png": picture()})
    single = write(tmp_path / "single", {"0.png": picture()})
    broken = write(tmp_path / "broken", {"0.png": picture()})
    (broken / "1.png").write_bytes(b"not a picture")
    tiny = write(tmp_path / "tiny", {"0.png": picture(8)})
    (tmp_path / "empty").mkdir()
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    for fake, message in (
        (single, "two at least"),
        (broken, "1.png: not a readable"),
        (tmp_path / "empty", "no pic"),
        (tiny, "shorter than 32"),
    ):
        with pytest.raises(UserError, match=message):
            fidelity(good, fake)
    with pytest.raises(UserError, match="no such file or folder"):
        fidelity(good, tmp_path / "missing")
    with pytest.raises(UserError, match=r"other\.pth: not the weights of FID's Inception"):
        fidelity(good, good, str(tmp_path / "other.pth"))


@pytest.mark.quick
def test_moments_survive_a_large_mean() -> None:
    features = 1e6 + RNG.normal(size=(500, 8))
    moments = Moments()
    for part in np.array_split(features, 37):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(features, rowvar=False), rtol=1e-7, atol=1e-7)
