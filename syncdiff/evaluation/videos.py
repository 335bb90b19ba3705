"""Where the videos of a method lie, protocol by protocol, and which of their frames show a clip's segment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from errno import ENOENT
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from syncdiff.config import Config
from syncdiff.corpus.split import is_file
from syncdiff.errors import ClipRejected, UserError
from syncdiff.media.container import FPS
from syncdiff.media.video import probe, read_frames
from syncdiff.synthesis.protocols import PROTOCOLS

UNMOVED_BY_SOUND = ("reconstruction", "frozen")  # their paired videos stand for every protocol
SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg")  # of other people's videos
TAIL_FRAMES = 5  # other people's methods may make so many frames more or fewer; Wav2Lip drops some at the end
COMPARED_FRAMES = 25
THUMBNAIL = 32  # pixels
SAME_PICTURE = 0.4  # mean difference of thumbnails over the spread of one: 0 the same, about 1 unrelated


def video_folders(config: Config, method: str, videos: Path | None) -> dict[str, Path | None]:
    """Return the folder of the method's videos for each protocol that it is scored under; None: the source videos.

    An external method is scored under the protocols that it has folders for, and under `paired` without any.

    Raises:
        UserError: the folder of an external method is not there, or has none for a protocol of the config.
    """
    protocols = config.evaluate.protocols
    if videos is None:
        return dict.fromkeys(protocols)
    if method in UNMOVED_BY_SOUND:
        return dict.fromkeys(protocols, videos / "paired")
    if method not in config.evaluate.external:
        return {protocol: videos / protocol for protocol in protocols}
    if not videos.is_dir():
        raise UserError(f"config: evaluate.external.{method}: no folder {videos}; name the folder of its videos")
    if not any((videos / protocol).is_dir() for protocol in PROTOCOLS):
        return {"paired": videos}
    folders: dict[str, Path | None] = {name: videos / name for name in protocols if (videos / name).is_dir()}
    if not folders:
        wanted = " or ".join(protocols)
        raise UserError(
            f"config: evaluate.external.{method}: {videos} has no folder {wanted}; make one, or add the protocol"
        )
    return folders


def videos_of(folder: Path, clips: Iterable[str]) -> dict[str, Path]:
    """Return where another method's video of each clip lies, or would; a file that could be of two clips is of none."""
    found = {clip: video_of(folder, clip) for clip in clips}
    owners = Counter(found.values())
    return {clip: video if owners[video] == 1 else folder / f"{clip}.mp4" for clip, video in found.items()}


def video_of(folder: Path, clip: str) -> Path:
    """Return another method's video of a clip: the first that is there of `names_of`, else <clip>.mp4."""
    return next((path for name in names_of(clip) if is_file(path := folder / name)), folder / f"{clip}.mp4")


def names_of(clip: str) -> Iterator[str]:
    """Yield the names that a clip's video may have: nested as the ids are, or flat with _ or __ for each /.

    A clip of a `folder` corpus has a suffix in its id, which another method may have kept or replaced.
    """
    bases = [clip, str(Path(clip).with_suffix(""))] if Path(clip).suffix.lower() in SUFFIXES else [clip]
    for slash in ("/", "_", "__"):
        if len(bases) > 1:
            yield clip.replace("/", slash)
        for base in bases:
            for suffix in SUFFIXES:
                yield base.replace("/", slash) + suffix
                yield base.replace("/", slash) + suffix.upper()


def videos_in(folder: Path | str) -> list[str]:
    """Return the files below a folder that may be another method's videos; hidden ones are none."""
    found: list[str] = []
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        shown = (name for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES)
        found += (str(Path(root, name)) for name in shown)
    return sorted(found)


def looked_for(folder: Path, clip: str) -> str:
    """Say in a line which files were looked for."""
    flat = ", ".join(dict.fromkeys(clip.replace("/", slash) for slash in ("/", "_", "__")))
    return f"looked in {folder} for {flat} with {' '.join(SUFFIXES)}"


class Place(NamedTuple):
    """Where in a video a clip's segment begins, by frames, and what was guessed about that."""

    first: int
    note: str


