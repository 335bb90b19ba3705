"""Pictures as people have them: mirrored, squeezed, interlaced, of changing size; and how they are written."""

from __future__ import annotations

import os
import stat
from fractions import Fraction
from pathlib import Path
from subprocess import run

import av
import cv2
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.media import video
from syncdiff.media.rgb import (
    BT601,
    BT709,
    NOTE_ASPECT,
    NOTE_BROKEN_ASPECT,
    NOTE_INTERLACED,
    NOTE_MATRIX,
    NOTE_SIZES,
    NOTE_TRACKS,
    NOTE_TURNED,
    ColorSpace,
    say_once,
)
from syncdiff.media.video import probe, read_frames, write_crops, write_video

pytestmark = pytest.mark.quick

X264 = ("-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv420p")
RED = np.tile(np.uint8([255, 0, 0]), (64, 64, 1))


def ff(*arguments: object) -> None:
    run([get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)], check=True)


def drawn(path: Path, picture: str = "testsrc2=s=96x64", *options: object, seconds: float = 0.2) -> Path:
    """Write a test picture of ffmpeg's, 25 fps."""
    ff("-f", "lavfi", "-i", f"{picture}:r=25:d={seconds}", *(options or X264), path)
    return path


def tagged(path: Path, matrix: str, span: str, pixels: str, codec: tuple[object, ...] = ("libx264", "-crf", 1)) -> Path:
    """Write pure red, converted and tagged."""
    convert = f"format=gbrp,scale=out_color_matrix={matrix}:out_range={span},format={pixels}"
    tags = f"setparams=colorspace={matrix.replace('bt601', 'smpte170m')}:range={span}"
    return drawn(path, "color=red:s=64x64", "-vf", f"{convert},{tags}", "-c:v", *codec)


def as_ffmpeg(path: Path) -> np.ndarray:
    """Return the first picture as ffmpeg's command shows it."""
    ff("-i", path, "-frames:v", 1, path.with_suffix(".png"))
    picture = cv2.imread(str(path.with_suffix(".png")))
    assert picture is not None
    return picture[:, :, ::-1].astype(int)


def first(path: Path) -> np.ndarray:
    frame = next(read_frames(path))
    assert (probe(path).height, probe(path).width) == frame.shape[:2]
    return frame


