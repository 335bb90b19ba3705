"""`syncdiff estimate`: what a full run of a config needs on disk, in core hours and in GPU hours, before it is started.

Every figure has a grade: `computed` from the config and the code's own shapes, `measured` (benchmarks/results, on the
machine named there, or a rate that the user measured), `published` by the corpus's authors, or `assumed`. A product
has the weakest grade of its factors, but for the number of frames, which all of them share and which has rows of its
own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from syncdiff.config import Config, Optimizer
from syncdiff.corpus.listing import TYPICAL_FRAMES, clip_counts
from syncdiff.errors import UserError
from syncdiff.media.audio import SAMPLES_PER_FRAME
from syncdiff.media.container import FPS
from syncdiff.models.cost import Networks, parameters
from syncdiff.shards.tar import AUGMENTED
from syncdiff.training.windows import ROUND_BYTES, ROUND_STEPS

MEASUREMENTS = Path(__file__).parents[1] / "benchmarks/results"

# Clips of each split as the corpora's own tables give them; lrs3's train and val are cut from one part, trainval.
PUBLISHED_CLIPS = {
    "lrs2": {"pretrain": 96_318, "train": 45_839, "val": 1_082, "test": 1_243},
    "lrs3": {"pretrain": 118_516, "trainval": 31_982, "test": 1_321},
}

TAR_BYTES_PER_MEMBER = 512 + 256  # of a clip: its header, and the padding to 512 bytes on average
NPY_HEADER = 128
TF32_TO_BF16 = 0.5  # peak of fp32 with TF32 convolutions over that of bf16, on GPUs since 2020
LAUNCH_S = 0.01  # assumed: the least time of one pass of a network, however small, for launching its kernels
PASSES_OF_A_STEP = 4  # forward, backward (as two), optimiser with EMA
LEAST = f"{1e3 * LAUNCH_S:g} ms a pass or more"
STATES_OF_TRAINING = 5  # fp32 copies of the denoiser: its weights, and in resume.pt weights, EMA and two moments
AVHUBERT_BASE_LAYERS = 12  # of the encoder in benchmarks/results/avhubert.json

NOT_COUNTED = "Not counted: the corpus itself, generated videos, evaluation and report, and retries."


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


@dataclass(frozen=True)
class Row:
    """One figure, with its unit, its grade and what it rests on."""

    section: str
    name: str
    value: float
    unit: str
    grade: str
    basis: str


@dataclass(frozen=True)
class Corpus:
    """How many clips and frames each split has, and how surely that is known."""

    clips: dict[str, int]
    frames: dict[str, int]  # at 25 fps
    grade: str
    basis: str

    @property
    def trained(self) -> int:
        """Frames of the splits that are trained on."""
        return sum(self.frames.get(split, 0) for split in ("pretrain", "train"))

    @property
    def prepared(self) -> int:
        """Frames that go through faces, priors, speech and shards: all but val's."""
        return self.trained + self.frames["test"]

    @property
    def prepared_clips(self) -> int:
        """Clips of the same splits."""
        return sum(n for split, n in self.clips.items() if split != "val")


def estimate(config: Config, gpu: Gpu) -> list[Row]:
    """Return every figure of a full run of `config`.

    Raises:
        UserError: the corpus is not where `corpus.root` says, a folder corpus has no root, the networks cannot be
            built, or the measurements are not there.
    """
    corpus, networks = corpus_size(config), Networks(config)
    return [
        *corpus_rows(corpus),
        *disk_rows(config, corpus, networks),
        *core_rows(config, corpus, networks),
        *network_rows(config, networks),
        *gpu_rows(config, corpus, networks, gpu),
    ]


# ---- corpus -----------------------------------------------------------------------------------------------------


def corpus_size(config: Config) -> Corpus:
    """Count clips by the corpus's lists where a root is named, else by its published totals; frames by mean length."""
    kind = config.corpus.kind
    if kind == "demo":
        length = round(config.corpus.demo.seconds * FPS)
        clips, typical, grade, basis = (
            clip_counts(config),
            dict.fromkeys(config.splits, length),
            "computed",
            "the config",
        )
    elif config.corpus.root:
        clips, typical = clip_counts(config), TYPICAL_FRAMES[kind]
        grade = "assumed" if kind == "folder" else "published"
        basis = "its lists, 10 s a clip" if kind == "folder" else "its lists, published mean length"
    elif kind in PUBLISHED_CLIPS:
        clips, typical, grade, basis = _published(config), TYPICAL_FRAMES[kind], "published", "totals and mean length"
    else:
        raise UserError("config: corpus.root: missing; a folder has no published totals, name the one to count in")
    return Corpus(clips, {split: n * typical[split] for split, n in clips.items()}, grade, basis)


