"""`syncdiff curate`: measures and verdicts for any videos, without the workflow."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from syncdiff.config import Config
from syncdiff.corpus.folder import VIDEO_SUFFIXES
from syncdiff.corpus.split import printable
from syncdiff.corpus.tree import left_out, walk
from syncdiff.curation.clip import Curator, FacedClip, MeasuredClip, measure_clip
from syncdiff.curation.corpus import summary
from syncdiff.curation.measures import MEASURES, Place
from syncdiff.curation.shard import measured, record
from syncdiff.curation.verdicts import judge
from syncdiff.errors import UserError
from syncdiff.faces.align import align
from syncdiff.faces.clips import clip_names, find_clips, too_brief
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.faces.track import Segment
from syncdiff.media.audio import concatenate, pad_or_trim, stream_audio
from syncdiff.media.container import FPS
from syncdiff.media.video import read_frames
from syncdiff.models.syncnet import load_syncnet
from syncdiff.pipeline.files import sha256
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import Outcome, attempt, each_clip

log = logging.getLogger(__name__)

LOG_COLUMNS = 250  # characters a line, where nobody's terminal says how many fit
Faces = list[tuple[Place, Outcome[MeasuredClip]]]  # of one video


def curate_videos(
    paths: Sequence[Path], config: Config, syncnet: Path | None = None, device: str = "cpu", workers: int = 1
) -> pd.DataFrame:
    """Measure and judge every face of videos: a row each, as `corpus.curate_corpus` writes them.

    Each face of each shot of a video is a clip, named as the stage `faces` names them. A video that cannot be read, or
    shows no face, has a row that says so, and so has a face that is seen too briefly.

    Args:
        paths: videos, and folders of them.
        config: reads `curate` and `faces`.
        syncnet: weights; None: sync is not measured.
        device: of the SyncNet.
        workers: processes, over videos.

    Raises:
        UserError: a folder holds no video, or cannot be read; the weights cannot be read.
    """
    net = load_syncnet(syncnet) if syncnet else None
    size = net.crop_size if net and net.crop == "aligned" else config.faces.size
    aligned = config.model_copy(update={"faces": config.faces.model_copy(update={"size": size})})
    work = partial(_measure_video, aligned, Curator(syncnet, device, size))
    tried = each_clip(work, _videos(paths), workers, "curate")
    found = [face for video, outcome in tried for face in _faces(video, outcome)]
    ledger = Ledger("measures")
    places, outcomes = [place for place, _ in found], [outcome for _, outcome in found]
    record(ledger, places, outcomes, sha256(syncnet) if syncnet else "")
    judged = judge(measured(ledger).assign(conf=np.nan, asd=np.nan, split=""), config.curate)
    log.info(summary(judged))
    return judged


def print_clips(clips: pd.DataFrame, console: Console) -> None:
    """Print a line for each clip: what was measured of it, and its verdict."""
    shown = [name for name in MEASURES if clips[name].notna().any()]
    columns = ["clip", *(MEASURES[name].label for name in shown), "verdict"]
    table = Table(*(Column(name, overflow="fold") for name in columns), box=None)
    for row in clips.to_dict("records"):
        figures = ("–" if pd.isna(row[name]) else f"{row[name]:.{MEASURES[name].digits}f}" for name in shown)
        verdict = ": ".join(filter(None, [row["status"], row["reason"]]))
        table.add_row(*map(Text, (row["clip"], *figures, verdict)))
    console.print(table)


def _videos(paths: Iterable[Path]) -> list[Path]:
    """Return the videos that are named, each once, and those below the folders that are.

    Raises:
        UserError: a folder without any, or that cannot be read.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for video in _below(path) if path.is_dir() else [path]:
            found.setdefault(video.parent.resolve() / video.name, video)
    return list(found.values())


def _below(folder: Path) -> list[Path]:
    """Return the videos of a folder as the corpus `folder` would list them, and say what is left out."""
    tree = walk(folder, VIDEO_SUFFIXES)
    lost = {f"cannot be read ({fault})": [name] for name, fault in tree.unreadable.items()}
    for note, names in [*left_out(tree).items(), *lost.items()]:
        log.warning("%s: %s: %s", folder, note, ", ".join(map(repr, names)))
    if not tree.files:
        raise UserError(
            f"{folder}: no video in this folder ({' '.join(sorted(VIDEO_SUFFIXES))}); name another, or files"
        )
    return [folder / name for name in tree.files]


def _measure_video(config: Config, curator: Curator, video: Path) -> Faces:
    """Measure each face of a video.

    Raises:
        ClipRejected: unreadable, or without one face for long enough.
        OSError: not there.
    """
    found = find_clips(read_frames(video), open_landmarker(config.faces), config.faces, "all")
    shown = [*(segment.frames for segment in found.long), *found.brief]
    places = [
        Place(name, str(video), frames.start, len(frames))
        for name, frames in zip(clip_names(str(video), found), shown, strict=True)
    ]
    measured = [
        attempt(partial(_measure_face, config, curator, place), segment)
        for place, segment in zip(places, found.long, strict=False)
    ]
    brief = Outcome[MeasuredClip]("rejected", too_brief(config.faces))
    return list(zip(places, [*measured, *(brief for _ in found.brief)], strict=True))


def _measure_face(config: Config, curator: Curator, place: Place, segment: Segment) -> MeasuredClip:
    video = Path(place.video)
    audio = concatenate(pad_or_trim(stream_audio(video, segment.start / FPS), place.n_frames))
    transforms, _ = align(video, segment, config.faces)
    return measure_clip(curator, FacedClip(place.clip, video, segment, transforms, audio))


def _faces(video: Path, outcome: Outcome[Faces]) -> Faces:
    """Return what was measured of a video; one that could not be read counts as one clip."""
    name, _ = printable(str(video))
    return outcome.value or [(Place(name, name, 0, 0), Outcome(outcome.status, outcome.reason))]
