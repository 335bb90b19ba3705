"""HDR as phones record it."""

from __future__ import annotations

from pathlib import Path
from subprocess import run

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.media.rgb import BT709, NOTE_HDR
from syncdiff.media.video import probe, read_frames


def test_hdr_is_tone_mapped_and_said(tmp_path: Path) -> None:
    """Graphics white of HLG, 75 % of the signal, becomes nearly white; read as it is, it would be 191."""
    white = "color=gray:s=64x64,format=yuv420p10le,geq=lum='64+876*0.75':cb=512:cr=512"
    tags = "h264_metadata=matrix_coefficients=9:colour_primaries=9:transfer_characteristics=18"
    path = tmp_path / "a.mp4"
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", white, "-t", "0.08"]
    run([*command, "-c:v", "libx264", "-crf", "1", "-bsf:v", tags, str(path)], check=True)
    assert probe(path).notes == (NOTE_HDR,)
    assert probe(path).color_space == BT709
    assert next(read_frames(path)).mean() == pytest.approx(255, abs=20)
