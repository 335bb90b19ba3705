"""Where the videos of a method lie, protocol by protocol."""

from __future__ import annotations

from pathlib import Path

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.protocols import PROTOCOLS

UNMOVED_BY_SOUND = ("reconstruction", "frozen")  # their paired videos stand for every protocol


def video_folders(config: Config, method: str, videos: Path | None) -> dict[str, Path | None]:
    """Return the folder of the method's videos for each protocol that it is scored under; None: the source videos.

    An external method is scored under the protocols that it has folders for, and under `paired` without any.

    Raises:
        UserError: the folder of an external method is not there.
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
    return {protocol: videos / protocol for protocol in protocols if (videos / protocol).is_dir()}


def video_of(folder: Path, clip: str) -> Path:
    """Return the video of a clip; a clip of a `folder` corpus has a suffix, which another method may have kept."""
    return own if (own := folder / clip).is_file() else folder / f"{clip}.mp4"