def _published(config: Config) -> dict[str, int]:
    totals = dict(PUBLISHED_CLIPS[config.corpus.kind])
    if "trainval" in totals:
        whole = totals.pop("trainval")
        totals["val"] = round(config.corpus.val_fraction * whole)  # by speakers there: the clips are about as many
        totals["train"] = whole - totals["val"]
    return {split: totals[split] for split in config.splits}


def sampled_frames(config: Config, corpus: Corpus) -> int:
    """Return how many frames the denoiser generates: of the test clips that are sampled, under every protocol."""
    clips, frames = corpus.clips["test"], corpus.frames["test"]
    shards = math.ceil(frames / config.plan.frames_per_shard)
    share = min(1.0, (config.sample.max_clips or clips) * shards / clips) if clips else 0
    return round(frames * share) * len(config.evaluate.protocols)


def corpus_rows(corpus: Corpus) -> list[Row]:
    """Clips and frames of each split, and hours of all."""
    rows = [Row("corpus", f"{split}: clips", n, "", corpus.grade, corpus.basis) for split, n in corpus.clips.items()]
    rows += [Row("corpus", f"{split}: frames", n, "", corpus.grade, corpus.basis) for split, n in corpus.frames.items()]
    hours = sum(corpus.frames.values()) / FPS / 3600
    return [*rows, Row("corpus", "all splits", hours, "h", corpus.grade, corpus.basis)]


# ---- disk -------------------------------------------------------------------------------------------------------


def disk_rows(config: Config, corpus: Corpus, networks: Networks) -> list[Row]:
    """Bytes of each stage's shards, and of the run's weights."""
    crop, crop_grade, crop_basis = crop_bytes(config)
    rows = []
    for stage, members in members_of(config, networks, crop).items():
        clips, frames = corpus.prepared_clips, corpus.prepared
        if stage == "latents":
            clips, frames = clips - corpus.clips["test"], corpus.trained
        size = frames * sum(members.values()) + clips * overhead_of(members)
        grade = crop_grade if "crop.mp4" in members else "computed"
        basis = ", ".join(f"{Path(name).stem} {n:g}" for name, n in members.items()) + " B a frame"
        basis += f"; {crop_basis}" if "crop.mp4" in members else ""
        rows.append(Row("disk", stage, size / 1e9, "GB", grade, basis))
    rows.append(Row("disk", "all shards", sum(row.value for row in rows), "GB", crop_grade, "the sum"))
    run = STATES_OF_TRAINING * 4 * parameters(networks.denoiser)
    return [*rows, Row("disk", "one run", run / 1e9, "GB", "computed", "weights and checkpoint of the denoiser, fp32")]


def members_of(config: Config, networks: Networks, crop: float) -> dict[str, dict[str, float]]:
    """Return, for each stage that writes shards, its members with their bytes a frame.

    Args:
        crop: bytes a frame of crop.mp4.
    """
    features = config.speech.feature_set
    faces: dict[str, float] = {"crop.mp4": crop, "landmarks.npy": 68 * 2 * 4, "transform.npy": 2 * 3 * 4}  # float32
    faces["audio.wav"] = 2 * SAMPLES_PER_FRAME  # int16
    pose: dict[str, float] = {"pose.npy": 3 * config.priors.pose_size**2}  # uint8
    speech: dict[str, float] = {f"{features}.npy": 4 * networks.speech_dim}  # float32
    latents: dict[str, float] = dict.fromkeys(
        ("latents.npy", "masked.npy"), 2 * math.prod(networks.latent_shape)
    )  # float16
    latents |= pose
    varied = {AUGMENTED + name: size for name, size in latents.items()} if config.latents.varied else {}
    stored = {"latents": latents | varied} if config.latents.stored else {}
    return {"faces": faces, "priors": pose, "speech": speech, "shards": faces | pose | speech, **stored}


def overhead_of(members: Mapping[str, float]) -> int:
    """Return the bytes that a clip takes in a tar beside its frames: headers, padding, and the JSON's two blocks."""
    arrays = sum(name.endswith(".npy") for name in members)
    return 2 * 512 + len(members) * TAR_BYTES_PER_MEMBER + arrays * NPY_HEADER


def crop_bytes(config: Config) -> tuple[float, str, str]:
    """Return the measured bytes a frame of crop.mp4, their grade and basis; another size is scaled by area."""
    stages, size = measured("stages"), config.faces.size
    near = nearest(stages["crops"], size)
    value = stages["crops"][str(near)]["crop_bytes_per_frame"] * (size / near) ** 2
    if near == size:
        return value, "measured", f"crops of {stages['source']}"
    return value, "assumed", f"crops of {stages['source']} at {near} px, scaled by area"


