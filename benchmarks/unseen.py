"""The denoiser's error at the lips, of the people that it was trained on and of unseen ones.

python benchmarks/unseen.py [results/demo], from the folder that the run was made in; writes
benchmarks/results/unseen.json. The denoiser sees pure noise, all priors as they are, and the speech: what it then says
of z_0 is compared with the true latents: of the training with its variants, of unseen people without. Beside it
stands the error of a mouth that does not move: each clip's mean.
Of two denoisers, the one with less error on unseen people and more on those of the training has learned less by heart.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from machine import one_core, save
from torch import Tensor

from syncdiff.config import Config, parse_config
from syncdiff.diffusion.loss import weighted_mean
from syncdiff.models.denoiser import Denoiser, VisualPriors, load_denoiser
from syncdiff.pipeline.provenance import config_of
from syncdiff.priors import lip_region
from syncdiff.training.latents import latents_shard
from syncdiff.training.source import Shard, Source
from syncdiff.training.windows import Windows

CPU = torch.device("cpu")
BATCH, BATCHES = 64, 24


def main() -> None:
    """Measure both splits of one run."""
    one_core()
    folder, config, denoiser = trained_run(__doc__)
    speech = f"speech/{config.speech.feature_set}"
    tars = sorted((folder / "train/latents").glob("*.tar"))
    train = [(tar, folder / "train" / speech / tar.name) for tar in tars]
    with tempfile.TemporaryDirectory() as name:
        test = [
            (encoded(config, shard, folder / "autoencoder", Path(name)), folder / "test" / speech / shard.name)
            for shard in sorted((folder / "test/shards").glob("*.tar"))
        ]
        figures = {split: errors(config, denoiser, shards) for split, shards in (("train", train), ("test", test))}
    save("unseen", {"frames": BATCH * BATCHES, **figures})


def trained_run(description: str | None) -> tuple[Path, Config, Denoiser]:
    """Return the folder that the command line names, results/demo if none, and the config and denoiser of its run."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo"))
    folder = parser.parse_args().folder
    weights = folder / "runs/syncdiff/denoiser.safetensors"
    config = parse_config(config_of(weights))
    return folder, config, load_denoiser(config, weights, CPU)


def encoded(config: Config, shard: Path, autoencoder: Path, folder: Path) -> Path:
    """Encode a test shard; return its latents."""
    out = folder / shard.name
    latents_shard(config, shard, autoencoder, out, out.with_suffix(".parquet"), CPU)
    return out


@torch.inference_mode()
def errors(config: Config, denoiser: Denoiser, shards: Sequence[Shard]) -> dict[str, float]:
    """Return the mean squared error of z_0 at the lips at t = T, and that of lips that stand still."""
    lips = torch.from_numpy(lip_region(config.faces.size))[None, None]
    noise = torch.Generator().manual_seed(config.seed)
    last = torch.full((BATCH,), config.diffusion.train_timesteps - 1)
    sums = torch.zeros(2)
    source = Source(shards, config.speech.feature_set)
    stream = Windows(source, config.speech.window_frames, BATCH, config.seed).batches()
    for batch in islice(stream, BATCHES):
        latents = batch["latents"]
        predicted = denoise(denoiser, batch, torch.randn(latents.shape, generator=noise), last)
        sums += torch.stack([weighted_mean((z - latents).square(), lips) for z in (predicted, batch["mean"])])
    error, still = (sums / BATCHES).tolist()
    return {"error": round(error, 4), "still": round(still, 4)}


def denoise(denoiser: Denoiser, batch: dict[str, Tensor], noisy: Tensor, timesteps: Tensor) -> Tensor:
    """Return z_0 (B, C, h, w) as the denoiser predicts it with all priors and the speech."""
    priors = VisualPriors(**{name: batch[name] for name in ("masked", "identity", "pose", "previous")})
    with_speech = torch.ones(len(noisy), dtype=torch.bool)
    return denoiser(noisy, timesteps, priors, batch["speech"], batch["valid"], with_speech)


if __name__ == "__main__":
    main()
