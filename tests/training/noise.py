"""A small training: shards of noise, the config that fits them, an autoencoder, and what a sync loss needs."""

from pathlib import Path

import numpy as np
import torch

from syncdiff.config import Autoencoder
from syncdiff.models.autoencoder import build_autoencoder
from syncdiff.models.syncnet import SyncNet, save_syncnet
from syncdiff.shards.tar import encode_npy, to_json, write_shard

# To compare runs: with the default learning rate, or in bf16, rounding errors of two threads or processes grow too far.
CONFIG = (
    '{"pretraining": {"steps": 4, "batch_size": 4, "warmup_steps": 1},'
    ' "mixed_precision": "no", "train": {"steps": 12, "batch_size": 8, "warmup_steps": 2, "learning_rate": 1e-4},'
    ' "denoiser": {"channels": [32, 32]}, "autoencoder": {"latent_channels": 4}, "speech": {"dim": 32, "layers": 1}}'
)


def write_noise(latents: Path, speech: Path, seed: int = 0) -> None:
    """Write a latent and a speech shard of three clips, and the folders that they lie in."""
    random = np.random.default_rng(seed)
    seen, heard = [], []
    for clip in "abc":
        about = {"__key__": clip, "json": to_json({"clip": clip})}
        planes = {name: random.normal(size=(20, 4, 8, 8)).astype(np.float16) for name in ("latents", "masked")}
        pose = random.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
        seen.append(about | {f"{name}.npy": encode_npy(array) for name, array in {**planes, "pose": pose}.items()})
        heard.append(about | {"fbank.npy": encode_npy(random.normal(size=(20, 104)).astype(np.float32))})
    for folder in (latents.parent, speech.parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_shard(latents, seen)
    write_shard(speech, heard)


def write_autoencoder(folder: Path, latent_channels: int = 4) -> Path:
    """Write an untrained autoencoder, of the noise's latents if not asked for others; return its folder."""
    torch.manual_seed(0)
    build_autoencoder(Autoencoder(latent_channels=latent_channels)).save_pretrained(folder)
    return folder


def write_sync(folder: Path) -> list[str]:
    """Write what a sync loss needs, untrained, into `folder`; return the options of `syncdiff train` that name it."""
    random = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    clips = [{"__key__": clip, "json": to_json({"clip": clip})} for clip in "abc"]
    sound = [{"mfcc.npy": encode_npy(random.normal(size=(20, 52)).astype(np.float32))} for _ in clips]
    write_shard(folder / "mfcc.tar", [about | rows for about, rows in zip(clips, sound, strict=True)])
    save_syncnet(SyncNet(0.125, 64), folder / "expert.safetensors", "noise")
    paths = {"mfcc": "mfcc.tar", "expert": "expert.safetensors"}
    return [word for name, path in paths.items() for word in (f"--{name}", str(folder / path))]
