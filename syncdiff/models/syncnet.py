"""SyncNet (Chung & Zisserman 2016), the network that scores lip sync: layers, inputs, checkpoints, a fast copy.

Layers and state-dict names follow joonson/syncnet_python (SyncNetModel.py), so that `syncnet_v2.model` loads strictly.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from syncdiff.config import ImageSize
from syncdiff.errors import UserError
from syncdiff.speech.mfcc import WINDOW_FRAMES
from syncdiff.weights.files import read_safetensors, read_weights, write_safetensors

EMBEDDING_DIM = 1024
CROP_SIZE = 64  # pixels: of the crops behind a file that does not say it
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class SyncNet(nn.Module):
    """Two streams into one 1024-d space, where the distance is small when lips and sound belong together.

    Args:
        width: channels relative to the published network, in steps of 8; the embedding keeps its 1024.
        image_size: input side in pixels. Only the kernel of the last lip convolution depends on it.
    """

    def __init__(self, width: float = 1.0, image_size: int = 224) -> None:
        super().__init__()
        self.width, self.image_size = width, image_size
        c64, c96, c192, c256, c384, c512 = (max(8, round(n * width / 8) * 8) for n in (64, 96, 192, 256, 384, 512))
        side = _last_map_side(image_size)
        self.netcnnaud = nn.Sequential(  # (N, 1, 13, 20)
            *_block(nn.Conv2d(1, c64, 3, padding=1)),
            nn.Identity(),  # published as a pool of 1 x 1; the indices count it
            *_block(nn.Conv2d(c64, c192, 3, padding=1)),
            nn.MaxPool2d(3, stride=(1, 2)),
            *_block(nn.Conv2d(c192, c384, 3, padding=1)),
            *_block(nn.Conv2d(c384, c256, 3, padding=1)),
            *_block(nn.Conv2d(c256, c256, 3, padding=1)),
            nn.MaxPool2d(3, stride=2),
            *_block(nn.Conv2d(c256, c512, (5, 4))),  # (N, 512, 1, 1)
        )
        self.netfcaud = _head(c512)
        # After the first layer nothing mixes frames, so T frames go through once and come out as T - 4 windows.
        self.netcnnlip = nn.Sequential(  # (B, 3, T, S, S)
            *_block(nn.Conv3d(3, c96, (WINDOW_FRAMES, 7, 7), stride=(1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_block(nn.Conv3d(c96, c256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            *_block(nn.Conv3d(c256, c256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(c256, c256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(c256, c256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_block(nn.Conv3d(c256, c512, (1, side, side))),  # (B, 512, T - 4, 1, 1)
        )
        self.netfclip = _head(c512)

    def forward(self, frames: Tensor, mfcc: Tensor) -> tuple[Tensor, Tensor]:
        """Embed matching windows, (N, 3, 5, S, S) and (N, 13, 20): two of (N, 1024)."""
        return self.lip(frames)[:, 0], self.audio(mfcc)

    def lip(self, frames: Tensor) -> Tensor:
        """Embed every window of five frames.

        Args:
            frames: (B, 3, T, S, S) BGR, 0..255, not normalised; T >= 5.

        Returns:
            (B, T - 4, 1024)
        """
        maps = self.netcnnlip(frames).flatten(2)  # (B, 512, T - 4)
        return self.netfclip(maps.mT.flatten(0, 1)).unflatten(0, (len(frames), -1))

    def audio(self, mfcc: Tensor) -> Tensor:
        """Embed windows of 20 MFCC frames: (N, 13, 20) to (N, 1024)."""
        return self.netfcaud(self.netcnnaud(mfcc[:, None]).flatten(1))


def _block(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, nn.Module, nn.Module]:
    norm = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, channels), nn.BatchNorm1d(channels), nn.ReLU(), nn.Linear(channels, EMBEDDING_DIM)
    )


def _last_map_side(image_size: int) -> int:
    """Side of the map before the last convolution: 6 for 224 pixels, 2 for 112, 1 for 64."""
    side = image_size
    for kernel, padding in ((7, 0), (3, 0), (5, 1), (3, 1), (3, 0)):  # conv, pool, conv, pool, pool; all stride 2
        side = (side + 2 * padding - kernel) // 2 + 1
    return side


def mouth_view(crop: np.ndarray, image_size: int) -> np.ndarray:
    """Return what a SyncNet trained on aligned crops sees: the middle of the lower half, as Wav2Lip's lip expert.

    An eighth of a 64-pixel crop is mouth, too little for the first two strides; this doubles it.

    Args:
        crop: (S, S, 3) uint8 aligned face.

    Returns:
        (image_size, image_size, 3) uint8
    """
    return cv2.resize(crop[_mouth_region(len(crop))], (image_size, image_size))


def mouth_pixels(pixels: Tensor, image_size: int) -> Tensor:
    """Return what SyncNet sees of aligned faces, as `mouth_view` cuts it, and let gradients through.

    Args:
        pixels: (N, 3, S, S) RGB in [-1, 1].

    Returns:
        (N, 3, image_size, image_size) BGR in 0..255.
    """
    mouth = pixels[..., *_mouth_region(pixels.shape[-1])].flip(1).clamp(-1, 1)
    return (F.interpolate(mouth, (image_size, image_size), mode="bilinear") + 1) * 127.5


def _mouth_region(size: int) -> tuple[slice, slice]:
    """Rows and columns of the middle of the lower half of a crop of `size` pixels."""
    quarter = size // 4
    return slice(2 * quarter, None), slice(quarter, 3 * quarter)


def for_inference(net: SyncNet, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> SyncNet:
    """Return a copy that only scores: batch norms folded into the convolutions, channels last.

    Pooling goes before ReLU: the two commute, and ReLU then sees a quarter of the values. Embeddings move by rounding
    only (about 1e-5 in float32).
    """
    copy = deepcopy(net).eval()
    for name, layers in list(copy.named_children()):
        assert isinstance(layers, nn.Sequential)
        setattr(copy, name, _fuse(layers))
    for layer in copy.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.weight.data = layer.weight.contiguous(memory_format=CHANNELS_LAST[layer.weight.ndim])
    return copy.to(device=device, dtype=dtype).requires_grad_(False)


def _fuse(layers: nn.Sequential) -> nn.Sequential:
    fused: list[nn.Module] = []
    for layer in layers:
        match layer:
            case nn.BatchNorm1d():
                fused[-1] = fuse_linear_bn_eval(fused[-1], layer)  # type: ignore[type-var]
            case nn.BatchNorm2d() | nn.BatchNorm3d():
                fused[-1] = fuse_conv_bn_eval(fused[-1], layer)  # type: ignore[type-var]
            case nn.MaxPool2d() | nn.MaxPool3d():
                fused.insert(-1, layer)
            case _:
                fused.append(layer)
    return nn.Sequential(*fused)


class LoadedSyncNet(NamedTuple):
    """A SyncNet from a file, the name under which its scores are printed, and the crops that it was trained on."""

    net: SyncNet
    scorer: str
    crop: Literal["face", "aligned"]  # around the detected face, or `mouth_view` of the aligned crop
    crop_size: int = CROP_SIZE  # pixels a side of the aligned crop


def load_syncnet(path: Path | str) -> LoadedSyncNet:
    """Read `syncnet_v2.model` (any state dict of the published names and shapes), or what `save_syncnet` wrote.

    Nothing in the file is executed. The published weights are distributed by joonson/syncnet_python.

    Raises:
        UserError: the file is missing, unreadable, or of another model.
    """
    path = Path(path)
    weights, stored = read_safetensors(path) if path.suffix == ".safetensors" else (read_weights(path), {})
    try:
        metadata = json.loads(stored.get("syncnet", "{}"))
        width, image_size = float(metadata.get("width", 1.0)), metadata.get("image_size", 224)
        if not (0 < width <= 1 and image_size in get_args(ImageSize)):  # before memory is set aside for it
            raise ValueError("no SyncNet has these sizes")
        net = SyncNet(width, image_size)
        net.load_state_dict(weights)
        crop_size = int(metadata.get("crop_size", CROP_SIZE))
    except (RuntimeError, ValueError, TypeError, AttributeError):
        raise UserError(
            f"{path}: not a SyncNet checkpoint; give syncnet_v2.model, or the syncnet.safetensors of a run"
        ) from None
    if "corpus" not in metadata:
        return LoadedSyncNet(net.eval(), path.stem, "face")
    scorer = f"SyncNet of {metadata['corpus']} ({net.image_size} px, width {net.width:g})"
    return LoadedSyncNet(net.eval(), scorer, "aligned", crop_size)


def save_syncnet(net: SyncNet, path: Path | str, corpus: str, crop_size: int = CROP_SIZE) -> None:
    """Write a SyncNet trained on aligned crops of `corpus`, of `crop_size` pixels, as safetensors, atomically."""
    # One entry: safetensors writes several in an order that changes from run to run.
    metadata = {"width": net.width, "image_size": net.image_size, "corpus": corpus, "crop_size": crop_size}
    write_safetensors(path, net.state_dict(), {"syncnet": json.dumps(metadata)})
