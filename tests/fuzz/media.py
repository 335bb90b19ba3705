"""Clips of all containers, damaged, and playlists under a video's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator

from tests.fuzz.mutate import damage, splice
from tests.fuzz.place import Make, Place, Read, pick

# suffix: codecs of ffmpeg; None: no such stream
MEDIA: dict[str, tuple[str | None, str | None]] = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("mpeg4", "pcm_s16le"),
    ".m4v": ("libx264", "aac"),
    ".3gp": ("mpeg4", "aac"),
    ".mkv": ("libx264", "libopus"),
    ".webm": ("libvpx", "libvorbis"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".mpg": ("mpeg2video", "mp2"),
    ".ts": ("libx264", "aac"),
    ".m2ts": ("mpeg2video", "ac3"),
    ".flv": ("flv", "libmp3lame"),
    ".wmv": ("wmv2", "wmav2"),
    ".ogv": ("libtheora", "libvorbis"),
    ".wav": (None, "pcm_s16le"),
    ".mp3": (None, "libmp3lame"),
    ".flac": (None, "flac"),
    ".m4a": (None, "aac"),
    ".ogg": (None, "libvorbis"),
}
# name of a seed: pictures of ffmpeg's, and options of their encoder
PICTURES: dict[str, tuple[str, dict[str, str]]] = {
    "squeezed.mkv": ("setsar=4/3", {}),
    "interlaced.mp4": ("interlace", {"flags": "+ilme+ildct"}),
    "hlg.mp4": (
        "format=yuv420p10le",
        {"bsf:v": "h264_metadata=matrix_coefficients=9:colour_primaries=9:transfer_characteristics=18"},
    ),
}
MEDIA_TOKENS = (
    *(b"moov", b"trak", b"mdat", b"stts", b"ctts", b"stsz", b"stco", b"co64", b"elst", b"dref", b"url ", b"tkhd"),
    *(b"RIFF", b"LIST", b"idx1", b"OggS", b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xb3", b"\x00\x00\x01\xba", b"\x47"),
    *(b"file:///etc/hostname", b"http://127.0.0.1:9/x", b"#EXTM3U\n", b"ffconcat version 1.0\n", b"\xff\xfb"),
)


def make_media(folder: Path, suffix: str, seconds: float = 0.6) -> Path:
    """Write a small clip with a moving pattern and a tone."""
    import ffmpeg
    from imageio_ffmpeg import get_ffmpeg_exe

    video, audio = MEDIA[suffix]
    rate = 50 if suffix == ".3gp" else 25
    streams, options = [], {"shortest": None, "strict": "-2"}
    if video:
        streams.append(ffmpeg.input(f"testsrc=size=64x48:rate={rate}:duration={seconds}", f="lavfi").video)
        options |= {"c:v": video, "pix_fmt": "yuv420p", "g": 6}
    if audio:
        streams.append(ffmpeg.input(f"sine=frequency=440:sample_rate=48000:duration={seconds}", f="lavfi").audio)
        options |= {"c:a": audio}
    path = folder / f"seed{suffix}"
    ffmpeg.output(*streams, str(path), **options).run(cmd=get_ffmpeg_exe(), quiet=True, overwrite_output=True)
    return path


def odd_media(folder: Path) -> list[Path]:
    """Write clips with the clocks and channels that people's files have: a live one, a variable rate, a joined one."""
    import ffmpeg
    import soundfile
    from imageio_ffmpeg import get_ffmpeg_exe

    pictures = ffmpeg.input("testsrc=size=64x48:rate=30:duration=0.6", f="lavfi").video
    tone = ffmpeg.input("sine=frequency=440:sample_rate=48000:duration=0.6", f="lavfi").audio
    uneven = pictures.filter("select", "lt(t,0.3)+not(mod(n,3))")
    kinds = {"live.webm": ("libvpx", "libopus", {"live": 1}), "uneven.flv": ("flv", "libmp3lame", {"fps_mode": "vfr"})}
    for name, (video, audio, options) in kinds.items():
        chosen = {"c:v": video, "c:a": audio, "strict": "-2", **options}
        shown = uneven if "fps_mode" in options else pictures
        ffmpeg.output(shown, tone, str(folder / name), **chosen).run(cmd=get_ffmpeg_exe(), quiet=True)
    (folder / "rejoined.ts").write_bytes(2 * make_media(folder, ".ts").read_bytes())
    soundfile.write(folder / "nine.wav", np.random.default_rng(0).normal(0, 0.1, (4800, 9)), 16_000)
    return [folder / name for name in (*kinds, "rejoined.ts", "nine.wav")]


