"""What a notebook imports as `syncdiff.score`, `.features` and `.fidelity`: the tools with defaults, on plain paths."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from syncdiff.config import Faces
from syncdiff.device import choose_device
from syncdiff.evaluation.metrics import fidelity as measures
from syncdiff.evaluation.metrics.lse import DEFAULT_FACES, score_videos
from syncdiff.speech.extract import extract_features
from syncdiff.weights.registry import get

AnyPath = str | PathLike[str]


def score(
    videos: AnyPath | Iterable[AnyPath],
    *,
    syncnet: AnyPath | None = None,
    crop: Literal["none", "face"] = "none",
    face: Literal["largest", "speaking"] = "speaking",
    jpeg: bool = False,
    dtype: Literal["fp32", "bf16"] = "fp32",
    device: str = "auto",
    faces: Faces = DEFAULT_FACES,
) -> pd.DataFrame:
    """Score the lip sync of videos as syncnet_python does; a row each, in their order.

    Args:
        videos: files with picture and sound.
        syncnet: weights; None: the published syncnet_v2.model, downloaded where it is not here yet.
        crop: none, Wav2Lip's LRS protocol; face, its real-videos protocol.
        face: of several faces at once: the largest, or the one with the highest LSE-C.
        jpeg: pass the pictures through the reference's JPEG.
        dtype: arithmetic of the network.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        faces: which landmarker finds the faces, and how: the section `faces` of a config, `load_config(...).faces`.

    Returns:
        Columns video, offset (video frames by which the sound comes before the lips), lse_d (lower is better), lse_c
        (higher is better), n_windows, and failed: why a video has no score, else "".

    Raises:
        UserError: the weights cannot be read, or downloaded; no such device.
    """
    paths = [Path(videos)] if isinstance(videos, (str, PathLike)) else [Path(video) for video in videos]
    weights = Path(syncnet) if syncnet else get("syncnet")[0]
    return _frame(score_videos(paths, weights, crop, jpeg, dtype, choose_device(device), face, faces), paths)


def features(
    sound: AnyPath,
    *,
    checkpoint: AnyPath | None = None,
    layer: int | Literal["last", "none"] | None = None,
    frames: int | None = None,
    engine: Literal["native", "fairseq"] = "native",
    device: str = "auto",
) -> np.ndarray:
    """Return the speech features of a sound or video file: (T, D) float32, one row per video frame at 25 Hz.

    Args:
        sound: any file with sound.
        checkpoint: AV-HuBERT, fairseq .pt or converted .safetensors.
        layer: a number, from 1: the hidden states after that layer, as output_layer=N; last: all layers and the final
            norm; none: the normalised stacked filterbank, D = 104. None: last with a checkpoint, none without.
        frames: T; None: the pictures of a file that has some, else as many as the sound fills.
        engine: whose encoder computes them; both give the same to 1e-5.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: no sound, no checkpoint where a layer needs one, no such layer or device.
    """
    encoder = Path(checkpoint) if checkpoint else None
    return extract_features(Path(sound), encoder, layer, frames, engine, device)


def fidelity(real: AnyPath, fake: AnyPath, *, inception: AnyPath | None = None, device: str = "auto") -> dict[str, Any]:
    """Compare two folders of pictures or videos: FID, SSIM and PSNR, each with its scorer.

    Args:
        real: folder of the reference.
        fake: folder with files of the same names, for SSIM and PSNR; for FID, any.
        inception: pt_inception-2015-12-05-6726825d.pth; None: FID over a named stand-in, not comparable with others.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: a folder is missing or holds nothing that can be compared; no such device.
    """
    weights = str(inception) if inception else None
    return measures.fidelity(Path(real), Path(fake), weights, choose_device(device))


def _frame(scores: dict[str, Any], paths: list[Path]) -> pd.DataFrame:
    """Return what `score_videos` says of each video, in the order of `paths`."""
    rows = {row["video"]: {**row, "failed": row.get("reason", "")} for row in (*scores["videos"], *scores["failed"])}
    columns = ["video", "offset", "lse_d", "lse_c", "n_windows", "failed"]
    return pd.DataFrame([rows[str(path)] for path in paths], columns=columns)
