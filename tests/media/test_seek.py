"""A late part of a long video is reached by its index, and shows what decoding from the beginning shows."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.media import video as media
from syncdiff.media.video import read_frames

MADE = {
    "b-frames.mp4": ["-r", "25", "-c:v", "libx264", "-g", "100", "-bf", "3"],
    "open-gop.mkv": ["-r", "24000/1001", "-c:v", "libx264", "-g", "50", "-x264-params", "open-gop=1:bframes=4"],
    "refresh.mp4": ["-r", "25", "-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=60"],
    "varying.mp4": ["-vf", "select='not(mod(n,3))+not(mod(n,7))'", "-fps_mode", "vfr", "-c:v", "libx264"],
    "fragments.mp4": ["-r", "25", "-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov"],
    "stream.ts": ["-r", "25", "-c:v", "libx264"],
    "slots.avi": ["-r", "25", "-c:v", "mpeg4"],
}


@pytest.mark.parametrize("name", MADE)
def test_a_late_part_is_what_it_is_from_the_beginning(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=50:d=32"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *picture, *MADE[name], str(tmp_path / name)], check=True)
    whole = list(read_frames(tmp_path / name))
    decoded: list[int] = []
    original = media.decoded_video

    def counted(*arguments: Any) -> Iterator[Any]:
        for frame in original(*arguments):
            decoded.append(1)
            yield frame

    monkeypatch.setattr(media, "decoded_video", counted)
    for start in (499, 500, 620, len(whole) - 20, len(whole) - 1):
        np.testing.assert_array_equal(list(read_frames(tmp_path / name, start)), whole[start:])
    decoded.clear()
    next(read_frames(tmp_path / name, 760))
    assert (len(decoded) < 500) == (name.endswith(("mp4", "mkv")))
