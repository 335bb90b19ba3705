"""Pictures: the 25 fps timeline, rotation, errors, crops in memory, files written."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import ffmpeg
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.errors import ClipRejected
from syncdiff.media import video
from syncdiff.media.audio import read_audio
from syncdiff.media.video import decode_crops, probe, read_frames, write_video
from tests.members import crop_bytes

pytestmark = pytest.mark.quick


def write_grey_levels(path: Path, times_ms: list[int], rate: int = 25) -> None:
    """Write a video whose picture i is grey level 4 * i, shown at times_ms[i]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1", "bf": "0"})
        stream.width = stream.height = 32
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 4 * index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def shown(path: Path, start: int = 0) -> list[int]:
    """Indices of the pictures on the 25 fps timeline."""
    return [round(float(frame.mean()) / 4) for frame in read_frames(path, start)]


def test_25_fps_stays_as_it_is(tmp_path: Path) -> None:
    write_grey_levels(tmp_path / "a.mp4", [40 * i for i in range(10)])
    assert shown(tmp_path / "a.mp4") == list(range(10))


def test_30_fps_loses_every_sixth_picture(tmp_path: Path) -> None:
    write_grey_levels(tmp_path / "a.mp4", [round(1000 * i / 30) for i in range(30)], rate=30)
    indices = shown(tmp_path / "a.mp4")
    assert len(indices) == 25
    errors = np.array(indices) / 30 - np.arange(25) / 25
    assert np.abs(errors).max() <= 0.5 / 25 + 1e-3  # never more than half a frame off
    assert abs(errors.mean()) < 0.004  # and no lag


def test_120_fps_shows_the_nearest_picture(tmp_path: Path) -> None:
    write_grey_levels(tmp_path / "a.mkv", [round(1000 * i / 120) for i in range(60)], rate=120)
    indices = np.array(shown(tmp_path / "a.mkv"))
    errors = indices / 120 - np.arange(len(indices)) / 25
    assert np.abs(errors).max() <= 0.5 / 120 + 1e-3


def test_variable_rate_follows_the_timestamps(tmp_path: Path) -> None:
    write_grey_levels(tmp_path / "a.mp4", [0, 40, 200, 210, 220, 240, 400])
    assert shown(tmp_path / "a.mp4")[:11] == [0, 1, 1, 1, 1, 2, 5, 5, 5, 5, 6]


@pytest.mark.parametrize("times_ms", [[0, 40, 200, 210, 220, 240, 400], [0, 500], [0, 7, 14, 21, 400]])
def test_frames_from_a_start_are_those_of_the_whole(tmp_path: Path, times_ms: list[int]) -> None:
    write_grey_levels(tmp_path / "a.mp4", times_ms)
    whole = shown(tmp_path / "a.mp4")
    for start in range(len(whole) + 2):
        assert shown(tmp_path / "a.mp4", start) == whole[start:]


def test_pictures_that_go_back_in_time_are_not_shown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_grey_levels(tmp_path / "a.mp4", [0, 40, 80, 120])

    def disordered(frames: Iterable[av.VideoFrame]) -> list[av.VideoFrame]:
        first, *rest, last = frames
        return [first, last, *rest]

    monkeypatch.setattr(video, "continuous", disordered)
    assert shown(tmp_path / "a.mp4") == [0, 0, 0]


def test_time_zero_is_the_first_picture(tmp_path: Path) -> None:
    write_grey_levels(tmp_path / "a.mkv", [840 + 40 * i for i in range(8)])
    assert shown(tmp_path / "a.mkv") == list(range(8))