# ---- core hours -------------------------------------------------------------------------------------------------


def core_rows(config: Config, corpus: Corpus, networks: Networks) -> list[Row]:
    """Core hours of the stages that run on CPUs, from what was measured."""
    stages, size = measured("stages"), config.faces.size
    near = nearest(stages["crops"], size)
    ms = stages["crops"][str(near)]["cpu_ms_per_frame"]
    basis = f"{near} px crops, {stages['pictures']} pictures of {stages['source']}; {machine(stages)}"
    grade = "measured" if near == size else "assumed"
    n = corpus.prepared
    seconds = {"faces": ms["faces"] * n / 1e3, "priors": ms["priors"] * n / 1e3, "shards": ms["shards"] * n / 1e3}
    grades = dict.fromkeys(seconds, grade)
    if config.faces.backend != "mediapipe" or stages["pictures"] != pictures_of(config):
        grades["faces"] = "assumed"  # as fast with other pictures, or another landmarker
    rows = _render_rows(config, corpus)
    clips = sum(corpus.clips.values())
    plan = clips * stages["plan_cpu_s_per_clip"] / 3600
    rows.append(Row("cores", "plan", plan, "core h", "measured", f"a clip each; {machine(stages)}"))
    rows += [Row("cores", stage, s / 3600, "core h", grades[stage], basis) for stage, s in seconds.items()]
    rows.append(_speech_row(config, n, ms, basis, grade))
    if not config.latents.stored:
        decoded = encoded_frames(config, corpus, networks) / (2 if config.latents.varied else 1)
        decoding = ms["priors"] * decoded / 3.6e6
        rows.append(
            Row("cores", "train", decoding, "core h", "assumed", "decoding crops in training: as long as priors")
        )
    weakest = "assumed" if any(row.grade == "assumed" for row in rows) else "measured"
    return [*rows, Row("cores", "all", sum(row.value for row in rows), "core h", weakest, "the sum, without networks")]


def pictures_of(config: Config) -> str:
    """Return the size of a corpus's pictures, "" where it is not known."""
    side = {"lrs2": 160, "lrs3": 224, "demo": config.corpus.demo.size}.get(config.corpus.kind)
    return f"{side}x{side}" if side else ""


def _render_rows(config: Config, corpus: Corpus) -> list[Row]:
    if config.corpus.kind != "demo":
        return []
    demo, size = measured("demo_corpus"), config.corpus.demo.size
    hours = sum(corpus.frames.values()) / demo["fps_per_core"] * (size / demo["size"]) ** 2 / 3600
    grade = "measured" if size == demo["size"] else "assumed"
    basis = f"rendered at {demo['size']} px on {machine(demo)}" + ("" if grade == "measured" else ", scaled by area")
    return [Row("cores", "corpus", hours, "core h", grade, basis)]


def _speech_row(config: Config, n_frames: int, ms: Mapping[str, float], basis: str, grade: str) -> Row:
    features = config.speech.feature_set
    if not features.startswith("avhubert"):
        return Row("cores", "speech", ms[f"speech {features}"] * n_frames / 3.6e6, "core h", grade, basis)
    report = measured("avhubert")
    whole = n_frames / FPS / report["times_real_time"]["native, batched"]["cpu"]
    seconds = whole * config.speech.frozen_layers / AVHUBERT_BASE_LAYERS + ms["speech fbank"] * n_frames / 1e3
    return Row(
        "cores", "speech", seconds / 3600, "core h", "assumed", f"AV-HuBERT Base by its layers, on {machine(report)}"
    )


def measured(name: str) -> dict[str, Any]:
    """Read benchmarks/results/<name>.json."""
    path = MEASUREMENTS / f"{name}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise UserError(f"{path}: no measurements there; run from a clone, or `python benchmarks/{name}.py`") from None


def machine(report: Mapping[str, Any]) -> str:
    """Name the machine that a benchmark ran on."""
    return f"{report['machine']['cpu']}, {report['machine']['cores']} cores"


def nearest(crops: Mapping[str, Any], size: int) -> int:
    """Return the measured crop size whose area is nearest, as a ratio, to that of `size`."""
    return min(map(int, crops), key=lambda known: abs(math.log(known / size)))


# ---- networks and GPU hours --------------------------------------------------------------------------------------


def network_rows(config: Config, networks: Networks) -> list[Row]:
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


