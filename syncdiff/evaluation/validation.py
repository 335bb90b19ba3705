"""Scores of a denoiser that is being trained: clips of val, sampled as `sample` does and scored as `evaluate` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from syncdiff.config import Config, Evaluate, Sample
from syncdiff.errors import UserError
from syncdiff.evaluation.score import score_method
from syncdiff.models.denoiser import Denoiser, save_denoiser
from syncdiff.models.pretrained import DENOISER
from syncdiff.pipeline.files import read_parquet, scratch
from syncdiff.synthesis.sample import sample_experiment
from syncdiff.training.validation import CURVE, Figures, Val

PROTOCOLS = {"mouth_corr": "paired", "lse_c": "paired", "sharpness": "paired", "mouth_std_ratio": "silent"}


@dataclass(frozen=True)
class ValClips:
    """Some clips of val; called with a denoiser, it returns the mean figures of `PROTOCOLS` over them.

    They are sampled by the defaults of `sample`, whatever the config says there: so another sampler for the test clips
    does not train again. Clips that curation would leave out are not left out: what is wrong with them is so each time.

    Attributes:
        config: reads `faces`, `validation.clips`, and what the denoiser reads.
        shards: joined ones.
        autoencoder: its folder.
        scorer: weights for `load_syncnet`.
        folder: in which videos lie while they are scored.
        device: of sampling and scoring.
    """

    config: Config
    shards: Sequence[Path]
    autoencoder: Path
    scorer: Path
    folder: Path
    device: torch.device

    def __call__(self, denoiser: Denoiser) -> Figures:
        """Sample and score the clips.

        Raises:
            UserError: the shards, the corpus's videos or the scorer are not there; nothing could be sampled or scored.
        """
        config = self.config.model_copy(
            update={
                "sample": Sample(max_clips=self.config.validation.clips),
                "evaluate": Evaluate(protocols=["paired", "silent"], bootstrap=10),  # of what is not looked at here
            }
        )
        with scratch(self.folder / CURVE) as parts:
            weights, videos, scores = parts / DENOISER, parts / "videos", parts / "scores.parquet"
            save_denoiser(denoiser, weights)
            for shard in self.shards:
                ledger = parts / "sampled" / f"{shard.stem}.parquet"
                sample_experiment(config, shard, weights, self.autoencoder, videos, ledger, self.device)
            score_method(config, "syncdiff", self.shards, videos, self.scorer, scores, self.device)
            return mean_figures(read_parquet(scores))


def val_of(
    config: Config,
    shards: Sequence[Path],
    speech: Sequence[Path],
    scorer: Path | None,
    autoencoder: Path,
    folder: Path,
    device: torch.device,
) -> Val | None:
    """Return what a training is validated on, where the config wants it; `speech` has a shard beside each of `shards`.

    Raises:
        UserError: something of it is not given, or is and is not wanted.
    """
    given = [bool(shards), bool(speech), scorer is not None]
    if config.validation.every and scorer and all(given):
        clips = ValClips(config, shards, autoencoder, scorer, folder, device)
        return Val(list(zip(shards, speech, strict=True)), clips, scorer)
    if config.validation.every or any(given):
        raise UserError(
            "config: validation.every: set, it needs --val-shards, --val-speech and --scorer; null, none of them"
        )
    return None


def mean_figures(scores: pd.DataFrame) -> Figures:
    """Return the mean of each figure of `PROTOCOLS` over the clips that have one; NaN where none has.

    Of mouth_corr over all clips: one without a face in it, or without a video, has 0, as one with a still mouth. A mean
    over those that came out would be another one each time.
    """
    values = {
        metric: scores.loc[(scores["metric"] == metric) & (scores["protocol"] == protocol), "value"]
        for metric, protocol in PROTOCOLS.items()
    }
    values["mouth_corr"] = values["mouth_corr"].fillna(0.0)
    return {metric: float(found.mean()) for metric, found in values.items()}
