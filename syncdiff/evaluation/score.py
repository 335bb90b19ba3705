"""Score one method: all test clips under all protocols, in one tidy file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.evaluation.clip_scorer import Job, Settings, load_scorer, metric_groups, rows_of, score_clip
from syncdiff.evaluation.metrics.bootstrap import interval, resample
from syncdiff.evaluation.metrics.fidelity import Moments, frechet_distance
from syncdiff.evaluation.metrics.registry import SCORE_COLUMNS
from syncdiff.evaluation.videos import looked_for, video_folders, videos_of
from syncdiff.pipeline.files import read_parquet, write_parquet
from syncdiff.pipeline.ledger import LEDGER_COLUMNS, note_failures, stop_if_nothing_came_out
from syncdiff.pipeline.parallel import Outcome, each_clip
from syncdiff.shards.tar import metadata
from syncdiff.synthesis.protocols import cross_clip, driving_audio, scored_clips

MEMBERS = ("__key__", "json", "landmarks.npy", "transform.npy", "audio.wav")  # what scoring needs of a sample
FID_RESAMPLES = 50  # at most: each takes a singular value decomposition of the covariances' factors
Pairs = list[tuple[np.ndarray, np.ndarray]]  # per clip, features of the real crops and of the method's, (T, D) each


def score_method(
    config: Config,
    method: str,
    shards: Sequence[Path],
    videos: Path | None,
    syncnet: Path,
    out: Path,
    device: torch.device,
    workers: int = 1,
) -> None:
    """Write the scores of one method as tidy parquet: a row per protocol, clip and metric, clip "" for the whole set.

    LSE hears the sound that drives the protocol, decoded from the shard, and under `silent` the clip's own sound:
    against silence every LSE-C is near zero, against the clip's own sound it is high only where lips were copied from
    the video. SSIM, PSNR and flicker compare aligned crops; FID all crops of the method with all real crops of the same
    clips.

    Args:
        config: with `evaluate.protocols`, `evaluate.inception`, `evaluate.bootstrap`, `sample.max_clips`.
        method: `real`, `reconstruction`, `frozen`, `syncdiff`, an experiment, or a key of `evaluate.external`.
        shards: joined shards of the test split, with their index beside them.
        videos: folder with <protocol>/<clip>.mp4; of an external method whatever `videos_of` finds; None for `real`.
        syncnet: weights for `load_syncnet`.
        out: parquet with the columns method, protocol, clip, metric, scorer, value, status, reason; ci_low, ci_high,
            n_expected, n_scored of the whole set; and `series`, float32, the values frame by frame behind a mouth
            opening, its error, SSIM and the flicker of the mouth, whose first value is that of frame 1.
        device: of the networks.
        workers: processes, over clips.

    Raises:
        UserError: a shard, the weights or the folder of an external method is not there; no clip could be scored.
    """
    settings = Settings(syncnet, config.evaluate.inception, config.faces, str(device), threads=workers == 1)
    folders = video_folders(config, method, videos)
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    features: dict[str, Pairs] = {protocol: [] for protocol in folders}
    for shard, jobs in _jobs(config, method, shards, folders):
        for job, outcome in each_clip(partial(score_clip, settings), jobs, workers, f"score {method} {shard.stem}"):
            if outcome.value is None:
                failures += [outcome.file] * (outcome.status == "failed")
                rows += _lost(settings, job.clip, folders, outcome)
                continue
            failures += outcome.value.failures
            rows += outcome.value.rows
            for protocol, generated in outcome.value.generated.items():
                features[protocol].append((outcome.value.real, generated))
        for clip, outcome in _lost_in_packing(shard):
            rows += _lost(settings, clip, folders, outcome)
    n_clips = len({row["clip"] for row in rows})
    whole = {"clip": "", "scorer": load_scorer(settings).fid_scorer, "n_expected": n_clips}
    rows += [whole | row for row in _fid_rows(config, folders, features)]
    columns = [*SCORE_COLUMNS, "ci_low", "ci_high", "n_expected", "n_scored", "series"]
    frame = pd.DataFrame(rows, columns=columns).assign(method=method)
    _say(method, frame)
    write_parquet(out, frame.astype({"n_expected": "Int64", "n_scored": "Int64"}))
    note_failures(out, failures)


def _fid_rows(
    config: Config, folders: Mapping[str, Path | None], features: Mapping[str, Pairs]
) -> Iterator[dict[str, Any]]:
    """Yield the FID of each protocol; the same videos have the same."""
    distances: dict[Path | None, dict[str, Any]] = {}
    for protocol, folder in folders.items():
        if folder not in distances:
            distances[folder] = fid_row(config, features[protocol])
        yield {"protocol": protocol, **distances[folder]}


def _jobs(
    config: Config, method: str, shards: Sequence[Path], folders: Mapping[str, Path | None]
) -> Iterator[tuple[Path, list[Job]]]:
    """Yield each shard with the jobs of its clips."""
    external = method in config.evaluate.external
    clips = [clip for shard in shards for clip in read_parquet(shard.with_suffix(".parquet"))["clip"]]
    places = {folder: _places(folder, clips, external) for folder in folders.values() if folder}
    for shard in shards:
        lost = {} if external else _not_made(set(places), shard)
        samples = [{name: sample[name] for name in MEMBERS} for sample in scored_clips(shard, config.sample.max_clips)]
        jobs = []
        for index, sample in enumerate(samples):
            clip, other = metadata(sample)["clip"], cross_clip(index, samples)
            videos = {protocol: folder and places[folder][clip] for protocol, folder in folders.items()}
            sounds = {name: driving_audio("cross" if name == "cross" else "paired", sample, other) for name in folders}
            jobs.append(Job(sample, videos, sounds, config.corpus_root, external, lost))
        yield shard, jobs


def _places(folder: Path, clips: Sequence[str], external: bool) -> Mapping[str, Path]:
    """Return where the video of each clip lies, and say where one was looked for that is not there."""
    if not external:
        return {clip: folder / f"{clip}.mp4" for clip in clips}
    places = videos_of(folder, clips)
    missing = [clip for clip, video in places.items() if not video.is_file()]
    if missing:
        where = looked_for(folder, missing[0])
        print(f"{len(missing)} of {len(places)} clips have no video that is theirs alone: {where}")
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
    settings: Settings, clip: str, folders: Mapping[str, Path | None], outcome: Outcome[Any]
) -> Iterator[dict[str, Any]]:
    """Yield a row without a value for every figure of a clip that could not be scored."""
    for protocol in folders:
        for group in metric_groups(load_scorer(settings), protocol, folders):
            yield from rows_of(clip, protocol, group, outcome)


def fid_row(config: Config, pairs: Pairs) -> dict[str, Any]:
    """Return FID over all clips with its interval; a resample draws the same clips on both sides."""
    row = {"metric": "fid", "n_scored": len(pairs)}
    if not pairs:
        return row | {"value": float("nan"), "status": "failed", "reason": "no video of this method could be read"}
    draws = resample(len(pairs), min(config.evaluate.bootstrap, FID_RESAMPLES), config.seed)
    low, high = interval(np.array([_frechet([pairs[clip] for clip in draw]) for draw in draws]))
    return row | {"value": _frechet(pairs), "status": "ok", "reason": "", "ci_low": low, "ci_high": high}


def _frechet(pairs: Pairs) -> float:
    real, generated = Moments(), Moments()
    real.add(np.concatenate([features for features, _ in pairs]))
    generated.add(np.concatenate([features for _, features in pairs]))
    return frechet_distance(real.mean, real.covariance, generated.mean, generated.covariance)


def _say(method: str, frame: pd.DataFrame) -> None:
    """Print how many clips were scored, and why the others were not.

    Raises:
        UserError: there are none, or not one could be scored and not for what the videos are.
    """
    clips = frame[frame["clip"] != ""]
    lost = clips[clips["status"] != "ok"].drop_duplicates(["protocol", "clip", "reason"])
    print(f"score {method}: {clips['clip'].nunique()} clips, {lost['clip'].nunique()} with a figure missing")
    for (protocol, reason), rows in lost.groupby(["protocol", "reason"], sort=False):
        print(f"  {protocol}: {len(rows)} x {reason}")
    if not len(clips):
        raise UserError(f"score {method}: the shards hold no clip; see the ledgers of the test split")
    if (clips["status"] == "failed").any() and not (clips["status"] == "ok").any():
        stop_if_nothing_came_out(f"score {method}", clips.drop_duplicates("clip"))
