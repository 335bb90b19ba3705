"""SyncDiff: speech-to-lip synthesis by latent diffusion, as a reproducible pipeline.

    score      LSE-D, LSE-C and the offset of videos       features   speech features of a sound
    fidelity   FID, SSIM and PSNR of two folders           Clips      the clips of shards, for torch
    LipSync    a trained model, which dubs videos            curate     which videos are fit to train on

Each is imported when it is first used. What the package has to say goes to the logger "syncdiff", which is silent until
the program sets up logging.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncdiff.api import curate, features, fidelity, score
    from syncdiff.dubbing.lip_sync import LipSync
    from syncdiff.shards.clips import Clips

    __version__: str

__all__ = ["Clips", "LipSync", "__version__", "curate", "features", "fidelity", "score"]

HOMES = {
    "Clips": "syncdiff.shards.clips",
    "LipSync": "syncdiff.dubbing.lip_sync",
    **dict.fromkeys(("curate", "features", "fidelity", "score"), "syncdiff.api"),
}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version(__name__)
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
