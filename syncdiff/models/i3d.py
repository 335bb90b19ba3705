"""I3D, trained on Kinetics-400, behind FVD: the TorchScript file that StyleGAN-V and LatentSync use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from syncdiff.device import full_fp32
from syncdiff.errors import UserError


def load_i3d(path: str, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """Return what maps one clip (T, 224, 224, 3) of uint8 RGB to logits (1, 400).

    A TorchScript file is a program in torch's own small language: give one from a source that you trust.

    Args:
        path: i3d_torchscript.pt.
        device: of the network.

    Raises:
        UserError: the file is missing, or no TorchScript.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; get i3d_torchscript.pt")
    try:
        net = torch.jit.load(path, map_location=device).eval()
    except RuntimeError:
        raise UserError(f"{path}: not a TorchScript file; give i3d_torchscript.pt") from None

    def logits(frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), full_fp32():
            video = torch.from_numpy(frames).to(device).permute(3, 0, 1, 2)[None] / 255  # (1, 3, T, 224, 224)
            return net(video, rescale=False, resize=False, return_features=True).double().cpu().numpy()

    return logits
