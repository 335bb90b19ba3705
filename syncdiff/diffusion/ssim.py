"""1 - SSIM of predicted frames: the structure of faint detail, which a mean square of latents hardly weighs.

In training (Zhao et al. 2017) it is taken of the latents' linear part, so that nothing is decoded. On the demo corpus
it brought SSIM, and PSNR and FID, which it does not look at (docs/decisions.md).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from syncdiff.priors import mouth_mask

SIGMA, RADIUS = 1.5, 5  # pixels, of the Gaussian window (Wang et al. 2004)
RANGE = 2.0  # of pixels in [-1, 1]
C1, C2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2


class SSIMLoss:
    """The mean of 1 - SSIM over the mouth region.

    Args:
        components: (3 p^2, C), and
        mean: (3 p^2,), what latents stand for, as `models.autoencoder.linear_part` says it.
        face_size: S, side of the crop in pixels.
    """

    def __init__(self, components: Tensor, mean: Tensor, face_size: int) -> None:
        self.components, self.mean = components[..., None, None], mean
        self.patch = math.isqrt(len(mean) // 3)
        mask = torch.from_numpy(mouth_mask(face_size))
        self.first = max(0, int(mask.any(dim=1).nonzero()[0]) - RADIUS)  # row that a window in the mask can reach
        self.mask = mask[self.first :]
        self.blur_down, self.blur_across = gaussian_blur_matrix(len(self.mask)), gaussian_blur_matrix(face_size)

    def __call__(self, prediction: Tensor, latents: Tensor) -> Tensor:
        """Compare predicted with true latents, both (B, C, h, w); return a scalar in [0, 2]."""
        with torch.autocast(prediction.device.type, enabled=False):  # variances are differences of like numbers
            loss = 1 - self._ssim(self._pixels(prediction.float()), self._pixels(latents.float()))
            mask = self.mask.to(loss)
            return (loss * mask).mean() / mask.mean()

    def _pixels(self, latents: Tensor) -> Tensor:
        """Return the rows of the frame that count: (B, 3, S - first, S), about in [-1, 1]."""
        patches = F.conv2d(latents, self.components.to(latents), self.mean.to(latents))
        return F.pixel_shuffle(patches, self.patch)[:, :, self.first :]

    def _ssim(self, a: Tensor, b: Tensor) -> Tensor:
        """Return Wang et al. 2004, eq. 13, around each pixel of a and b (B, 3, H, W), by channel."""
        mean_a, mean_b = self._blur(a), self._blur(b)
        var_a, var_b = self._blur(a * a) - mean_a**2, self._blur(b * b) - mean_b**2
        covariance = self._blur(a * b) - mean_a * mean_b
        alike = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
        return alike / ((mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2))

    def _blur(self, pixels: Tensor) -> Tensor:
        return self.blur_down.to(pixels) @ pixels @ self.blur_across.to(pixels).T


def gaussian_blur_matrix(n: int) -> Tensor:
    """Return the Gaussian window as a matrix (n, n) that blurs a line of n pixels; beyond its ends, they go on.

    On one core, forward and back, convolutions of one channel took 159 ms for a batch of 64, two products 3.3 ms.
    """
    taps = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    places = (torch.arange(n)[:, None] + torch.arange(-RADIUS, RADIUS + 1)).clamp(0, n - 1)  # (n, taps)
    return torch.zeros(n, n).scatter_add_(1, places, (taps / taps.sum()).expand(n, -1))
