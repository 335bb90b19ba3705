"""Which files are opened: ordinary containers all, and never another file or address that one of them names."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import ffmpeg
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.errors import ClipRejected
from syncdiff.media.audio import read_audio
from syncdiff.media.container import MAX_GAP_S
from syncdiff.media.video import probe, read_frames, write_video
from tests.fuzz.media import MEDIA, make_media

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("suffix", MEDIA)
def test_ordinary_containers_open(suffix: str, tmp_path: Path) -> None:
    path = make_media(tmp_path, suffix)
    video, _ = MEDIA[suffix]
    assert len(read_audio(path)) == pytest.approx(16000 * 0.6, abs=3000)
    if video:
        assert (probe(path).width, probe(path).height) == (64, 48)
        assert len(list(read_frames(path))) == pytest.approx(15, abs=2)
    else:
        with pytest.raises(ClipRejected, match="no video stream"):
            probe(path)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\nm=video 9 RTP/AVP 96\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="0"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ts"])
@pytest.mark.parametrize("form", ["{}", "file:{}", "{}:name"])
def test_a_playlist_opens_no_other_file(kind: str, suffix: str, form: str, tmp_path: Path) -> None:
    other = make_media(tmp_path, ".ts")
    assert probe(other).width == 64
    target = other.name if form == "{}:name" else form.format(other)
    path = tmp_path / f"clip{suffix}"
    path.write_text(PLAYLISTS[kind].format(target))
    for read in (probe, read_audio, lambda p: list(read_frames(p))):
        with pytest.raises(ClipRejected, match="cannot be decoded"):
            read(path)
    with pytest.raises(ClipRejected, match="cannot be decoded"):
        list(read_frames(path.read_bytes()))


def test_a_numbered_picture_is_no_video(tmp_path: Path) -> None:
    picture = ffmpeg.input("color=red:s=32x32:d=0.1", f="lavfi")
    ffmpeg.output(picture, str(tmp_path / "%02d.png")).run(cmd=get_ffmpeg_exe(), quiet=True)
    (tmp_path / "01.png").rename(tmp_path / "01.mp4")
    with pytest.raises(ClipRejected, match="cannot be decoded"):
        probe(tmp_path / "01.mp4")
    with pytest.raises(FileNotFoundError):  # no file has that name: it is no pattern
        probe(tmp_path / "%02d.png")


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_reaches_no_network(kind: str, tmp_path: Path) -> None:
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)

        def answer() -> None:
            try:
                server.accept()[0].close()
                called.set()
            except TimeoutError:
                pass

        waiting = threading.Thread(target=answer)
        waiting.start()
        path = tmp_path / "clip.mp4"
        path.write_text(PLAYLISTS[kind].format(f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"))
        with pytest.raises(ClipRejected):
            probe(path)
        waiting.join()
    assert not called.is_set()


def test_a_jump_in_time_is_refused_and_not_filled(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 50, [np.ones(32000, np.int16)])
    whole = ffmpeg.input(str(tmp_path / "a.mp4"))
    late = 1000 * MAX_GAP_S
    video = whole.video.filter("setpts", f"PTS+gte(N,25)*{late}/TB")
    audio = whole.audio.filter("asetpts", f"PTS+gte(N,15)*{late}/TB")
    out = tmp_path / "jump.mkv"
    ffmpeg.output(video, audio, str(out), fps_mode="passthrough").run(cmd=get_ffmpeg_exe(), quiet=True)
    with pytest.raises(ClipRejected, match="broken timestamps"):
        list(read_frames(out))
    with pytest.raises(ClipRejected, match="broken timestamps"):
        read_audio(out)


def test_a_picture_too_large_for_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.mkv"
    huge = ffmpeg.input("color=black:s=16000x16000:r=25:d=0.04", f="lavfi")
    ffmpeg.output(huge, str(path), vcodec="mjpeg", pix_fmt="yuvj420p").run(cmd=get_ffmpeg_exe(), quiet=True)
    for read in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(ClipRejected):
            read(path)
