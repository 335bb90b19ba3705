"""What a GPU does in this project: training, loading, sampling, features and scores, at the sizes of shipped configs.

python benchmarks/gpu.py [--cpu]; writes benchmarks/results/gpu-<card>.json. Weights and data are random, nothing is
downloaded. `--cpu` runs the same code at toy sizes, to see that it runs; its figures say nothing and are only printed.
A part that fails, as for want of memory, has its reason in one line instead of figures, and the exit code is 1.

Shares of the peak count the arithmetic of `models.cost`, beside the card's published dense bf16 peak where that is
known, and beside a large product of matrices on the same card.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine, save

from syncdiff.config import Config, load_config, merge, parse_config
from syncdiff.device import choose_device
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.schedule import scheduler, training_schedule
from syncdiff.diffusion.ssim import SSIMLoss
from syncdiff.evaluation.metrics.lse import score
from syncdiff.models.autoencoder import build_autoencoder, encode, linear_part, start_linear
from syncdiff.models.cost import NetworkCosts
from syncdiff.models.denoiser import Denoiser
from syncdiff.models.syncnet import SyncNet, for_inference
from syncdiff.shards.tar import encode_npy, to_json, write_shard
from syncdiff.speech.avhubert import AVHubertEncoder
from syncdiff.speech.checkpoint import EncoderConfig
from syncdiff.speech.filterbank import STACKED_DIM
from syncdiff.speech.hidden_states import hidden_states
from syncdiff.synthesis.generate import Networks, Target, generate
from syncdiff.training.denoiser import muon
from syncdiff.training.loop import Run, Trainer
from syncdiff.training.source import Source
from syncdiff.training.windows import Windows, held_on

ROOT = Path(__file__).resolve().parents[1]
PEAK_TFLOPS = {"H100": 989, "H200": 989, "A100": 312, "L40S": 362, "L4": 121, "4090": 165}  # dense bf16, published
COMPILED = {"eager": None, "torch.compile": "default", "torch.compile with CUDA graphs": "reduce-overhead"}
TOY = {  # what --cpu makes of a config
    "faces": {"size": 64},
    "denoiser": {"channels": [32, 64], "head_dim": 32},
    "speech": {"layers": 1, "dim": 64},
    "train": {"batch_size": 4},
}


@dataclass(frozen=True)
class Sizes:
    """How much of everything is measured."""

    steps: int  # of training, timed
    frames: int  # sampled, of each clip
    clips: int  # sampled side by side
    seconds: int  # of sound and video that are encoded and scored
    loaded: int  # clips in a shard for the loader
    side: int  # of the matrices that measure the peak


GPU, CPU = Sizes(30, 200, 16, 10, 120, 8192), Sizes(2, 4, 2, 1, 3, 256)


def main() -> int:
    """Measure part by part, and keep what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="toy sizes on the CPU: prints, and keeps nothing")
    on_cpu = parser.parse_args().cpu
    device, sizes = choose_device("cpu" if on_cpu else "cuda"), CPU if on_cpu else GPU
    name = "cpu" if on_cpu else torch.cuda.get_device_name(device)
    peak = next((tflops for card, tflops in PEAK_TFLOPS.items() if card in name), None)
    measured_peak = attempted(lambda: {"tflops": matmul_tflops(device, sizes)}, device)
    figures: dict[str, Any] = {"card": name, "published_bf16_tflops": peak, "matrix_product": measured_peak}
    for label, part in parts(on_cpu, device, sizes).items():
        figures[label] = attempted(part, device)
        for line in figures[label].get("ways", {}).values():
            line["share_of_published_peak"] = peak and round(line["tflops"] / peak, 3)
        print(label, json.dumps(figures[label]), flush=True)
    if on_cpu:
        print(json.dumps({**figures, "machine": machine()}, indent=2))
    else:
        save(f"gpu-{'-'.join(name.split()).lower()}", figures)
    return int(any("failed" in part for part in figures.values() if isinstance(part, dict)))


