"""Train the denoiser, its bottleneck and the speech layers above N, from latent shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor

from syncdiff.config import Config
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.schedule import training_schedule
from syncdiff.errors import UserError
from syncdiff.models.denoiser import Denoiser, save_denoiser
from syncdiff.shards.windows import Pair, windows
from syncdiff.training.loop import Run, fit


def train_denoiser(config: Config, shards: Sequence[Pair], out: Path, device: torch.device) -> None:
    """Train on latent shards, each with its speech shard; write the averaged weights to `out`/denoiser.safetensors."""
    torch.manual_seed(config.seed)
    denoiser = Denoiser(config)
    run = Run(
        folder=out,
        settings=config.train,
        seed=config.seed,
        fingerprint=config.model_dump_json(include={"speech", "denoiser", "diffusion", "train", "priors", "seed"}),
        device=device,
        mixed_precision=_precision(config.train.mixed_precision, device),
        ema_decay=config.train.ema_decay,
        label="train",
    )
    loss = DiffusionLoss(config, training_schedule(config.diffusion))
    trained = fit(denoiser, loss, lambda done: _batches(config, shards, done), run)
    state = PartialState()
    if state.is_main_process:
        save_denoiser(trained, out / "denoiser.safetensors")
    state.wait_for_everyone()


def _batches(config: Config, shards: Sequence[Pair], done: int) -> Iterator[dict[str, Tensor]]:
    """Yield this process's share of each step's batch, on the training device."""
    state = PartialState()
    if config.train.batch_size % state.num_processes:
        raise UserError(
            f"config: train.batch_size: {config.train.batch_size} cannot be shared by {state.num_processes} processes"
        )
    stream = windows(
        shards,
        config.speech.feature_set,
        config.speech.window_frames,
        config.train.batch_size,
        config.seed,
        start_step=done,
        rank=state.process_index,
        world=state.num_processes,
    )
    for batch in stream:
        yield {name: value.to(state.device, non_blocking=True) for name, value in batch.items()}


def _precision(wanted: str, device: torch.device) -> str:
    """Resolve `auto`: bf16 on a GPU; fp32 on a CPU, where autocast to bf16 was measured to be slower."""
    return wanted if wanted != "auto" else ("bf16" if device.type == "cuda" else "no")