def test_a_plain_file_gives_what_libav_makes_of_it_bit_for_bit(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_array_equal(list(read_frames(path)), expected)
    assert probe(path).notes == ()


def test_mirrored_files_are_mirrored_exactly(tmp_path: Path) -> None:
    plain = first(drawn(tmp_path / "a.mp4"))
    for option, wanted in (("-display_hflip", plain[:, ::-1]), ("-display_vflip", plain[::-1])):
        ff(option, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
        np.testing.assert_array_equal(first(tmp_path / "b.mp4"), wanted)
        assert probe(tmp_path / "b.mp4").notes == (NOTE_TURNED,)


@pytest.mark.parametrize("degrees", [90, 180, 270, 30])
@pytest.mark.parametrize("flip", [[], ["-display_hflip"], ["-display_vflip"]])
def test_turned_files_are_turned_as_ffmpeg_turns_them(tmp_path: Path, degrees: int, flip: list[str]) -> None:
    drawn(tmp_path / "a.mp4")
    ff("-display_rotation", degrees, *flip, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    wanted, got = as_ffmpeg(tmp_path / "b.mp4"), first(tmp_path / "b.mp4")
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).mean() < 3


@pytest.mark.parametrize(
    ("aspect", "width", "notes"),
    [
        ("4/3", 64, (NOTE_ASPECT,)),
        ("8/9", 43, (NOTE_ASPECT,)),
        ("1/1", 48, ()),
        ("0/1", 48, ()),
        ("1281/1280", 48, ()),
        ("9/1", 48, (NOTE_BROKEN_ASPECT,)),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_pixels_become_square(tmp_path: Path, aspect: str, width: int, notes: tuple[str, ...], suffix: str) -> None:
    path = drawn(tmp_path / f"a{suffix}", "testsrc2=s=48x64", "-vf", f"setsar={aspect}", *X264)
    assert first(path).shape == (64, width, 3)
    assert probe(path).notes == notes


def test_an_aspect_beyond_belief_asks_for_no_memory(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.mkv", "testsrc2=s=48x64")
    ff("-i", path, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=65535/1", tmp_path / "b.ts")
    assert first(tmp_path / "b.ts").shape == (64, 48, 3)


def test_squeezed_and_turned_at_once(tmp_path: Path) -> None:
    drawn(tmp_path / "a.mp4", "testsrc2=s=48x64", "-vf", "setsar=2", *X264)
    ff("-display_rotation", 90, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    assert first(tmp_path / "b.mp4").shape == (96, 64, 3)


@pytest.mark.parametrize("second", ["48x48", "96x96", "96x48", "64x64"])
def test_a_size_or_format_that_changes_on_the_way(
    tmp_path: Path, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    say_once.cache_clear()
    start = ("-f", "mpegts", "-bf", 0)
    drawn(tmp_path / "a.ts", "color=red:s=64x64", *X264, *start)
    other = "yuv444p" if second == "64x64" else "yuv420p"
    delayed = ("-output_ts_offset", 0.2)
    drawn(tmp_path / "b.ts", f"color=red:s={second}", *X264[:-1], other, *start, *delayed)
    (tmp_path / "ab.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    frames = list(read_frames(tmp_path / "ab.ts"))
    assert {frame.shape for frame in frames} == {(64, 64, 3)}
    assert len(frames) == pytest.approx(10, abs=1)
    assert np.abs(frames[-1][30:34].astype(int) - RED[30:34]).max() < 6
    assert frames[-1][4].max() == (0 if second == "96x48" else frames[-1].max())  # a bar, where the shape differs
    list(read_frames(tmp_path / "ab.ts"))
    assert caplog.messages == ([] if second == "64x64" else [f"{tmp_path / 'ab.ts'}: {NOTE_SIZES}"])


def test_a_frame_of_another_shape_is_not_written(tmp_path: Path) -> None:
    frames = [np.zeros((64, 64, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)]
    for write in (write_video, write_crops):
        with pytest.raises(ValueError, match=r"frame 1 has the shape \(48, 64, 3\), the first one \(64, 64, 3\)"):
            write(tmp_path / "a.mp4", frames)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mpg", "mpeg2video")])
def test_interlaced_pictures_lose_their_combs_and_nothing_else(tmp_path: Path, suffix: str, codec: str) -> None:
    bars = (
        "gradients=s=64x64:speed=0:c0=black:c1=white:nb_colors=2,geq=lum='255*mod(floor((X+8*N)/16),2)':cb=128:cr=128"
    )
    path = tmp_path / f"a{suffix}"
    ff("-f", "lavfi", "-i", f"{bars},settb=1/50,setpts=N,fps=50,interlace", "-t", 1, "-c:v", codec, "-q:v", 1,
       "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct", path)  # fmt: skip
    with av.open(str(path)) as container:
        raw = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames = list(read_frames(path))
    assert len(frames) == pytest.approx(len(raw), abs=1)

    def combs(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture[:, :, 0].astype(int), axis=0)).mean())

    assert combs(frames[10]) < combs(raw[10]) / 4
    assert probe(path).notes == (NOTE_INTERLACED,)


@pytest.mark.parametrize("matrix", ["bt709", "bt601", "smpte240m", "bt2020nc", "fcc"])
@pytest.mark.parametrize("span", ["tv", "pc"])
def test_red_comes_out_red_whatever_the_matrix_and_range(tmp_path: Path, matrix: str, span: str) -> None:
    path = tagged(tmp_path / "a.mkv", matrix, span, "yuv420p")
    assert np.abs(first(path)[30, 30].astype(int) - [255, 0, 0]).max() < 6


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv444p"])
def test_more_bits_and_more_chroma_come_out_right(tmp_path: Path, pixels: str) -> None:
    assert np.abs(first(tagged(tmp_path / "a.mkv", "bt709", "tv", pixels))[30, 30].astype(int) - [255, 0, 0]).max() < 6


@pytest.mark.parametrize("pixels", ["rgba", "pal8", "rgb48be", "gray", "gray16be", "ya8"])
def test_palettes_alpha_and_grey_come_out_as_ffmpeg_shows_them(tmp_path: Path, pixels: str) -> None:
    path = drawn(tmp_path / "a.mov", "testsrc=s=64x48", "-pix_fmt", pixels, "-c:v", "png")
    picture = tmp_path / "a.png"
    ff("-i", path, "-frames:v", 1, "-pix_fmt", "rgb24", picture)
    assert np.abs(first(path) - cv2.imread(str(picture))[:, :, ::-1].astype(int)).mean() < 2


def test_a_matrix_that_libav_cannot_convert_is_read_and_said(tmp_path: Path) -> None:
    drawn(tmp_path / "a.mp4")
    ff("-i", tmp_path / "a.mp4", "-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=8", tmp_path / "b.mp4")
    np.testing.assert_array_equal(first(tmp_path / "b.mp4"), first(tmp_path / "a.mp4"))
    assert probe(tmp_path / "b.mp4").notes == (NOTE_MATRIX,)
    assert probe(tmp_path / "b.mp4").color_space is None


@pytest.mark.parametrize(("flagged", "width"), [(0, 64), (1, 96), (None, 64)])
def test_of_several_videos_the_flagged_one_is_read(tmp_path: Path, flagged: int | None, width: int) -> None:
    flags = [part for n in (0, 1) for part in (f"-disposition:v:{n}", "default" if n == flagged else 0)]
    sources = [part for size in ("64x64", "96x64") for part in ("-f", "lavfi", "-i", f"testsrc=s={size}:r=25:d=0.2")]
    ff(*sources, "-map", 0, "-map", 1, *X264, *flags, tmp_path / "a.mkv")
    assert first(tmp_path / "a.mkv").shape[1] == width
    assert probe(tmp_path / "a.mkv").notes == (NOTE_TRACKS,)


def test_a_cover_picture_is_no_second_video(tmp_path: Path) -> None:
    sources = ("-f", "lavfi", "-i", "testsrc=s=96x64:r=25:d=0.2", "-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=0.2")
    order = ("-map", 0, "-map", 1, "-c:v:0", "png", "-frames:v:0", 1, "-disposition:v:0", "attached_pic")
    ff(*sources, *order, "-c:v:1", "libx264", tmp_path / "a.mp4")
    assert first(tmp_path / "a.mp4").shape[1] == 64
    assert probe(tmp_path / "a.mp4").notes == ()


def written(path: Path, picture: np.ndarray, colour: ColorSpace | None = None) -> tuple[tuple[int, int, int, int], int]:
    """Return matrix, primaries, transfer and range of a written video, and its luma."""
    write_video(path, [picture] * 2, color_space=colour)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    tags = frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range
    return tags, int(frame.to_ndarray()[10, 10])


def test_what_is_written_is_tagged_with_the_matrix_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert written(path, np.tile(RED[:1, :1], (720, 1280, 1))) == ((1, 1, 1, 1), 63)
    tags, luma = written(path, RED)
    assert tags == (BT601.matrix, 1, 1, 1)
    assert luma in (81, 82)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".m4v"])
@pytest.mark.parametrize(
    ("colour", "luma"),
    [
        (BT709, 63),
        (ColorSpace(2, 2, 2), 81),
        (ColorSpace(5, 5, 6), 81),
        (ColorSpace(9, 9, 14), 73),
        (ColorSpace(1, 1, 13, True), 54),
    ],
)
def test_the_colour_of_a_source_is_kept(tmp_path: Path, suffix: str, colour: ColorSpace, luma: int) -> None:
    path = tmp_path / f"a{suffix}"
    tags, got = written(path, RED, colour)
    assert tags[:3] == (colour.matrix, colour.primaries, colour.transfer)
    assert tags[3] == 2 if colour.full_range else tags[3] < 2
    assert got == pytest.approx(luma, abs=1)
    assert probe(path).color_space == colour
    assert np.abs(first(path)[30, 30].astype(int) - [255, 0, 0]).max() < 6


def test_much_that_ffmpeg_says_blocks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talker = tmp_path / "talker"
    talker.write_text('#!/bin/sh\nhead -c 300000 /dev/zero | tr "\\0" x >&2\nsleep 0.1\ncat > /dev/null\nexit 3\n')
    talker.chmod(0o755)
    monkeypatch.setattr(video, "get_ffmpeg_exe", lambda: str(talker))
    with pytest.raises(RuntimeError, match="ffmpeg failed: xxx") as failure:
        write_video(tmp_path / "a.mp4", (np.zeros((256, 256, 3), np.uint8) for _ in range(20)))
    assert len(str(failure.value)) < 5000


def test_written_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_video(tmp_path / "a.mp4", [RED], [np.zeros(640, np.int16)])
        write_crops(tmp_path / "b.mp4", [RED])
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


def test_times_survive_the_deinterlacing(tmp_path: Path) -> None:
    """A picture is missing: the timeline keeps its place."""
    path = tmp_path / "a.mkv"
    fields = "testsrc2=s=64x64:r=50:d=1,interlace,select='not(between(n,5,9))'"
    ff("-f", "lavfi", "-i", fields, "-fps_mode", "vfr", *X264, "-flags", "+ilme+ildct", path)
    with av.open(str(path)) as container:
        times = [Fraction(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert len(list(read_frames(path))) == pytest.approx(round((times[-1] - times[0]) * 25) + 1, abs=1)