def parts(on_cpu: bool, device: torch.device, sizes: Sizes) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what is measured, by name."""
    demo, lrs2 = (config_of(name, on_cpu) for name in ("demo_gpu", "lrs2"))
    wide = parse_config(merge(lrs2.model_dump(), {"faces": {"size": 64 if on_cpu else 256}}), need_root=False)
    return {
        "training, config/demo_gpu.yaml": lambda: training(demo, device, sizes),
        "training, config/lrs2.yaml": lambda: training(lrs2, device, sizes),
        "loading, config/lrs2.yaml": lambda: loading(lrs2, device, sizes),
        "sampling, 128 pixels": lambda: sampling(lrs2, device, sizes),
        "sampling, 256 pixels": lambda: sampling(wide, device, sizes),
        "AV-HuBERT Base": lambda: features(device, sizes),
        "SyncNet, 224 pixels": lambda: scoring(device, sizes),
    }


def config_of(name: str, on_cpu: bool) -> Config:
    """Return a shipped config, or what is a toy of it."""
    config = load_config(str(ROOT / f"config/{name}.yaml"), need_root=False)
    return parse_config(merge(config.model_dump(), TOY), need_root=False) if on_cpu else config


def attempted(part: Callable[[], dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """Return a part's figures with the peak of the GPU's memory, or the reason why there are none."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        figures = part()
    except Exception as error:  # a card is lent for minutes: the other parts go on
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
    if device.type == "cuda":
        figures["peak_memory_gb"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    return figures


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long `work` takes, up to its last kernel."""
    synchronise(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_tflops(device: torch.device, sizes: Sizes) -> float:
    """Return what a product of large bf16 matrices reaches, in TFLOP/s."""
    a = torch.randn(sizes.side, sizes.side, device=device, dtype=torch.bfloat16)
    seconds(lambda: [a @ a for _ in range(5)], device)
    return round(20 * 2 * sizes.side**3 / seconds(lambda: [a @ a for _ in range(20)], device) / 1e12, 4)


def training(config: Config, device: torch.device, sizes: Sizes) -> dict[str, Any]:
    """Time steps on one batch that lies on the device: as they are, compiled, and with CUDA graphs."""
    batch, gflop, n = random_batch(config, device), NetworkCosts(config).train_gflop(), config.train.batch_size
    autoencoder = random_autoencoder(config)
    components, mean = linear_part(autoencoder)
    structure = SSIMLoss(components.to(device), mean.to(device), config.faces.size)
    loss = DiffusionLoss(config, training_schedule(config.diffusion), structure)
    ways: dict[str, Any] = {}
    for way, mode in COMPILED.items():
        with tempfile.TemporaryDirectory() as folder:
            run = Run(Path(folder), config.train, 0, "", device, config.mixed_precision, 0.99, optimizer=muon)
            trainer = Trainer(Denoiser(config), run)
            if mode and device.type == "cuda":
                trainer.wrapped = torch.compile(trainer.wrapped, mode=mode)

            def steps(count: int, trainer: Trainer[Denoiser] = trainer) -> None:
                for _ in range(count):
                    trainer.step(loss, batch)

            first = seconds(lambda: steps(3), device)
            step = seconds(lambda: steps(sizes.steps), device) / sizes.steps
        figures = {"samples_per_s": n / step, "ms_a_step": 1e3 * step, "first_steps_s": first}
        ways[way] = {key: round(value, 2) for key, value in figures.items()}
        ways[way]["tflops"] = round(n / step * gflop / 1e3, 4)
        if device.type != "cuda":
            break
    return {"batch_size": n, "gflop_a_sample": round(gflop, 2), "ways": ways}


def random_batch(config: Config, device: torch.device) -> dict[str, torch.Tensor]:
    """Return a batch as `Windows.batches` yields it."""
    n, width, r = config.train.batch_size, config.speech.window_frames, config.priors.pose_size
    planes = {
        name: torch.randn(n, *NetworkCosts(config).latent_shape)
        for name in ("latents", "masked", "identity", "previous")
    }
    speech = {"speech": torch.randn(n, width, STACKED_DIM), "valid": torch.ones(n, width, dtype=torch.bool)}
    batch = {**planes, **speech, "pose": torch.rand(n, r, r, 3) * 2 - 1}
    return {name: value.to(device) for name, value in batch.items()}


def random_autoencoder(config: Config) -> Any:
    """Return an autoencoder that takes random components for the principal ones."""
    torch.manual_seed(0)
    values = 3 * config.autoencoder.patch_size**2
    components = torch.linalg.qr(torch.randn(values, values))[0][: config.autoencoder.latent_channels]
    autoencoder = build_autoencoder(config.autoencoder)
    start_linear(autoencoder, torch.zeros(values), components)
    return autoencoder.eval().requires_grad_(False)


def loading(config: Config, device: torch.device, sizes: Sizes) -> dict[str, Any]:
    """Take batches out of a synthetic shard as training does: how many samples a second there could be at most."""
    with tempfile.TemporaryDirectory() as folder:
        source = Source([synthetic_shard(config, Path(folder), sizes.loaded)], config.speech.feature_set, device)
        stream = Windows(
            source, config.speech.window_frames, config.train.batch_size, seed=0, with_mean=False
        ).batches()
        first = seconds(lambda: next(stream), device)
        batch = seconds(lambda: [next(stream) for _ in range(3 * sizes.steps)], device) / (3 * sizes.steps)
    return {
        "held_by": str(held_on(device)),
        "first_batch_s": round(first, 2),
        "ms_a_batch": round(1e3 * batch, 3),
        "samples_per_s": round(config.train.batch_size / batch),
    }


def synthetic_shard(config: Config, folder: Path, clips: int) -> tuple[Path, Path]:
    """Write latents, poses and features of clips of 75 frames."""
    rng, r, n = np.random.default_rng(0), config.priors.pose_size, 75
    latents = encode_npy(rng.standard_normal((n, *NetworkCosts(config).latent_shape)).astype(np.float16))
    latent_members = {
        "latents.npy": latents,
        "masked.npy": latents,
        "pose.npy": encode_npy(np.zeros((n, r, r, 3), np.uint8)),
    }
    speech_members = {
        f"{config.speech.feature_set}.npy": encode_npy(rng.standard_normal((n, STACKED_DIM)).astype(np.float32))
    }

    def samples(members: dict[str, bytes]) -> Iterator[dict[str, Any]]:
        for clip in range(clips):
            yield {"__key__": f"{clip:05d}", "json": to_json({"clip": str(clip)}), **members}

    write_shard(folder / "latents.tar", samples(latent_members))
    write_shard(folder / "speech.tar", samples(speech_members))
    return folder / "latents.tar", folder / "speech.tar"


def sampling(config: Config, device: torch.device, sizes: Sizes) -> dict[str, Any]:
    """Time the frames of one clip, and of several side by side: encoder, denoiser and decoder."""
    autoencoder = random_autoencoder(config).to(device)
    encode(autoencoder, np.zeros((1, config.faces.size, config.faces.size, 3), np.uint8))
    denoiser = Denoiser(config).to(device).eval()
    networks = Networks(config, denoiser, autoencoder, scheduler(config.diffusion, config.sample), device)
    figures: dict[str, Any] = {"steps": config.sample.steps, "pixels": config.faces.size}
    for clips in (1, sizes.clips):
        seconds(lambda clips=clips: sampled(networks, clips, 3), device)
        taken = seconds(lambda clips=clips: sampled(networks, clips, sizes.frames), device)
        figures[f"frames_per_s, clips: {clips}"] = round(clips * sizes.frames / taken, 1)
    return figures


def sampled(networks: Networks, clips: int, frames: int) -> None:
    """Generate clips of noise."""
    rng, size = np.random.default_rng(0), networks.config.faces.size
    crops = rng.integers(0, 256, (frames, size, size, 3), dtype=np.uint8)
    speech = rng.standard_normal((frames, STACKED_DIM)).astype(np.float32)
    targets = [Target(iter(crops), crops[0], speech, noise_seed=clip) for clip in range(clips)]
    assert sum(len(made) for made in generate(networks, targets)) == clips * frames


def features(device: torch.device, sizes: Sizes) -> dict[str, Any]:
    """Encode sound with a network of AV-HuBERT Base's layout."""
    encoder = AVHubertEncoder(EncoderConfig()).to(device).eval()
    rows = np.random.default_rng(0).standard_normal((25 * sizes.seconds, STACKED_DIM)).astype(np.float32)
    clips = [rows] * sizes.clips
    hidden_states(encoder, clips[:1], None)
    taken = seconds(lambda: hidden_states(encoder, clips, None), device)
    return {"times_real_time": round(sizes.clips * sizes.seconds / taken, 1)}


def scoring(device: torch.device, sizes: Sizes) -> dict[str, Any]:
    """Score video with a network of the published SyncNet's layout; decoding it is not in the time."""
    net = for_inference(SyncNet(), device)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (25 * sizes.seconds, 224, 224, 3), dtype=np.uint8)
    audio = rng.integers(-8000, 8000, 16_000 * sizes.seconds).astype(np.int16)
    score(iter(frames), audio, net)
    taken = seconds(lambda: score(iter(frames), audio, net), device)
    return {"video_seconds_per_s": round(sizes.seconds / taken, 1)}


if __name__ == "__main__":
    sys.exit(main())
