"""Files that nobody should upload, or that somebody will: each is made small, and says what the page must answer."""

from __future__ import annotations

import io
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe

Slot = str  # video or sound


class Hostile(NamedTuple):
    """A file: where it goes, under which name, what makes its bytes, and a pattern of the answer."""

    slot: Slot
    name: str
    make: Callable[[Path], bytes]
    answer: str


DAMAGED = "cannot be decoded"
NO_MEDIA = f"{DAMAGED}: (not a kind of file that is read|Invalid data)"


def ffmpeg(folder: Path, *arguments: str, suffix: str = ".mp4") -> bytes:
    """Return what ffmpeg writes."""
    out = folder / f"made{suffix}"
    subprocess.run([get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments, str(out)], check=True)
    return out.read_bytes()


def pictures(size: str = "64x48", seconds: float = 1, rate: str = "25") -> tuple[str, ...]:
    """Return ffmpeg's arguments for a video without a face."""
    return "-f", "lavfi", "-i", f"testsrc=s={size}:r={rate}:d={seconds}"


def _text(text: str) -> Callable[[Path], bytes]:
    return lambda folder: text.encode()


def _mp4(folder: Path) -> bytes:
    return ffmpeg(folder, *pictures(), "-pix_fmt", "yuv420p")


def _png(folder: Path) -> bytes:
    return ffmpeg(folder, *pictures(), "-frames:v", "1", suffix=".png")


def _zip_bomb(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(20):
            archive.writestr(f"{index}.mp4", bytes(10**7))
    return packed.getvalue()


def _no_index(folder: Path) -> bytes:
    return _mp4(folder)[:-900]


def _wide(folder: Path) -> bytes:
    return ffmpeg(folder, *pictures("20000x64", 0.2), "-c:v", "mjpeg", suffix=".mkv")


def _dot(folder: Path) -> bytes:
    return ffmpeg(folder, *pictures("1x1", 0.4), "-c:v", "rawvideo", "-pix_fmt", "bgr24", suffix=".avi")


def _no_rate(folder: Path) -> bytes:
    """An AVI whose rate is 0 / 0 in both its headers."""
    data = bytearray(ffmpeg(folder, *pictures(), "-c:v", "mjpeg", suffix=".avi"))
    main, stream = data.index(b"avih") + 8, data.index(b"strh") + 8
    data[main : main + 4] = struct.pack("<I", 0)
    data[stream + 20 : stream + 28] = struct.pack("<II", 0, 0)
    return bytes(data)


def _jump(folder: Path) -> bytes:
    filters = "setpts=PTS+gte(N\\,10)*99999/TB"
    return ffmpeg(folder, *pictures(), "-vf", filters, "-fps_mode", "passthrough", "-c:v", "mjpeg", suffix=".mkv")


def _long(folder: Path) -> bytes:
    return ffmpeg(folder, *pictures("16x16", 700, "1"), "-pix_fmt", "yuv420p")


def _fast(folder: Path) -> bytes:
    return ffmpeg(folder, *pictures("16x16", 2, "900"), "-pix_fmt", "yuv420p")


def _tilted(folder: Path) -> bytes:
    (folder / "plain.mp4").write_bytes(_mp4(folder))
    return ffmpeg(folder, "-display_rotation", "33", "-i", str(folder / "plain.mp4"), "-c", "copy")


def _tone(folder: Path, *arguments: str, suffix: str = ".wav", seconds: float = 1) -> bytes:
    return ffmpeg(folder, "-f", "lavfi", "-i", f"sine=440:r=16000:d={seconds}", *arguments, suffix=suffix)


def _endless_sound(folder: Path) -> bytes:
    silence = "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d=1000"
    return ffmpeg(folder, *silence, suffix=".flac")


def _many_channels(folder: Path) -> bytes:
    soundfile.write(folder / "many.wav", np.zeros((1600, 64), np.int16), 16_000)
    return (folder / "many.wav").read_bytes()


def _table_and_sound(folder: Path) -> bytes:
    """An MP3 that is also a table of sounds to those who go by its name; it names another file."""
    return b"face,sound,from,to\n1,/etc/hostname,0,1\n" + _tone(folder, suffix=".mp3")


def _playlist(text: str) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        (folder / "other.mp4").write_bytes(_mp4(folder))
        return text.format(folder / "other.mp4").encode()

    return made


SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = "<!doctype html><script>alert(document.domain)</script>"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
DASH = '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><BaseURL>{}</BaseURL></Period></MPD>'

REFUSED = {
    "an empty file": Hostile("video", "a.mp4", _text(""), "empty file"),
    "text": Hostile("video", "a.mp4", _text("hello\n" * 100), NO_MEDIA),
    "a web page": Hostile("video", "a.html", _text(HTML), NO_MEDIA),
    "a drawing with a script": Hostile("video", "a.svg", _text(SVG), NO_MEDIA),
    "a picture": Hostile("video", "a.mp4", _png, NO_MEDIA),
    "a zip bomb": Hostile("video", "a.mp4", _zip_bomb, NO_MEDIA),
    "a list of files to join": Hostile("video", "a.ffconcat", _playlist("ffconcat version 1.0\nfile '{}'\n"), NO_MEDIA),
    "an HLS playlist": Hostile("video", "a.m3u8", _playlist(HLS), NO_MEDIA),
    "a playlist that calls": Hostile("sound", "a.mp3", _text(HLS.format("http://127.0.0.1:9/a.ts")), NO_MEDIA),
    "a session to listen to": Hostile("video", "a.sdp", _text(SDP), NO_MEDIA),
    "a DASH manifest": Hostile("video", "a.mpd", _playlist(DASH), NO_MEDIA),
    "an mp4 without its index": Hostile("video", "a.mp4", _no_index, f"{DAMAGED}|no video stream"),
    "sound without pictures": Hostile("video", "a.wav", _tone, "no video stream"),
    "a picture of 20,000 × 64": Hostile("video", "a.mkv", _wide, "pictures of 20000 × 64 are not written"),
    "a picture at an angle": Hostile("video", "a.mp4", _tilted, "turned by -33 degrees"),
    "a jump of a day": Hostile("video", "a.mkv", _jump, "broken timestamps"),
    "eleven minutes": Hostile("video", "a.mp4", _long, "longer than 10 minutes"),
    "900 frames a second": Hostile("video", "a.mp4", _fast, "more than 120 frames a second"),
    "a table of sounds": Hostile("sound", "a.csv", _text("face,sound,from,to\n1,/etc/hostname,0,1\n"), NO_MEDIA),
    "a video without sound": Hostile("sound", "a.mp4", _mp4, "no audio"),
    "16 minutes of silence in 50 kB": Hostile("sound", "a.flac", _endless_sound, "longer than 10 minutes"),
}

# What can be read: nobody's fault, but no face is in it, or its name would have it read otherwise.
TAKEN = {
    "one pixel": Hostile("video", "a.avi", _dot, "1 × 1"),
    "pictures at no rate": Hostile("video", "a.avi", _no_rate, "64 × 48"),
    "64 channels": Hostile("sound", "a.wav", _many_channels, "0.1 s of sound"),
    "a sound that is a table too": Hostile("sound", "a.csv", _table_and_sound, "of sound"),
}
NAMES = (
    "../../../../etc/cron.d/a.mp4",
    "/etc/passwd",
    "a; touch $HOME `id` | b.mp4",
    "two\nlines\r.mp4",
    "\u202e4pm.exe",
    "<img src=x onerror=alert(1)>.mp4",
    "-i.mp4",
    "%2e%2e%2fa.mp4",
    "a" * 300 + ".mp4",
)
