"""Sizes of the networks, and GPU hours of the stages that run one over more than a few frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from syncdiff.config import Config, Optimizer, Sample
from syncdiff.errors import UserError
from syncdiff.estimate.corpus import CorpusSize, encoded_frames, sampled_frames, validated_frames
from syncdiff.estimate.rows import Row, figure
from syncdiff.models.cost import NetworkCosts, parameters
from syncdiff.training.windows import RUN_FRAMES

TF32_TO_BF16 = 0.5  # peak of fp32 with TF32 convolutions over that of bf16, on GPUs since 2020
LAUNCH_S = 0.01  # assumed: the least time of one pass of a network, however small, for launching its kernels
PASSES_OF_A_STEP = 4  # forward, backward (as two), optimiser with EMA
LEAST = f"{1e3 * LAUNCH_S:g} ms a pass or more"


@dataclass(frozen=True)
class Gpu:
    """What is assumed of the GPU: `peak_tflops` of dense bf16 and the share of it that a run gets, in (0, 1].

    samples_per_s: measured rate of the denoiser's training, which then stands in for the assumption.
    price: of a GPU hour.
    """

    peak_tflops: float = 312.0
    utilisation: float = 0.1
    samples_per_s: float | None = None
    price: float | None = None

    def __post_init__(self) -> None:
        limits = {"peak_tflops": math.inf, "utilisation": 1.0, "samples_per_s": math.inf, "price": math.inf}
        for name, limit in limits.items():
            value = getattr(self, name)
            if value is not None and not (0 < value <= limit and math.isfinite(value)):
                option = "gpu-samples-per-s" if name == "samples_per_s" else name.replace("_", "-")
                most = " and at most 1" if limit == 1 else ""
                raise UserError(f"--{option} {value:g}: must be a number above 0{most}")

    def hours(self, gflop: float, bf16: bool) -> float:
        """Return the hours that so many GFLOP take."""
        return gflop / (1e3 * self.peak_tflops * self.utilisation * (1 if bf16 else TF32_TO_BF16)) / 3600

    def share(self, bf16: bool) -> str:
        """Say in words what `hours` assumes."""
        peak = f"{self.peak_tflops:g} TFLOP/s" if bf16 else f"{TF32_TO_BF16 * self.peak_tflops:g} TFLOP/s (fp32, TF32)"
        return f"{self.utilisation:.3g} of {peak}"


def network_rows(config: Config, networks: NetworkCosts) -> list[Row]:
    """Sizes of the networks and the cost of one sample."""
    shape = "x".join(map(str, networks.latent_shape))
    rows = [
        ("denoiser", parameters(networks.denoiser) / 1e6, "M parameters", f"latents of {shape}, speech encoder in it"),
        ("autoencoder", parameters(networks.autoencoder) / 1e6, "M parameters", f"{config.faces.size} px crops"),
        ("denoiser, training sample", networks.train_gflop(), "GFLOP", "forward and backward, batch 1"),
        (
            "output frame",
            networks.frame_gflop(),
            "GFLOP",
            f"encode, {networks.passes_per_frame} passes of the denoiser, decode; batch 1",
        ),
    ]
    return [Row("networks", name, value, unit, "computed", basis) for name, value, unit, basis in rows]


def gpu_rows(config: Config, corpus: CorpusSize, networks: NetworkCosts, gpu: Gpu) -> list[Row]:
    """GPU hours of each stage, their sum and their price."""
    bf16 = config.mixed_precision != "no"
    rows = [_latents(config, corpus, networks, gpu, bf16)]
    if config.autoencoder.steps and not config.autoencoder.pretrained:
        rows.append(_training("autoencoder", config.autoencoder, bf16, networks.autoencoder_gflop(), gpu))
    if not config.syncnet.weights:
        rows.append(_training("syncnet", config.syncnet, bf16, networks.syncnet_gflop(), gpu))
    if config.curate.wanted and config.curate.syncnet == "sync_expert":
        rows.append(_training("sync_expert", config.syncnet, bf16, networks.syncnet_gflop(), gpu))
    train = _training("train", config.train, bf16, networks.train_gflop(), gpu, gpu.samples_per_s)
    epochs = config.train.steps * config.train.batch_size / max(1, corpus.trained)
    rows.append(replace(train, basis=f"{figure(epochs)} epochs: {train.basis}"))
    if (second := config.second_stage).steps:
        a_run = RUN_FRAMES * networks.second_stage_gflop()
        passes = PASSES_OF_A_STEP * second.sample_steps
        rows.append(_training("train, second stage", second, bf16, a_run, gpu, passes=passes))
    if looked_at := validated_frames(config, corpus):
        rows.append(_sampling("train, looks", looked_at, Sample().batch_clips, networks, gpu, bf16))
    rows.append(_sampling("sample", sampled_frames(config, corpus), config.sample.batch_clips, networks, gpu, bf16))
    total = sum(row.value for row in rows)
    rows.append(Row("gpu", "all", total, "GPU h", "assumed", "the sum"))
    if gpu.price is not None:
        rows.append(Row("gpu", "price", total * gpu.price, "", "assumed", f"{gpu.price:g} a GPU hour, as given"))
    return rows


def _latents(config: Config, corpus: CorpusSize, networks: NetworkCosts, gpu: Gpu, bf16: bool) -> Row:
    n_frames = corpus.trained if config.latents.stored else encoded_frames(config, corpus, networks)
    hours = gpu.hours(2 * n_frames * networks.encode_gflop(), bf16)  # of frames and of masked frames
    while_training = "" if config.latents.stored else f"{n_frames:,} frames encoded while training: "
    basis = f"{while_training}{gpu.share(bf16)}; decoding the crops not in it"
    return Row("gpu", "latents", hours, "GPU h", "assumed", basis)


def _training(
    name: str,
    settings: Optimizer,
    bf16: bool,
    sample_gflop: float,
    gpu: Gpu,
    rate: float | None = None,
    passes: int = PASSES_OF_A_STEP,
) -> Row:
    """Return the row of one training; `rate` is a measured one, in samples/s."""
    samples = settings.steps * settings.batch_size
    drawn = f"{settings.steps:,} steps of {settings.batch_size}"
    if rate is not None:
        return Row("gpu", name, samples / rate / 3600, "GPU h", "measured", f"{drawn} at {rate:g} samples/s, as given")
    launching = settings.steps * passes * LAUNCH_S / 3600
    hours = max(gpu.hours(samples * sample_gflop, bf16), launching)
    return Row("gpu", name, hours, "GPU h", "assumed", f"{drawn}; {gpu.share(bf16)}; {LEAST}")


def _sampling(name: str, sampled: int, side_by_side: int, networks: NetworkCosts, gpu: Gpu, bf16: bool) -> Row:
    passes = networks.batches_per_frame + 2  # of the denoiser, and of encoder and decoder
    launching = sampled / side_by_side * passes * LAUNCH_S / 3600
    hours = max(gpu.hours(sampled * networks.frame_gflop(), bf16), launching)
    basis = f"{sampled:,} frames in {side_by_side} clips at once; {gpu.share(bf16)}; {LEAST}"
    return Row("gpu", name, hours, "GPU h", "assumed", basis)
