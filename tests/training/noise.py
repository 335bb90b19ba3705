"""A small training: shards of noise and the config that fits them."""

from pathlib import Path

import numpy as np

from syncdiff.shards.tar import npy, to_json, write_shard

CONFIG = (
    '{"train": {"steps": 12, "batch_size": 8, "warmup_steps": 2}, "denoiser": {"channels": [32, 32]},'
    ' "autoencoder": {"latent_channels": 4}, "speech": {"dim": 32, "layers": 1}}'
)


def write_noise(latents: Path, speech: Path) -> None:
    """Write a latent and a speech shard of three clips, and the folders that they lie in."""
    random = np.random.default_rng(0)
    seen, heard = [], []
    for clip in "abc":
        about = {"__key__": clip, "json": to_json({"clip": clip})}
        planes = {name: random.normal(size=(20, 4, 8, 8)).astype(np.float16) for name in ("latents", "masked")}
        pose = random.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
        seen.append(about | {f"{name}.npy": npy(array) for name, array in {**planes, "pose": pose}.items()})
        heard.append(about | {"fbank.npy": npy(random.normal(size=(20, 104)).astype(np.float32))})
    for folder in (latents.parent, speech.parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_shard(latents, seen)
    write_shard(speech, heard)
