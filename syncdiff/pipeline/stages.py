"""The stages of the workflow: the version of each one's code, and the config keys that it reads.

A rule hands its stage the slice of the config below and the version as parameters, so that Snakemake reruns exactly
what a changed key or a raised version concerns. Raise the version when a change of code changes what a stage writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from syncdiff.config import ROOT_ELSEWHERE, Config, merge


@dataclass(frozen=True)
class Stage:
    """Version of a stage's code and the (dotted) keys of config.yaml that it reads."""

    version: int
    keys: tuple[str, ...]


MODEL_KEYS = (
    "speech",
    "denoiser",
    "diffusion",
    "priors.pose_size",
    "autoencoder.latent_channels",
    "autoencoder.patch_size",
    "faces.size",
    "mixed_precision",
    "seed",
)

VALIDATION_KEYS = ("validation", "faces")  # what `train` reads too, with validation.every; `faces`: the landmarker's

SCORING_KEYS = (
    "evaluate.protocols",
    "evaluate.inception",
    "evaluate.alexnet",
    "evaluate.facenet",
    "evaluate.i3d",
    "evaluate.external",
    "evaluate.bootstrap",
)

STAGES = {
    "corpus": Stage(7, ("corpus", "seed")),
    "plan": Stage(3, ("corpus", "plan")),
    "faces": Stage(7, ("faces", "corpus.kind", "corpus.root")),
    "priors": Stage(2, ("priors",)),
    "speech": Stage(1, ("speech.checkpoint",)),
    "shards": Stage(1, ("faces", "priors", "speech.encoder", "speech.checkpoint", "speech.frozen_layers")),
    "ledger": Stage(1, ("max_failed_fraction", "speech.encoder", "speech.checkpoint", "speech.frozen_layers")),
    "autoencoder": Stage(7, ("autoencoder", "faces.size", "mixed_precision", "seed")),
    "latents": Stage(5, ("faces.size", "mixed_precision")),
    "syncnet": Stage(5, ("syncnet", "corpus", "faces.size", "mixed_precision", "seed")),  # the corpus names the scorer
    "measures": Stage(2, ("faces.size",)),
    "curation": Stage(2, ("curate", "max_failed_fraction")),
    "train": Stage(12, (*MODEL_KEYS, "latents", "pretraining", "train", "second_stage")),
    "sample": Stage(13, (*MODEL_KEYS, "sample", "evaluate.protocols")),
    "baseline": Stage(5, ("faces.size", "sample.max_clips", "mixed_precision")),
    "evaluate": Stage(8, (*SCORING_KEYS, "faces", "sample.max_clips", "seed")),
    "table": Stage(2, ("evaluate.bootstrap", "evaluate.external", "evaluate.groups", "max_failed_fraction", "seed")),
    "ablation": Stage(2, ("experiments", "evaluate.bootstrap", "seed")),
    "report": Stage(4, ()),  # shows the whole config
}


def config_slice(config: Config, stage: str) -> str:
    """Return, as inline JSON for `--config`, the part of the config that a stage reads."""
    values = portable(config).model_dump(mode="json")
    part: dict[str, Any] = {}
    for key in keys_of(config, stage):
        part = merge(part, _pick(values, key.split(".")))
    return json.dumps(part, sort_keys=True)


def keys_of(config: Config, stage: str) -> tuple[str, ...]:
    """Return the (dotted) keys that a stage reads; of the validation, nothing where there is none."""
    validated = stage == "train" and config.validation.every
    return (*STAGES[stage].keys, *(VALIDATION_KEYS if validated else ()))


def portable(config: Config) -> Config:
    """Return the config without the place of the corpus, which `load_config` finds in the environment.

    The plan's videos are named from there: a corpus that moved is the same.
    """
    root = config.corpus.root and ROOT_ELSEWHERE
    return config.model_copy(update={"corpus": config.corpus.model_copy(update={"root": root})})


def _pick(values: dict[str, Any], path: list[str]) -> dict[str, Any]:
    first, *rest = path
    return {first: _pick(values[first], rest) if rest else values[first]}