def place(video: Path, source: Path, first_frame: int, n_frames: int) -> Place:
    """Say whether another method's video shows the clip's segment or the whole source, by its length.

    Where its length fits both, it is the one whose pictures are nearer to the source's.

    Args:
        video: of the method.
        source: of the clip.
        first_frame: of the source, where the clip's segment begins.
        n_frames: that the segment has.

    Raises:
        ClipRejected: unreadable, or of another length than both.
        OSError: one of the two is not there.
    """
    if not video.is_file():
        raise FileNotFoundError(ENOENT, "no video of this clip", str(video))
    found, whole = _length(video), _length(source)
    fits_segment, fits_whole = (abs(found - length) <= TAIL_FRAMES for length in (n_frames, whole))
    if not (fits_segment or fits_whole):
        raise ClipRejected(f"{found} frames, expected {n_frames} (the clip's segment) or {whole} (its whole file)")
    if not (first_frame and fits_whole):
        return Place(0, "")
    if not fits_segment:
        return Place(first_frame, "")
    theirs = _thumbnails(video, 0, first_frame + COMPARED_FRAMES)
    real = _thumbnails(source, first_frame, COMPARED_FRAMES)
    if difference(theirs[first_frame:], real) < difference(theirs, real):
        return Place(first_frame, "taken for the whole file, whose pictures fit")
    return Place(0, "taken for the clip's segment, whose pictures fit")


def their_frames(
    video: Path, source: Path, metadata: Mapping[str, Any], n_frames: int
) -> tuple[Iterator[np.ndarray], str]:
    """Open the clip's segment in another method's video.

    Args:
        video: of the method.
        source: of the clip.
        metadata: the JSON of the clip's sample.
        n_frames: that are wanted.

    Returns:
        The frames (H, W, 3) uint8 at the source's size, and what was guessed or changed.

    Raises:
        ClipRejected: unreadable, of another length, or of frames that do not show the source's; here or as they come.
        OSError: one of the two is not there.
    """
    height, width = metadata["height"], metadata["width"]
    first_frame, note = place(video, source, metadata["first_frame"], n_frames)
    first = next(read_frames(video, first_frame), None)
    if first is None:
        raise ClipRejected(f"its pictures end before frame {first_frame}, where the clip's segment begins")
    if not is_padded(first, height, width):
        found = f"{first.shape[1]}x{first.shape[0]}"
        if not _shows(first, next(read_frames(source, metadata["first_frame"]))):
            raise ClipRejected(f"frames of {found}, the source has {width}x{height}: give its whole frames, not a crop")
        note = "; ".join(filter(None, [note, f"frames of {found} made {width}x{height}"]))
    return _their_frames(video, first_frame, n_frames, height, width), note


def _their_frames(video: Path, first_frame: int, n_frames: int, height: int, width: int) -> Iterator[np.ndarray]:
    n_found = 0
    for frame in islice(read_frames(video, first_frame), n_frames):
        n_found += 1
        if is_padded(frame, height, width):
            yield frame[:height, :width]
        else:
            shrunk = frame.shape[0] > height
            yield cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_CUBIC)
    if n_found < n_frames - TAIL_FRAMES:
        raise ClipRejected(f"{n_found} frames, expected {n_frames}")


def is_padded(frame: np.ndarray, height: int, width: int) -> bool:
    """Say whether a frame has its source's size, but for a row and a column that odd sides were given."""
    return 0 <= frame.shape[0] - height <= 1 and 0 <= frame.shape[1] - width <= 1


def _shows(frame: np.ndarray, source: np.ndarray) -> bool:
    """Say whether a frame is the source's, resized: a crop of it, as of a face, is none."""
    (h, w), (height, width) = frame.shape[:2], source.shape[:2]
    scale = h / height
    if abs(w - width * scale) > 2 * max(scale, 1):
        return False
    theirs, real = _thumbnail(frame), _thumbnail(source)
    return difference([theirs], [real]) <= SAME_PICTURE * max(float(real.std()), 1.0)


def difference(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Return the mean difference of thumbnails, in grey levels, as far as both have some."""
    pairs = list(zip(one, other, strict=False))
    return float(np.mean([np.abs(a - b).mean() for a, b in pairs])) if pairs else float("inf")


def _length(video: Path) -> int:
    return max(1, round(probe(video).duration_s * FPS))


def _thumbnails(video: Path, start: int, n: int) -> list[np.ndarray]:
    return [_thumbnail(frame) for frame in islice(read_frames(video, start), n)]


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
