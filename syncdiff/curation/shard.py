"""The stage `measures`: every clip of a joined shard is measured, and compared with the sound of others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from syncdiff.config import Config
from syncdiff.curation.clip import Curator, FacedClip, MeasuredClip, measure_clip
from syncdiff.curation.measures import KEPT, WRONG, Place
from syncdiff.evaluation.metrics.lse import SyncScore, lse
from syncdiff.faces.track import Segment
from syncdiff.media.audio import read_wav
from syncdiff.pipeline.files import sha256
from syncdiff.pipeline.ledger import LEDGER_COLUMNS, Ledger
from syncdiff.pipeline.parallel import Outcome, each_clip
from syncdiff.shards.tar import Sample, decode_npy, metadata, read_shard

log = logging.getLogger(__name__)

WRONG_SOUNDS = 8  # of other clips, that each clip is compared with
MEMBERS = ("json", "landmarks.npy", "transform.npy", "audio.wav")  # what measuring needs of a sample
CENTRE = ("face_x", "face_y")
COLUMNS = [*LEDGER_COLUMNS, "video", "first_frame", "n_frames", *CENTRE, *KEPT, *WRONG, "curator"]


def measure_shard(config: Config, shard: Path, syncnet: Path, out: Path, device: str, workers: int = 1) -> None:
    """Write a ledger of a joined shard's clips with the measures of each.

    Columns: clip, stage, status, reason, video (below the corpus root), first_frame, n_frames, face_x and face_y (the
    middle of the aligned crop in the source, median over frames), the measures `KEPT`, wrong_confidence and
    wrong_offset (lists: of the clip with the sound of up to eight others), curator (SHA-256 of the SyncNet).

    Args:
        config: reads `faces.size`, and where the corpus lies.
        syncnet: weights for `load_syncnet`.
        device: of torch.
        workers: processes, over clips.

    Raises:
        UserError: the shard or the weights are missing or damaged.
    """
    samples = [{name: sample[name] for name in MEMBERS} for sample in read_shard(shard)]
    places = [Place(*(metadata(sample)[name] for name in Place._fields)) for sample in samples]
    curator = Curator(syncnet, device, config.faces.size)
    work = partial(_measure_sample, curator, config.corpus_root)
    outcomes = [outcome for _, outcome in each_clip(work, samples, workers, f"measures {shard.stem}")]
    ledger = Ledger("measures")
    record(ledger, places, outcomes, sha256(syncnet))
    ledger.write(out, measured(ledger))
    log.info(ledger.summary())


def record(
    ledger: Ledger, places: Sequence[Place], outcomes: Sequence[Outcome[MeasuredClip]], curator: str = ""
) -> None:
    """Add a row for each clip: its place, measures, and what SyncNet says of other clips' sound."""
    for place, outcome, wrong in zip(places, outcomes, wrong_sounds(places, outcomes), strict=True):
        facts: dict[str, Any] = place._asdict()
        measures = outcome.value.measures if outcome.value else {}
        centre = dict(zip(CENTRE, outcome.value.centre, strict=True)) if outcome.value else {}
        ledger.record(facts.pop("clip"), outcome, **facts, **centre, **measures, **wrong, curator=curator)


def measured(ledger: Ledger) -> pd.DataFrame:
    """Return the rows with all of `COLUMNS`, whatever was measured."""
    return ledger.frame().reindex(columns=COLUMNS).astype(dict.fromkeys([*CENTRE, *KEPT], "float64"))


def wrong_sounds(
    places: Sequence[Place], outcomes: Sequence[Outcome[MeasuredClip]]
) -> Iterator[dict[str, list[float]]]:
    """Yield for each clip confidence and offset of its lips with the sound of up to `WRONG_SOUNDS` others.

    They are spread over the list; clips of the same sound are not among them: those that share frames of a video, and
    copies.
    """
    torch.set_num_threads(1)  # as in `measure_clip`
    sounds = [hash(outcome.value.sound.tobytes()) if outcome.value else 0 for outcome in outcomes]
    for index, (place, outcome) in enumerate(zip(places, outcomes, strict=True)):
        lips = outcome.value.lips if outcome.value else ()
        others = [
            other.value.sound
            for at, other, sound in zip(*(_rotated(items, index) for items in (places, outcomes, sounds)), strict=True)
            if not place.overlaps(at) and sound != sounds[index] and other.value is not None and len(other.value.sound)
        ]
        n = min(WRONG_SOUNDS, len(others)) if len(lips) else 0
        chosen = (others[len(others) * (2 * k + 1) // (2 * n)] for k in range(n))
        scores = [_score(lips, sound) for sound in chosen]
        columns = [score.lse_c for score in scores], [float(score.offset) for score in scores]
        yield dict(zip(WRONG, columns, strict=True))


def _score(lips: Any, sound: Any) -> SyncScore:
    """Score embeddings (N, 1024) and (M, 1024), as far as both reach."""
    n = min(len(lips), len(sound))
    return lse(torch.from_numpy(lips[:n]), torch.from_numpy(sound[:n]))


def _rotated(items: Sequence[Any], first: int) -> list[Any]:
    return [*items[first:], *items[:first]]


def _measure_sample(curator: Curator, root: Path, sample: Sample) -> MeasuredClip:
    place = metadata(sample)
    segment = Segment(place["first_frame"], decode_npy(sample["landmarks.npy"]), place["n_frames"], "")
    transforms, audio = decode_npy(sample["transform.npy"]), read_wav(sample["audio.wav"])
    return measure_clip(curator, FacedClip(place["clip"], root / place["video"], segment, transforms, audio))
