"""Pictures in their video's own form, encoded, and put into a container with a sound: what `dub` writes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import av
import ffmpeg
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.errors import UserError
from syncdiff.media.pictures import Form, Picture
from syncdiff.media.soundtrack import Soundtrack
from syncdiff.media.video import BITEXACT, MESSAGE, PRESET, VIDEO_CRF, X264
from syncdiff.pipeline.files import atomic, scratch

CRF = VIDEO_CRF
MAX_SIDE = 16_384  # pixels, of x264
THREADS = 2  # of the encoder: another number gives other bytes
VP9 = {"deadline": "good", "cpu-used": "5", "row-mt": "1", "b": "0"}
X265 = {"x265-params": "log-level=none:pools=2:frame-threads=1"}


class Kind(NamedTuple):
    """A container: the encoder of its sound, and the sounds that it takes as they are."""

    sound: str
    copied: frozenset[str]


_MP4 = Kind("aac", frozenset(("aac", "mp3", "ac3", "eac3", "alac")))
_MOV = Kind("aac", _MP4.copied | {"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"})
KINDS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": _MOV,
    ".mkv": Kind("aac", _MOV.copied | {"opus", "vorbis", "flac"}),
    ".webm": Kind("libvorbis", frozenset(("opus", "vorbis"))),
}


def check_form(path: Path, form: Form) -> None:
    """Refuse pictures that the container's encoder does not take.

    Raises:
        UserError: 10 bits for WebM; or larger than an encoder takes.
    """
    if max(form.width, form.height) > MAX_SIDE:
        size = f"{form.width} × {form.height}"
        raise UserError(f"{path}: pictures of {size} are not written, {MAX_SIDE} a side at most; make them smaller")
    if path.suffix.lower() == ".webm" and form.bits > 8:
        raise UserError(f"{path}: pictures of 10 bits are not written as WebM; name it {path.stem}.mp4")


def write_pictures(
    path: Path, form: Form, pictures: Iterable[Picture], sound: Soundtrack | None, comment: str, crf: int = CRF
) -> None:
    """Write pictures of one form with a sound, atomically: size, shape of a pixel, turn, times and colours are theirs.

    8 bits become H.264, 10 bits H.265, in WebM both VP9. The pictures are encoded into a folder beside `path` first.

    Args:
        path: its suffix, one of `KINDS`, names the container.
        pictures: in the order of their ticks; at least one.
        sound: copied where the container takes it as it is, and it need not be cut at its beginning.
        comment: metadata tag.
        crf: constant quality, 0 to 51; of VP9 the number that looks alike, 12 more.

    Raises:
        UserError: the disk is full, or another process is writing the same file.
        RuntimeError: ffmpeg failed; its own message.
    """
    with atomic(path) as temporary, scratch(path) as folder:
        silent = folder / "pictures.mp4"
        _encode(silent, path.suffix.lower(), form, pictures, crf)
        _join(temporary, silent, sound, comment)


def _encode(path: Path, suffix: str, form: Form, pictures: Iterable[Picture], crf: int) -> None:
    with av.open(f"file:{path}", "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        codec, options = _encoder(suffix, form, crf)
        stream: Any = container.add_stream(codec, rate=form.rate, options=options, time_base=form.tick)
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = form.width, form.height, form.pixel_format
        context.sample_aspect_ratio = form.aspect
        context.colorspace, context.color_primaries = form.color.matrix, form.color.primaries
        context.color_trc, context.color_range = form.color.transfer, 2 if form.color.full_range else 1
        if codec == "libx265":
            context.codec_tag = "hvc1"  # what phones and QuickTime play
        stream.set_display_matrix(form.matrix)
        for picture in pictures:
            picture.frame.pts, picture.frame.time_base = picture.ticks, form.tick
            picture.frame.pict_type = 0  # the encoder's choice, not what the decoder saw
            container.mux(stream.encode(picture.frame))
        container.mux(stream.encode(None))


def _encoder(suffix: str, form: Form, crf: int) -> tuple[str, dict[str, str]]:
    threads = {"threads": str(THREADS)}
    if suffix == ".webm":
        return "libvpx-vp9", threads | VP9 | {"crf": str(min(crf + 12, 63))}
    if form.bits > 8:
        return "libx265", X265 | {"crf": str(crf), "preset": PRESET}
    return "libx264", threads | {"crf": str(crf), "preset": PRESET, "x264-params": X264}


def _join(path: Path, pictures: Path, sound: Soundtrack | None, comment: str) -> None:
    """Put pictures and sound into one file, the pictures as they are."""
    kind = KINDS[path.suffix.lower()]
    streams = [ffmpeg.input(f"file:{pictures}").video]
    options: dict[str, Any] = {"c:v": "copy", "metadata": f"comment={comment}"}
    if path.suffix.lower() in {".mp4", ".m4v", ".mov"}:
        options["movflags"] = "+faststart"
    if sound is not None and sound.codec in kind.copied and sound.is_whole:
        streams.append(sound.source())
        options |= {"c:a": "copy"} | ({} if sound.seconds is None else {"t": sound.seconds})
    elif sound is not None:
        streams.append(sound.stream())
        options |= {"c:a": kind.sound} | sound.encoding()
    command = ffmpeg.output(*streams, f"file:{path}", loglevel="error", **options, **BITEXACT)
    done = subprocess.run(
        command.compile(cmd=get_ffmpeg_exe(), overwrite_output=True), capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"ffmpeg failed: {done.stderr[:MESSAGE].decode(errors='replace').strip()}")
