"""CPU seconds of a step of the demo denoiser's training on one core: fp32, bf16, and with torch's fused attention.

python benchmarks/training.py; writes benchmarks/results/training.json. Weights and batches are random: they do not
change the time. The three take steps in turn; each one's best and middle count.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from machine import one_core, save
from torch import Tensor
from torch.nn.attention import SDPBackend

from syncdiff.config import Config
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.schedule import training_schedule
from syncdiff.diffusion.ssim import SSIMLoss
from syncdiff.models.denoiser import Denoiser
from syncdiff.speech.filterbank import STACKED_DIM
from syncdiff.training.denoiser import muon
from syncdiff.training.loop import Run, Trainer, keep_memory

CPU = torch.device("cpu")
STEPS = 15
WAYS = {  # precision, attention where it is chosen
    "fp32": ("no", SDPBackend.MATH),
    "bf16": ("bf16", SDPBackend.MATH),
    "bf16, fused attention": ("bf16", SDPBackend.FLASH_ATTENTION),
}


def main() -> None:
    """Let three trainers take steps in turn."""
    one_core()
    keep_memory()
    config = Config()
    values = 3 * config.autoencoder.patch_size**2
    linear = torch.randn(values, config.autoencoder.latent_channels), torch.zeros(values)
    loss = DiffusionLoss(config, training_schedule(config.diffusion), SSIMLoss(*linear, config.faces.size))
    batch = random_batch(config)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        trainers = {way: trainer(config, Path(folder, way), precision) for way, (precision, _) in WAYS.items()}
        for _ in range(STEPS):
            for way, (_, attention) in WAYS.items():
                with patch("syncdiff.device.SDPBackend.MATH", attention):
                    start = time.process_time()
                    trainers[way].step(loss, batch)
                    seconds[way].append(time.process_time() - start)
    best = {way: min(each) for way, each in seconds.items()}
    save(
        "training",
        {
            "seconds_a_step": {
                way: {"best": round(best[way], 3), "median": round(median(seconds[way]), 3)} for way in WAYS
            },
            "samples_per_s": {way: round(config.train.batch_size / best[way], 1) for way in WAYS},
            "minutes_of_the_demos_steps": {way: round(config.train.steps * best[way] / 60, 1) for way in WAYS},
            "fp32_over_bf16": round(best["fp32"] / best["bf16"], 2),
            "fp32_over_bf16_with_fused_attention": round(best["fp32"] / best["bf16, fused attention"], 2),
        },
    )


def trainer(config: Config, folder: Path, precision: str) -> Trainer[Denoiser]:
    """Return a training of an untrained denoiser that has taken no step."""
    run = Run(folder, config.train, config.seed, "", CPU, precision, config.train.ema_decay, optimizer=muon)
    return Trainer(Denoiser(config), run)


def random_batch(config: Config) -> dict[str, Tensor]:
    """Return a batch as `shards.windows` yields it."""
    n, channels, side = (
        config.train.batch_size,
        config.autoencoder.latent_channels,
        config.faces.size // config.autoencoder.patch_size,
    )
    planes = {name: torch.randn(n, channels, side, side) for name in ("latents", "masked", "identity", "previous")}
    width, pose = config.speech.window_frames, config.priors.pose_size
    speech = {"speech": torch.randn(n, width, STACKED_DIM), "valid": torch.ones(n, width, dtype=torch.bool)}
    return {**planes, **speech, "pose": torch.randn(n, pose, pose, 3)}


if __name__ == "__main__":
    main()