def make_pictures(folder: Path) -> list[Path]:
    """Write small clips with pictures that are not shown as they are coded."""
    import ffmpeg
    from imageio_ffmpeg import get_ffmpeg_exe

    quiet = {"cmd": get_ffmpeg_exe(), "quiet": True, "overwrite_output": True}
    source = "testsrc=size={}:rate=50:duration=0.3"
    paths = []
    for name, (filters, options) in PICTURES.items():
        pictures = ffmpeg.input(f"{source.format('64x48')},{filters}", f="lavfi")
        paths.append(folder / name)
        ffmpeg.output(pictures, str(paths[-1]), **{"c:v": "libx264", **options}).run(**quiet)
    turned = ffmpeg.input(str(paths[1]), display_rotation=90, display_hflip=None)
    paths.append(folder / "turned.mp4")
    ffmpeg.output(turned, str(paths[-1]), c="copy").run(**quiet)
    joined = b""
    for size in ("64x48", "48x64"):
        ffmpeg.output(ffmpeg.input(source.format(size), f="lavfi"), str(folder / "part.ts")).run(**quiet)
        joined += (folder / "part.ts").read_bytes()
    (folder / "joined.ts").write_bytes(joined)
    return [*paths, folder / "joined.ts"]


def playlist(rng: Generator, target: str) -> bytes:
    """Return a text that some demuxer takes for a list of other files."""
    texts = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{target}'\n",
        f'<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet><Representation><BaseURL>{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=control:{target}\n",
        f"[playlist]\nFile1={target}\n",
    )
    return pick(rng, texts).encode()


def media(place: Place) -> Make:
    """Return a maker of damaged clips of all containers, and of playlists under a video's name."""
    seeds = [(suffix, make_media(place.inputs, suffix).read_bytes()) for suffix in MEDIA]
    seeds += [(path.suffix, path.read_bytes()) for path in odd_media(place.inputs)]
    seeds += [(path.suffix, path.read_bytes()) for path in make_pictures(place.inputs)]
    target = str(place.inputs / "seed.mp4")

    def make(rng: Generator) -> Path:
        suffix, data = pick(rng, seeds)
        kind = rng.random()
        if kind < 0.05:
            data = playlist(rng, pick(rng, (target, f"file:{target}", "http://127.0.0.1:9/x.ts", "/etc/hostname")))
        elif kind < 0.12:
            data = splice(rng, data, pick(rng, seeds)[1])
        else:
            data = damage(rng, data, MEDIA_TOKENS, head=1024)
        path = place.inputs / f"clip{suffix}"
        path.write_bytes(data)
        return path

    return make


def probe_reader(place: Place) -> tuple[Make, Read]:
    """Headers and one picture, then what the plan makes of them."""
    place.set_up()
    from syncdiff.config import Config
    from syncdiff.corpus.plan import Facts, _columns, rejection_reason
    from syncdiff.media.video import probe

    def read(path: Path) -> None:
        found = probe(path)
        rejection_reason(found, Config().plan)
        np.array(_columns(Facts(found, ""))["n_frames"], np.int64)

    return media(place), read


def decode_reader(place: Place) -> tuple[Make, Read]:
    """All pictures and all sound."""
    place.set_up()
    from syncdiff.errors import ClipRejected
    from syncdiff.media.audio import read_audio
    from syncdiff.media.video import read_frames

    def read(path: Path) -> None:
        try:
            for _ in read_frames(path):
                pass
        except ClipRejected:
            read_audio(path)
            raise
        read_audio(path)

    return media(place), read