def gpu_rows(config: Config, corpus: Corpus, networks: Networks, gpu: Gpu) -> list[Row]:
    """GPU hours of every stage that runs a network over more than a few frames, and their price."""
    seen = (2 if config.latents.varied else 1) * corpus.trained  # frames of an epoch
    bf16 = config.mixed_precision != "no"
    latents = gpu.hours(2 * seen * networks.encode_gflop(), bf16)  # of frames and of masked frames
    basis = f"{gpu.share(bf16)}; decoding the crops not in it"
    if not config.latents.stored:
        encoded = encoded_frames(config, corpus, networks)
        latents = gpu.hours(2 * encoded * networks.encode_gflop(), bf16)
        basis = f"{encoded:,} frames encoded while training: {basis}"
    rows = [Row("gpu", "latents", latents, "GPU h", "assumed", basis)]
    if not config.autoencoder.pretrained:
        rows.append(_training("autoencoder", config.autoencoder, bf16, networks.autoencoder_gflop(), gpu))
    if not config.syncnet.weights:
        rows.append(_training("syncnet", config.syncnet, bf16, networks.syncnet_gflop(), gpu))
    train = _training("train", config.train, bf16, networks.train_gflop(), gpu, gpu.samples_per_s)
    epochs = config.train.steps * config.train.batch_size / max(1, seen)
    rows.append(replace(train, basis=f"{figure(epochs)} epochs: {train.basis}"))
    sampled = sampled_frames(config, corpus)
    batches = sampled / config.sample.batch_clips
    launching = batches * (networks.batches_per_frame + 2) * LAUNCH_S / 3600  # and encoder and decoder
    sampling = max(gpu.hours(sampled * networks.frame_gflop(), bf16), launching)
    basis = f"{sampled:,} frames in {config.sample.batch_clips} clips at once; {gpu.share(bf16)}"
    rows.append(Row("gpu", "sample", sampling, "GPU h", "assumed", f"{basis}; {LEAST}"))
    total = sum(row.value for row in rows)
    rows.append(Row("gpu", "all", total, "GPU h", "assumed", "the sum"))
    if gpu.price is not None:
        rows.append(Row("gpu", "price", total * gpu.price, "", "assumed", f"{gpu.price:g} a GPU hour, as given"))
    return rows


def encoded_frames(config: Config, corpus: Corpus, networks: Networks) -> int:
    """Return how many frames training reads and encodes, where latents are not stored: those of each round."""
    seen = (2 if config.latents.varied else 1) * corpus.trained
    size = 2 * 2 * math.prod(networks.latent_shape) + 3 * config.priors.pose_size**2 + 4 * networks.speech_dim
    if seen * size <= ROUND_BYTES:
        return seen
    shard = config.plan.frames_per_shard * (2 if config.latents.varied else 1)
    in_round = shard * max(1, ROUND_BYTES // 2 // (shard * size))
    draws = max(1, round(ROUND_STEPS * config.train.batch_size / in_round))
    return math.ceil(config.train.steps * config.train.batch_size / draws)


def _training(
    name: str, settings: Optimizer, bf16: bool, sample_gflop: float, gpu: Gpu, rate: float | None = None
) -> Row:
    """Return the row of one training; `rate` is a measured one, in samples/s."""
    samples = settings.steps * settings.batch_size
    drawn = f"{settings.steps:,} steps of {settings.batch_size}"
    if rate is not None:
        return Row("gpu", name, samples / rate / 3600, "GPU h", "measured", f"{drawn} at {rate:g} samples/s, as given")
    launching = settings.steps * PASSES_OF_A_STEP * LAUNCH_S / 3600
    hours = max(gpu.hours(samples * sample_gflop, bf16), launching)
    return Row("gpu", name, hours, "GPU h", "assumed", f"{drawn}; {gpu.share(bf16)}; {LEAST}")


# ---- printing ---------------------------------------------------------------------------------------------------


def as_dicts(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON can hold them."""
    return [asdict(row) for row in rows]


def print_rows(rows: list[Row]) -> None:
    """Print a table to a terminal, and one plain line a row to anything else."""
    console = Console(highlight=False)
    if console.is_terminal:
        table = Table("", "", "figure", "", "grade", "basis")
        for row in rows:
            table.add_row(row.section, row.name, figure(row.value), row.unit, row.grade, row.basis)
        console.print(table)
    else:
        for row in rows:
            amount = f"{figure(row.value)} {row.unit}".strip()
            print(f"{row.section:<8} {row.name:<26} {amount:>20}  {row.grade:<9}  {row.basis}")
    print(NOT_COUNTED)


def figure(value: float) -> str:
    """Write a number with three digits, and large ones in full."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
