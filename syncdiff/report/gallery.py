"""The gallery: real and generated clips side by side, as videos inside the page and as one contact sheet."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from syncdiff.config import Config
from syncdiff.errors import ClipRejected
from syncdiff.evaluation.names import METHOD_LABELS, method_label
from syncdiff.evaluation.videos import place, video_folders, video_of
from syncdiff.media.audio import SAMPLES_PER_FRAME, read_audio
from syncdiff.media.video import FPS, read_frames, write_video

MAX_FRAMES = 6 * FPS
MAX_HEIGHT = 256  # pixels
MAX_METHODS = 6
SHEET_COLUMNS = 8
SHEET_HEIGHT = 128  # pixels of a picture in the contact sheet
MADE_OF_OTHER_SOUND = {"cross": "another clip's audio", "silent": "driven by silence"}


@dataclass(frozen=True)
class GalleryClip:
    """A test clip and where its segment lies in the source video."""

    clip: str
    source: Path
    first_frame: int
    n_frames: int


@dataclass(frozen=True)
class Tile:
    """One playing video of the page."""

    label: str
    note: str
    data: str  # base64 of an mp4


def tiles(config: Config, shown: GalleryClip, runs: Mapping[str, Path]) -> list[Tile]:
    """Return a clip's videos: each method under the clip's own sound, then SyncDiff under other sound.

    A video that is not there, or cannot be read, leaves its place out: the table counts it. One without sound is
    shown with that of the source.

    Args:
        runs: method -> folder of its run.
    """
    wanted = [(method, "paired") for method in list(runs)[:MAX_METHODS]]
    wanted += [("syncdiff", protocol) for protocol in MADE_OF_OTHER_SOUND]
    found = []
    for method, protocol in wanted:
        if method not in runs:
            continue
        try:
            frames, audio = beginning(config, shown, method, protocol, runs[method])
        except (ClipRejected, OSError):
            continue
        note = MADE_OF_OTHER_SOUND.get(protocol, "" if method == "real" else "synthetic")
        found.append(Tile(method_label(method), note, embedded_mp4(frames, audio)))
    return found


def contact_sheet(config: Config, clips: Sequence[GalleryClip], runs: Mapping[str, Path]) -> bytes:
    """Return a PNG: for each clip a row of real pictures above a row of SyncDiff's, at the same times."""
    strips = [
        _strip(config, shown, method, runs[method])
        for shown in clips
        for method in ("real", "syncdiff")
        if method in runs
    ]
    shape = (SHEET_HEIGHT, SHEET_HEIGHT * SHEET_COLUMNS, 3)
    strips = strips or [np.full(shape, 255, np.uint8)]
    width = max(strip.shape[1] for strip in strips)
    sheet = np.concatenate([np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips])
    return cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes()


def _strip(config: Config, shown: GalleryClip, method: str, run: Path) -> np.ndarray:
    try:
        frames, _ = beginning(config, shown, method, "paired", run)
    except (ClipRejected, OSError):
        frames = [np.full((SHEET_HEIGHT, SHEET_HEIGHT, 3), 255, np.uint8)]
    times = np.linspace(0, len(frames) - 1, SHEET_COLUMNS).round().astype(int)
    strip = np.concatenate([resized(frames[t], SHEET_HEIGHT) for t in times], axis=1)
    cv2.putText(strip, METHOD_LABELS[method], (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return strip


def beginning(
    config: Config, shown: GalleryClip, method: str, protocol: str, run: Path
) -> tuple[list[np.ndarray], np.ndarray]:
    """Read the beginning of a clip of one method: frames (H, W, 3) uint8 and their sound (n,) int16.

    Raises:
        ClipRejected: there is no such video, or it cannot be read.
        OSError: it is not there any more.
    """
    video, first = _place(config, shown, method, protocol, run)
    frames = list(islice(read_frames(video, first), min(shown.n_frames, MAX_FRAMES)))
    try:
        audio = read_audio(video, first / FPS)
    except ClipRejected:  # another method's: the picture alone
        audio = read_audio(shown.source, shown.first_frame / FPS)
    return [resized(frame, min(MAX_HEIGHT, frame.shape[0])) for frame in frames], audio[
        : len(frames) * SAMPLES_PER_FRAME
    ]


def _place(config: Config, shown: GalleryClip, method: str, protocol: str, run: Path) -> tuple[Path, int]:
    """Return the video that shows a clip, and the frame in it where the clip's segment begins."""
    if method == "real":
        return shown.source, shown.first_frame
    external = config.evaluate.external.get(method)
    videos = Path(external) if external else run / "videos"
    folder = video_folders(config, method, videos).get(protocol) if videos.is_dir() else None
    if folder is None:
        raise ClipRejected(f"no videos of {method} under {protocol}")
    if not external:
        return folder / f"{shown.clip}.mp4", 0
    video = video_of(folder, shown.clip)
    return video, place(video, shown.source, shown.first_frame, shown.n_frames).first


def resized(frame: np.ndarray, height: int) -> np.ndarray:
    """Return a frame (H, W, 3) at another height, of the same shape."""
    width = round(frame.shape[1] * height / frame.shape[0])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def embedded_mp4(frames: Sequence[np.ndarray], audio: np.ndarray) -> str:
    """Encode anew, as base64: what the page holds plays in every browser, whatever the source was."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        write_video(path, frames, [audio])
        return base64.b64encode(path.read_bytes()).decode("ascii")
