"""Which clips a config names, and into how many shards they will go, known before any stage has run."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from syncdiff.config import Config
from syncdiff.corpus.kind import kind_of
from syncdiff.corpus.lrs import Transcript, read_transcript
from syncdiff.corpus.split import ListedClip, Listing, prefix_of
from syncdiff.errors import UserError
from syncdiff.pipeline.files import atomic, read_parquet, short_message
from syncdiff.registry.corpora import CORPORA

log = logging.getLogger(__name__)

SEEN = "seen.parquet"
PIECES, PIECE_BYTES = 16, 1 << 20  # of a file that are read to know it again: one of LRS's is smaller than that
READERS = 8  # threads: a network file system answers many at once


def list_clips(config: Config) -> Listing:
    """Return every clip that the corpus names, by split in the config's order and by id inside each.

    Raises:
        UserError: the root is missing or laid out otherwise, or a list names no existing clip.
    """
    listing = kind_of(config).clips(config)
    listing.sort(key=lambda listed: (config.splits.index(listed.split), listed.clip))
    return listing


# ---- a listing as a file ----------------------------------------------------------------------------------------


def refresh(config: Config, folder: Path, plan: Path) -> Path:
    """List the corpus into `folder`/<digest>.parquet, and return that path: the same corpus has the same path.

    A file that has only another time is read and compared with what the plan saw: the same bytes are the same clip.
    What was left out is printed when the listing is new.

    Args:
        folder: also holds seen.parquet, the stamp of each video as it was last seen and as it is listed.
        plan: plan/clips.parquet, made or not.

    Raises:
        UserError: as `list_clips`, or more than `max_failed_fraction` of the videos are not there now.
    """
    listing = list_clips(config)
    prefix = prefix_of(config.corpus_root)
    there = {clip.video.removeprefix(prefix): clip for clip in listing if clip.stamp}
    now = {video: clip.stamp for video, clip in there.items()}
    seen = _seen(folder / SEEN)
    _stop_if_gone(listing, {f"{prefix}{video}" for video in seen}, config.max_failed_fraction)
    moved = {video for video, stamp in now.items() if video in seen and seen[video][0] != stamp}
    same_size = [video for video in moved if seen[video][1].split("@")[0] == now[video].split("@")[0]]
    changed = moved - same_as_planned({video: there[video] for video in same_size}, plan)
    listed = {v: now[v] if v in changed or v not in seen else seen[v][1] for v in now}
    videos = [clip.video.removeprefix(prefix) for clip in listing]
    clips = [clip._replace(video=v, stamp=listed.get(v, "")) for clip, v in zip(listing, videos, strict=True)]
    path = folder / f"{_digest(clips)}.parquet"
    if not path.exists():
        for note in note_lines(listing.notes):
            log.info("corpus: %s", note)
        write_listing(path, Listing(clips, listing.notes))
    if seen != (state := {video: (now[video], listed[video]) for video in now}):
        _write(folder / SEEN, {"video": list(state), "stamp": list(now.values()), "listed": list(listed.values())})
    return path


def _stop_if_gone(listing: Listing, seen: Collection[str], limit: float) -> None:
    """Refuse a corpus of which too much is not there, before a new plan makes everything run again.

    Args:
        listing: of the corpus.
        seen: the videos that it had the last time: some may lie in folders that cannot be read now.
        limit: `max_failed_fraction`.
    """
    unread = tuple(f"{clip.video}/" for clip in listing if clip.fault)
    gone = [clip.video for clip in listing if not (clip.stamp or clip.reason or clip.fault)]
    gone += sorted(video for video in seen if video.startswith(unread)) or list(unread)
    listed = sum(bool(clip.stamp) for clip in listing) + len(gone)
    if len(gone) > limit * listed:
        raise UserError(
            f"corpus: {len(gone)} of {listed} videos are not there or cannot be read, more than max_failed_fraction "
            f"{limit:g} (first: {gone[0]}); bring them back and run again, or raise max_failed_fraction"
        )


def same_as_planned(clips: Mapping[str, ListedClip], plan: Path) -> set[str]:
    """Return those clips, named as the plan names videos, whose bytes and text are still what it saw."""
    if not clips or not plan.exists():
        return set()
    planned = read_parquet(plan)
    if "digest" not in planned:
        return set()
    rows = planned.set_index("video")[["digest", "text"]].to_dict("index")

    def unchanged(video: str) -> bool:
        clip = clips[video]
        return rows.get(video) == {"digest": digest(Path(clip.video)), "text": transcript_of(clip).text}

    log.info("corpus: %d files have another time; comparing their contents", len(clips))
    with ThreadPoolExecutor(READERS) as pool:
        return {video for video, same in zip(clips, pool.map(unchanged, clips), strict=True) if same}


def transcript_of(clip: ListedClip) -> Transcript:
    """Return what is said in a clip, as the corpus or the transcript beside it tells."""
    return Transcript(clip.text) if clip.text else read_transcript(clip.transcript)


def digest(video: Path) -> str:
    """Return SHA-256 of a file's size and bytes; of a large one, of sixteen pieces of a megabyte; "": not readable."""
    try:
        with video.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            whole = hashlib.sha256(f"{size}:".encode())
            spread = max(size, PIECES * PIECE_BYTES) - PIECE_BYTES  # a small file is read whole, piece by piece
            for piece in range(PIECES):
                file.seek(spread * piece // (PIECES - 1))
                whole.update(file.read(PIECE_BYTES))
    except (OSError, ValueError):
        return ""
    return whole.hexdigest()


def write_listing(path: Path, listing: Listing) -> None:
    """Write a listing, its videos named from the corpus root, as parquet; its notes stand in the schema's metadata."""
    columns = dict(zip(ListedClip._fields, map(list, zip(*listing, strict=True)), strict=True))
    _write(path, columns, {"notes": json.dumps(listing.notes)})


def read_listing(path: Path, root: Path) -> Listing:
    """Read what `refresh` wrote of the corpus at `root`.

    Raises:
        UserError: it is not there, or damaged.
    """
    table = _read(path, ListedClip._fields)
    columns = {name: table[name].to_pylist() for name in ListedClip._fields}
    columns["video"] = [f"{prefix_of(root)}{video}" for video in columns["video"]]
    clips = map(ListedClip, *columns.values())
    return Listing(clips, json.loads((table.schema.metadata or {}).get(b"notes", b"{}")))


def note_lines(notes: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a line a note: how often, what, and the first path that it is about."""
    for note, paths in notes.items():
        yield f"{len(paths)} x {note} ({paths[0]}{', ...' if len(paths) > 1 else ''})"


def _digest(clips: Sequence[ListedClip]) -> str:
    return hashlib.sha256(json.dumps(clips).encode()).hexdigest()[:16]


def _seen(path: Path) -> dict[str, tuple[str, str]]:
    """Return video: (its stamp as last seen, the stamp under which it is listed); nothing where that is not known."""
    try:
        table = _read(path, ("video", "stamp", "listed"))
    except UserError:
        return {}
    videos, stamps, listed = (table[name].to_pylist() for name in ("video", "stamp", "listed"))
    return dict(zip(videos, zip(stamps, listed, strict=True), strict=True))


def _write(path: Path, columns: Mapping[str, Sequence[str]], metadata: Mapping[str, str] | None = None) -> None:
    schema = pa.schema([(name, pa.string()) for name in columns], metadata=metadata)
    with atomic(path) as temporary:
        pq.write_table(pa.table(dict(columns), schema=schema), temporary, compression="zstd")


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=list(columns), memory_map=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such listing; run the workflow, which writes it") from None
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise UserError(f"{path}: not a readable listing ({short_message(error)}); delete it and run again") from None


# ---- what the workflow needs before anything has run ------------------------------------------------------------


def clip_counts(config: Config, listing: Path | None = None) -> dict[str, int]:
    """Return how many clips each split lists; of a corpus that the workflow renders, how many it will.

    Args:
        listing: a file of `refresh`; None: the corpus is listed now.
    """
    if CORPORA[config.corpus.kind].rendered and (counts := kind_of(config).clip_counts(config)):
        return counts
    if listing:
        columns = _read(listing, ("split", "reason", "fault")).to_pydict()
        rows = list(zip(columns["split"], columns["reason"], columns["fault"], strict=True))
    else:
        rows = [(clip.split, clip.reason, clip.fault) for clip in list_clips(config)]
    listed = Counter(split for split, reason, fault in rows if not (reason or fault))
    return {split: listed[split] for split in config.splits}


def shard_counts(config: Config, listing: Path | None = None) -> dict[str, int]:
    """Return the number of shards of each split: an estimate from clip counts, so that the DAG needs no checkpoint.

    The plan fills exactly so many shards. A split without clips has none.
    """
    mean_frames, counts = kind_of(config).mean_frames(config), clip_counts(config, listing)
    return {split: math.ceil(n * mean_frames[split] / config.plan.frames_per_shard) for split, n in counts.items()}
