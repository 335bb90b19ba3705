"""Score one method: all test clips under all protocols, in one tidy file.

LSE hears the sound that drives the protocol, decoded from the shard, and under `silent` the clip's own sound: against
silence every LSE-C is near zero, against the clip's own sound it is high only where lips were copied from the video.
SSIM, PSNR and flicker compare aligned crops; FID all crops of the method with all real crops of the same clips.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.evaluation.clip_scorer import ClipScorer, ClipScores, Job, Settings, load_scorer, rows_of, score_clip
from syncdiff.evaluation.videos import looked_for, video_folders, videos_of
from syncdiff.pipeline.files import read_parquet, sha256, write_parquet
from syncdiff.pipeline.ledger import LEDGER_COLUMNS, note_failures, stop_if_nothing_came_out
from syncdiff.pipeline.parallel import Outcome, each_clip
from syncdiff.registry.metrics import METRICS, NETWORKS, Metric, clip_metrics, set_metrics
from syncdiff.shards.tar import metadata
from syncdiff.shards.verdicts import Verdicts, read_verdicts
from syncdiff.synthesis.protocols import cross_clip, driving_audio, scored_clips

log = logging.getLogger(__name__)

MEMBERS = ("__key__", "json", "landmarks.npy", "transform.npy", "audio.wav")  # what scoring needs of a sample
COLUMNS = ["method", "protocol", "clip", "metric", "scorer", "value", "status", "reason"]
SET_COLUMNS = ["ci_low", "ci_high", "n_expected", "n_scored"]  # of metrics of a whole set, whose clip is ""
Features = Mapping[str, np.ndarray]  # scorer -> (T, D)
Pairs = list[tuple[Features, Features]]  # per clip, features of the real video and of the method's


def score_method(  # noqa: PLR0913, PLR0917 - a file each
    config: Config,
    method: str,
    shards: Sequence[Path],
    videos: Path | None,
    syncnet: Path,
    out: Path,
    device: torch.device,
    workers: int = 1,
    curation: Path | None = None,
) -> None:
    """Write the scores of one method as tidy parquet: a row per protocol, clip and metric, clip "" for the whole set.

    Args:
        config: with `evaluate.protocols`, `evaluate.bootstrap`, the networks of `evaluate`, `sample.max_clips`.
        method: `real`, `reconstruction`, `frozen`, `syncdiff`, an experiment, or a key of `evaluate.external`.
        shards: joined shards of the test split, with their index beside them.
        videos: folder with <protocol>/<clip>.mp4; of an external method whatever `videos_of` finds; None for `real`.
        syncnet: weights for `load_syncnet`.
        out: parquet with the columns method, protocol, clip, metric, scorer, value, status, reason; ci_low, ci_high,
            n_expected, n_scored of the whole set; and `series`, float32, the values frame by frame behind a mouth
            aperture, its error, SSIM and the flicker of the mouth, whose first value is that of frame 1.
        device: of the networks.
        workers: processes, over clips.
        curation: verdicts on the clips: which are left out, and how far the sound of others is shifted. Where its
            SyncNet is this one, the scorer's name says so.

    Raises:
        UserError: a shard, the weights or the folder of an external method is not there; no clip could be scored.
    """
    folders, verdicts = video_folders(config, method, videos), read_verdicts(curation)
    settings = _settings(config, syncnet, device, workers, verdicts)
    scorer = load_scorer(settings)
    clips = Clips(features={protocol: [] for protocol in folders})
    for shard, jobs in _jobs(config, method, shards, folders, verdicts):
        for job, outcome in each_clip(partial(score_clip, settings), jobs, workers, f"score {method} {shard.stem}"):
            clips.add(outcome, _lost(scorer, job.clip, folders, outcome))
        for clip, outcome in _lost_in_packing(shard):
            clips.rows += _lost(scorer, clip, folders, outcome)
    rows = [*clips.rows, *_set_rows(config, scorer, folders, clips)]
    scores = pd.DataFrame(rows, columns=[*COLUMNS, *SET_COLUMNS, "series"]).assign(method=method)
    log.info(summary(method, scores))
    _stop_if_nothing_was_scored(method, scores)
    write_parquet(out, scores.astype({"n_expected": "Int64", "n_scored": "Int64"}))
    note_failures(out, clips.failures)


@dataclass
class Clips:
    """What the clips of a method gave: rows, features for the metrics of the set, and what is to be tried again.

    features: by protocol.
    failures: of each clip or metric that failed, the file that could not be read, or "".
    """

    features: dict[str, Pairs]
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome[ClipScores], lost: Iterable[dict[str, Any]]) -> None:
        """Take in a clip; where it could not be scored, `lost` are its rows."""
        if outcome.value is None:
            self.failures += [outcome.file] * (outcome.status == "failed")
            self.rows += lost
            return
        self.failures += outcome.value.failures
        self.rows += outcome.value.rows
        for protocol, generated in outcome.value.generated.items():
            self.features[protocol].append((outcome.value.real, generated))


def _settings(config: Config, syncnet: Path, device: torch.device, workers: int, verdicts: Verdicts) -> Settings:
    return Settings(
        syncnet,
        config.evaluate.inception,
        config.faces,
        str(device),
        threads=workers == 1,
        chose_clips=verdicts.path is not None and verdicts.curator == sha256(syncnet),
        networks=tuple((name, path) for name in NETWORKS if (path := getattr(config.evaluate, name))),
    )


def _set_rows(
    config: Config, scorer: ClipScorer, folders: Mapping[str, Path | None], clips: Clips
) -> Iterator[dict[str, Any]]:
    """Yield the metrics of the whole set under each protocol; the same videos have the same."""
    n_clips = len({row["clip"] for row in clips.rows})
    for name in set_metrics(scorer.networks):
        known: dict[Path | None, dict[str, Any]] = {}
        for protocol, folder in folders.items():
            if protocol in METRICS[name].protocols:
                if folder not in known:
                    known[folder] = _of_set(config, METRICS[name], clips.features[protocol])
                about = {"protocol": protocol, "clip": "", "metric": name, "scorer": scorer.name_of(name)}
                yield {**about, "n_expected": n_clips, **known[folder]}


def _of_set(config: Config, metric: Metric, pairs: Pairs) -> dict[str, Any]:
    """Return the value of a metric over all clips that have its features, with its interval."""
    both = [(real[metric.scorer], own[metric.scorer]) for real, own in pairs if metric.scorer in {*real} & {*own}]
    if not both:
        reason = "no video of this method could be read" if not pairs else "no clip is long enough"
        return {"n_scored": 0, "value": float("nan"), "status": "failed", "reason": reason}
    value, low, high = metric.load()(both, config.evaluate.bootstrap, config.seed)
    return {"n_scored": len(both), "value": value, "status": "ok", "reason": "", "ci_low": low, "ci_high": high}


def _jobs(
    config: Config, method: str, shards: Sequence[Path], folders: Mapping[str, Path | None], verdicts: Verdicts
) -> Iterator[tuple[Path, list[Job]]]:
    """Yield each shard with the jobs of its clips."""
    external = method in config.evaluate.external
    clips = [clip for shard in shards for clip in read_parquet(shard.with_suffix(".parquet"))["clip"]]
    places = {folder: _places(folder, clips, external) for folder in folders.values() if folder}
    for shard in shards:
        lost = {} if external else _not_made(set(places), shard)
        chosen = scored_clips(shard, config.sample.max_clips, verdicts)
        samples = [{name: sample[name] for name in MEMBERS} for sample in chosen]
        jobs = []
        for index, sample in enumerate(samples):
            clip, other = metadata(sample)["clip"], cross_clip(index, samples)
            videos = {protocol: folder and places[folder][clip] for protocol, folder in folders.items()}
            audio = {name: driving_audio("cross" if name == "cross" else "paired", sample, other) for name in folders}
            jobs.append(Job(sample, videos, audio, config.corpus_root, external, lost))
        yield shard, jobs


def _places(folder: Path, clips: Sequence[str], external: bool) -> Mapping[str, Path]:
    """Return where the video of each clip lies, and say where one was looked for that is not there."""
    if not external:
        return {clip: folder / f"{clip}.mp4" for clip in clips}
    places = videos_of(folder, clips)
    missing = [clip for clip, video in places.items() if not video.is_file()]
    if missing:
        where = looked_for(folder, missing[0])
        log.warning("%d of %d clips have no video that is theirs alone: %s", len(missing), len(places), where)
    return places


def _not_made(folders: Collection[Path], shard: Path) -> dict[Path | None, Outcome[Any]]:
    """Return the videos of a shard that its ledger says were not made; older ones may lie in their places."""
    lost: dict[Path | None, Outcome[Any]] = {}
    for folder in folders:
        ledger = folder.parents[1] / "sampled" / f"{shard.stem}.parquet"
        if ledger.is_file():
            rows = read_parquet(ledger, *LEDGER_COLUMNS, "protocol")
            rows = rows[(rows["status"] != "ok") & (rows["protocol"] == folder.name)]
            for row in rows.to_dict("records"):
                lost[folder / f"{row['clip']}.mp4"] = Outcome(row["status"], row["reason"])
    return lost


def _lost_in_packing(shard: Path) -> Iterator[tuple[str, Outcome[Any]]]:
    """Clips whose face was found, and that did not come into the shard."""
    index = read_parquet(shard.with_suffix(".parquet"))
    for row in index[index["status"] != "ok"].to_dict("records"):
        yield row["clip"], Outcome(row["status"], row["reason"])


def _lost(
    scorer: ClipScorer, clip: str, folders: Mapping[str, Path | None], outcome: Outcome[Any]
) -> Iterator[dict[str, Any]]:
    """Yield a row without a value for every metric of a clip that could not be scored."""
    for protocol in folders:
        yield from rows_of(scorer, clip, protocol, clip_metrics(protocol, folders, scorer.networks), outcome)


def summary(method: str, scores: pd.DataFrame) -> str:
    """Say how many clips were scored, and why others have no value: a line for each protocol and reason."""
    clips = scores[scores["clip"] != ""]
    lost = clips[clips["status"] != "ok"].drop_duplicates(["protocol", "clip", "reason"])
    lines = [f"score {method}: {clips['clip'].nunique()} clips, {lost['clip'].nunique()} with a figure missing"]
    for (protocol, reason), rows in lost.groupby(["protocol", "reason"], sort=False):
        lines.append(f"  {protocol}: {len(rows)} x {reason}")
    return "\n".join(lines)


def _stop_if_nothing_was_scored(method: str, scores: pd.DataFrame) -> None:
    """Raise a `UserError` where there are no clips, or not one could be scored and not for what the videos are."""
    clips = scores[scores["clip"] != ""]
    if not len(clips):
        raise UserError(f"score {method}: the shards hold no clip; see the ledgers of the test split")
    if (clips["status"] == "failed").any() and not (clips["status"] == "ok").any():
        stop_if_nothing_came_out(f"score {method}", clips.drop_duplicates("clip"))
