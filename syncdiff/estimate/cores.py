"""Core hours of the stages that run on CPUs, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping

from syncdiff.config import Config
from syncdiff.corpus.kind import kind_of
from syncdiff.estimate.corpus import CorpusSize, encoded_frames
from syncdiff.estimate.measurements import machine, measured, nearest
from syncdiff.estimate.rows import Row
from syncdiff.media.container import FPS
from syncdiff.models.cost import NetworkCosts
from syncdiff.registry.corpora import CORPORA
from syncdiff.registry.speech_encoders import encoder_of

PUBLISHED_SYNCNET = (1.0, 224)  # width, and side of its pictures
MEASURED_SYNCNET = (1.0, 64)  # what another one's cost is scaled from
AVHUBERT_BASE_LAYERS = 12  # of the encoder in benchmarks/results/avhubert.json


def core_rows(config: Config, corpus: CorpusSize, networks: NetworkCosts) -> list[Row]:
    """Core hours of each stage but the networks' own, and their sum."""
    stages, size = measured("stages"), config.faces.size
    near = nearest(stages["crops"], size)
    ms = stages["crops"][str(near)]["cpu_ms_per_frame"]
    basis = f"{near} px crops, {stages['pictures']} pictures of {stages['source']}; {machine(stages)}"
    grade = "measured" if near == size else "assumed"
    grades = {"faces": grade, "priors": grade, "shards": grade}
    if config.faces.backend != "mediapipe" or stages["pictures"] != frame_size(config):
        grades["faces"] = "assumed"  # as fast with frames of another size, or another landmarker
    n, clips = corpus.prepared, sum(corpus.clips.values())
    plan = clips * stages["plan_cpu_s_per_clip"] / 3600
    rows = _render_rows(config, corpus)
    rows.append(Row("cores", "plan", plan, "core h", "measured", f"a clip each; {machine(stages)}"))
    rows += [Row("cores", name, ms[name] * n / 3.6e6, "core h", graded, basis) for name, graded in grades.items()]
    rows.append(_speech_row(config, n, ms, basis, grade))
    rows += _measures_rows(config, corpus)
    if not config.latents.stored:
        decoding = ms["priors"] * encoded_frames(config, corpus, networks) / 3.6e6
        as_long = "decoding crops in training: as long as priors"
        rows.append(Row("cores", "train", decoding, "core h", "assumed", as_long))
    weakest = "assumed" if any(row.grade == "assumed" for row in rows) else "measured"
    return [*rows, Row("cores", "all", sum(row.value for row in rows), "core h", weakest, "the sum, without networks")]


def frame_size(config: Config) -> str:
    """Return the size of a corpus's frames, "" where it is not known."""
    side = kind_of(config).frame_side(config)
    return f"{side}x{side}" if side else ""


def _render_rows(config: Config, corpus: CorpusSize) -> list[Row]:
    if not CORPORA[config.corpus.kind].rendered:
        return []
    demo, size = measured("demo_corpus"), config.corpus.demo.size
    hours = sum(corpus.frames.values()) / demo["fps_per_core"] * (size / demo["size"]) ** 2 / 3600
    grade = "measured" if size == demo["size"] else "assumed"
    basis = f"rendered at {demo['size']} px on {machine(demo)}" + ("" if grade == "measured" else ", scaled by area")
    return [Row("cores", "corpus", hours, "core h", grade, basis)]


def _measures_rows(config: Config, corpus: CorpusSize) -> list[Row]:
    """The stage `measures`, where clips are curated: on CPUs, its SyncNet too."""
    if not config.curate.wanted:
        return []
    report, net = measured("curate"), curating_syncnet(config)
    known = report["cpu_ms_per_frame"]
    same = _name(*net) in known
    ms = known[_name(*net)] if same else known["none"] + _times(net) * (known[_name(*MEASURED_SYNCNET)] - known["none"])
    seconds = ms * corpus.prepared / 1e3
    scaled = "" if same else f", scaled from {_name(*MEASURED_SYNCNET)}"
    basis = f"{seconds / corpus.prepared_clips:.2g} core s a clip: SyncNet of width {_name(*net)}{scaled};"
    basis += f" {report['pictures']} pictures of {report['source']}; {machine(report)}"
    grade = "measured" if same and report["pictures"] == frame_size(config) else "assumed"
    return [Row("cores", "measures", seconds / 3600, "core h", grade, basis)]


def curating_syncnet(config: Config) -> tuple[float, int]:
    """Return width and image side of the SyncNet that curates; a file is taken for the published one."""
    own = config.curate.syncnet == "sync_expert" or (config.curate.syncnet == "syncnet" and not config.syncnet.weights)
    return (config.syncnet.width, config.syncnet.image_size) if own else PUBLISHED_SYNCNET


def _name(width: float, image_size: int) -> str:
    """Return how benchmarks/results/curate.json names a SyncNet."""
    return f"{width:g} at {image_size} px"


def _times(net: tuple[float, int]) -> float:
    """Return how often the products of `MEASURED_SYNCNET` a SyncNet has, about."""
    (width, side), (known_width, known_side) = net, MEASURED_SYNCNET
    return (width / known_width * side / known_side) ** 2


def _speech_row(config: Config, n_frames: int, ms: Mapping[str, float], basis: str, grade: str) -> Row:
    features = config.speech.feature_set
    if encoder_of(features)[0] != "avhubert":
        if f"speech {features}" not in ms:
            grade, basis = "assumed", f"{features} was not measured: taken to cost what fbank does"
        cost = ms.get(f"speech {features}", ms["speech fbank"])
        return Row("cores", "speech", cost * n_frames / 3.6e6, "core h", grade, basis)
    report = measured("avhubert")
    whole = n_frames / FPS / report["times_real_time"]["native, batched"]["cpu"]
    seconds = whole * config.speech.frozen_layers / AVHUBERT_BASE_LAYERS + ms["speech fbank"] * n_frames / 1e3
    return Row(
        "cores", "speech", seconds / 3600, "core h", "assumed", f"AV-HuBERT Base by its layers, on {machine(report)}"
    )