@pytest.mark.parametrize(("degrees", "corner"), [(90, "bottom left"), (180, "bottom right"), (270, "top right")])
def test_rotation_in_the_header_is_honoured(tmp_path: Path, degrees: int, corner: str) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:24, :24] = 255  # top left
    write_video(tmp_path / "flat.mp4", [picture] * 3)
    turned = ffmpeg.input(str(tmp_path / "flat.mp4"), display_rotation=degrees)  # counter-clockwise
    turned.output(str(tmp_path / "turned.mp4"), c="copy").run(cmd=get_ffmpeg_exe(), quiet=True)
    frame = next(iter(read_frames(tmp_path / "turned.mp4")))
    assert frame.shape[:2] == ((64, 96) if degrees == 180 else (96, 64))
    height, width = probe(tmp_path / "turned.mp4").height, probe(tmp_path / "turned.mp4").width
    assert (height, width) == frame.shape[:2]
    row, column = corner.split()
    assert frame[{"top": 8, "bottom": -8}[row], {"left": 8, "right": -8}[column]].mean() > 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "cannot be decoded: empty file"), (b"no video at all" * 99, "cannot be decoded: Invalid data")],
)
def test_broken_file_is_rejected(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    for read in (probe, read_audio, lambda p: list(read_frames(p))):
        with pytest.raises(ClipRejected, match=reason):
            read(path)


def test_a_pipe_is_rejected_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for read in (probe, read_audio, lambda p: list(read_frames(p))):
        with pytest.raises(ClipRejected, match="a pipe or a device"):
            read(tmp_path / "pipe.mp4")


def test_missing_file_is_an_error_of_the_world_and_not_of_the_clip(tmp_path: Path) -> None:
    for read in (probe, read_audio, lambda p: list(read_frames(p))):
        with pytest.raises(FileNotFoundError, match=r"none\.mp4"):
            read(tmp_path / "none.mp4")


def test_truncated_file_is_rejected_or_shorter(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (50, 64, 64, 3), np.uint8)
    write_video(tmp_path / "whole.mp4", noise)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    try:
        assert len(list(read_frames(tmp_path / "cut.mp4"))) < 50
    except ClipRejected as error:
        assert "cannot be decoded" in str(error)


def test_playlist_cannot_reach_the_network(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n")
    start = time.monotonic()
    with pytest.raises(ClipRejected):
        probe(path)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("name", ["-dash.mp4", "a:b.mp4", "100% [é] 'x'.mp4", "http:__x.mp4"])
def test_odd_file_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(name, [np.zeros((32, 32, 3), np.uint8)] * 5, [np.zeros(3200, np.int16)])
    assert probe(name).n_frames == 5
    assert len(read_audio(name)) >= 3200


def test_crops_are_nearly_lossless_and_deterministic() -> None:
    ramp = np.linspace(0, 255, 64)
    crops = np.stack([np.stack([np.add.outer(ramp, ramp) / 2 + i] * 3, -1).clip(0, 255) for i in range(12)])
    crops = crops.astype(np.uint8)
    data = crop_bytes(crops)
    assert crop_bytes(iter(crops)) == data
    back = decode_crops(data)
    assert back.shape == crops.shape
    assert back.dtype == np.uint8
    assert np.abs(back.astype(int) - crops).mean() < 2


def test_written_video_holds_what_it_was_given(tmp_path: Path) -> None:
    frames = [np.full((50, 71, 3), (200, 30, 10 * i), np.uint8) for i in range(20)]
    audio = (8000 * np.sin(np.arange(20 * 640) * 2 * np.pi * 440 / 16000)).astype(np.int16)
    path = tmp_path / "out.mp4"
    write_video(path, frames, [audio], comment="synthetic; not a recording")
    facts = probe(path)
    assert (facts.width, facts.height, facts.n_frames, facts.fps) == (72, 50, 20, 25.0)  # odd side: one more column
    assert (facts.codec, facts.audio_rate, facts.audio_start_s) == ("h264", 16000, 0.0)
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == "synthetic; not a recording"
    back = list(read_frames(path))
    assert np.abs(back[7][5:45, 5:60].astype(int) - frames[7][5:45, 5:60]).mean() < 4
    sound = read_audio(path)[2000:12000].astype(float)
    assert np.corrcoef(sound, audio[2000:12000])[0, 1] > 0.98
    first = path.read_bytes()
    write_video(path, iter(frames), [audio], comment="synthetic; not a recording")
    assert path.read_bytes() == first


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def frames() -> object:
        yield np.zeros((32, 32, 3), np.uint8)
        raise ValueError("no second frame")

    with pytest.raises(ValueError, match="no second frame"):
        write_video(tmp_path / "out.mp4", frames())
    with pytest.raises(RuntimeError, match="ffmpeg failed"):
        write_video(tmp_path / "out.unknown", [np.zeros((32, 32, 3), np.uint8)])
    assert list(tmp_path.iterdir()) == []


def test_reading_holds_one_picture_at_a_time(tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", (np.full((240, 320, 3), i % 256, np.uint8) for i in range(300)))
    tracemalloc.start()
    for _ in read_frames(tmp_path / "long.mp4"):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 240 * 320 * 3


def test_cover_picture_is_no_video(tmp_path: Path) -> None:
    write_video(tmp_path / "cover.mp4", [np.zeros((32, 32, 3), np.uint8)] * 2, [np.zeros(16000, np.int16)])
    sound = ffmpeg.input(str(tmp_path / "cover.mp4"))
    cover = ffmpeg.input("color=red:s=32x32:d=0.04", f="lavfi")
    options = {"c:v": "png", "disposition:v:0": "attached_pic", "c:a": "aac", "frames:v": 1}
    ffmpeg.output(sound.audio, cover.video, str(tmp_path / "a.m4a"), **options).run(cmd=get_ffmpeg_exe(), quiet=True)
    with pytest.raises(ClipRejected, match="no video stream"):
        probe(tmp_path / "a.m4a")


def test_real_clips(shared: Path) -> None:
    raw = shared / "clips" / "raw"
    facts = probe(raw / "cuts_multi_noface_stage.mp4")
    assert (facts.width, facts.height, facts.n_frames) == (640, 360, 275)
    assert facts.audio_start_s == pytest.approx(-0.844, abs=1e-3)
    assert len(list(read_frames(raw / "retalk_face4_30fps.mp4"))) == 166  # 199 pictures at 30 fps
    with pytest.raises(ClipRejected, match="no video stream"):
        probe(raw / "audio_only_container.avi")
