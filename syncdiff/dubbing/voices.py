"""Who says what, and when: one sound for one face, or a table of several; and what is heard of that together."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf, isfinite
from pathlib import Path
from typing import Any

import ffmpeg
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.errors import ClipRejected, UserError
from syncdiff.media.audio import SAMPLE_RATE, stream_audio, write_wav
from syncdiff.media.soundtrack import soundtrack_of
from syncdiff.media.video import MESSAGE
from syncdiff.pipeline.files import short_message

TABLE = ".csv"  # the suffix of a table in the place of a sound
COLUMNS = ("face", "sound", "from", "to")
MIX_RATE = 48_000  # Hz, stereo: what several sounds are mixed to


@dataclass(frozen=True)
class Voice:
    """What one face says.

    face: as `people.choose` takes it.
    sound: the file; wav: the same as `write_wav` writes it, with so many samples.
    start, end: in seconds of the video, between which it is said; the sound begins at `start`.
    placed: by a table, among others; else it has the whole video.
    """

    face: str
    sound: Path
    wav: Path
    n_samples: int
    start: float = 0.0
    end: float = inf
    placed: bool = False

    @property
    def over(self) -> float:
        """When its place is over: with the sound, if that is shorter; one that has the whole video is never over."""
        return min(self.end, self.start + self.n_samples / SAMPLE_RATE) if self.placed else inf


def is_table(sound: Path) -> bool:
    """Return whether a sound is a table of several."""
    return sound.suffix.lower() == TABLE


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say which file it was that could not be used."""
    try:
        yield
    except ClipRejected as error:
        raise UserError(f"{path}: {error}; give another file") from None


def voices_of(sound: Path, face: str, folder: Path) -> list[Voice]:
    """Return what is said: `sound` by `face`; or, of a table, a row each.

    Args:
        sound: a sound file, or a CSV file with the columns face (a number), sound, from and to (seconds; empty: from
            the beginning, to the end).
        folder: where the sounds are written as 16 kHz mono.

    Raises:
        UserError: a file cannot be read; the table has another form, or one face says two things at once.
    """
    if not is_table(sound):
        return [_voice(sound, face, folder / "0.wav")]
    rows = list(_rows(sound))
    for (a, one), (b, other) in combinations(enumerate(rows, start=2), 2):
        if one[0] == other[0] and one[2] < other[3] and other[2] < one[3]:
            raise UserError(f"{sound}, lines {a} and {b}: face {one[0]} says two things at once; part their times")
    return [
        replace(_voice(path, number, folder / f"{index}.wav"), start=start, end=end, placed=True)
        for index, (number, path, start, end) in enumerate(rows)
    ]


def _voice(sound: Path, face: str, wav: Path) -> Voice:
    with naming(sound):
        return Voice(face, sound, wav, write_wav(wav, stream_audio(sound)))


def _rows(table: Path) -> Iterator[tuple[str, Path, float, float]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: cannot be read as a table ({short_message(error)}); give a CSV file") from None
    if not rows or set(COLUMNS) - set(rows[0]):
        raise UserError(f"{table}: its first line must be {','.join(COLUMNS)}, and a row must follow")
    for line, row in enumerate(rows, start=2):
        try:
            start, end = float(row["from"] or 0), float(row["to"] or inf)
        except ValueError:
            raise UserError(f"{table}, line {line}: from and to are seconds, such as 1.5") from None
        if not (isfinite(start) and 0 <= start < end):
            raise UserError(f"{table}, line {line}: from {row['from']} to {row['to']} is no time; give from < to")
        if not (row["face"] or "").isdecimal() or not row["sound"]:
            raise UserError(f"{table}, line {line}: give a face's number and a sound; `--list-faces` shows the numbers")
        yield str(int(row["face"])), Path(row["sound"]), start, end


def mixed(video: Path, voices: Sequence[Voice], seconds: float, out: Path) -> Path:
    """Write what is heard: the video's own sound, and in the place of it, where somebody is dubbed, the voices.

    Args:
        seconds: of the video.
        out: a .flac file; it is 48 kHz stereo.

    Raises:
        RuntimeError: ffmpeg failed; its own message.
    """
    base = ffmpeg.input(f"anullsrc=r={MIX_RATE}:cl=stereo", f="lavfi", t=seconds)
    with suppress(ClipRejected):  # a video without sound
        base = soundtrack_of(video, seconds).stream()
    for voice in voices:
        base = base.filter("volume", 0, enable=f"between(t,{voice.start},{voice.over})")
    parts = [_even(base)]
    for voice in voices:
        part: Any = _even(soundtrack_of(voice.sound, voice.over - voice.start).stream())
        parts.append(part.filter("adelay", f"{round(voice.start * 1000)}", all=1))
    heard = ffmpeg.filter(parts, "amix", inputs=len(parts), normalize=0, duration="first")
    command = ffmpeg.output(heard, f"file:{out}", loglevel="error").compile(cmd=get_ffmpeg_exe(), overwrite_output=True)
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ffmpeg failed: {done.stderr[:MESSAGE].decode(errors='replace').strip()}")
    return out


def _even(stream: Any) -> Any:
    return stream.filter("aformat", sample_rates=MIX_RATE, channel_layouts="stereo", sample_fmts="fltp")
