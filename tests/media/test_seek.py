"""A late part of a long video is reached by its index, and shows what decoding from the beginning shows."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.errors import ClipRejected
from syncdiff.media import decode
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


@pytest.mark.quick
@pytest.mark.parametrize(("lands", "sought"), [([0, 45], [50]), ([0, 55, 0], [50, 0]), ([0, 55, 1], None)])
def test_an_index_that_leads_too_far_is_not_believed(
    lands: list[int], sought: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first frame is due before any seeking and after each (in seconds), for a place at 60 s."""
    frames = iter(SimpleNamespace(pts=second, time_base=Fraction(1)) for second in lands)
    monkeypatch.setattr(decode, "first_frame", lambda *_: next(frames))
    container = Mock()
    container.format.name = "matroska,webm"
    if sought is None:
        with pytest.raises(ClipRejected, match="its index is damaged; write the file anew"):
            decode.seek_before(container, Mock(), Fraction(60))
        return
    first = decode.seek_before(container, Mock(), Fraction(60))
    assert first is not None and first.pts == 0
    assert list(dict.fromkeys(call.args[0] for call in container.seek.call_args_list)) == sought


def test_a_late_part_has_the_size_of_the_first_frame(tmp_path: Path) -> None:
    """Of a stream whose size changes on the way; it is sought as far behind that."""
    for name, size, seconds in (("a", "64x48", 12), ("b", "96x72", 24)):
        picture = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d={seconds}", "-c:v", "mjpeg"]
        subprocess.run([get_ffmpeg_exe(), "-v", "error", *picture, str(tmp_path / f"{name}.mkv")], check=True)
    (tmp_path / "list.txt").write_text("file a.mkv\nfile b.mkv\n")
    both = ["-f", "concat", "-i", str(tmp_path / "list.txt"), "-c", "copy", str(tmp_path / "both.mkv")]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *both], check=True)
    whole = list(read_frames(tmp_path / "both.mkv"))
    assert {frame.shape for frame in whole} == {(48, 64, 3)}
    np.testing.assert_array_equal(list(read_frames(tmp_path / "both.mkv", 800)), whole[800:])
