"""What is written: the form, the times and the sound of what went in, in each container."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from syncdiff.errors import UserError
from syncdiff.media.audio import read_audio
from syncdiff.media.encode import KINDS, check_form, write_pictures
from syncdiff.media.pictures import Picture, Video
from syncdiff.media.soundtrack import soundtrack_of
from tests.dubbing.film import even_times, facts, shown_times, write_film

pytestmark = pytest.mark.quick
FILM = Fraction(24_000, 1001)  # frames a second


def _pictures(n: int) -> list[np.ndarray]:
    y, x = np.mgrid[:64, :96]
    return [np.stack([x * 2, y * 3, (x + 4 * t) % 256], axis=-1).astype(np.uint8) for t in range(n)]


def _tone() -> np.ndarray:
    left = 0.3 * np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000)
    return np.stack([left, 0 * left], axis=1)


def _again(source: Path, sound: Path, out: Path, **options: Any) -> Path:
    video = Video(source)
    n_frames = len(list(video.pictures()))
    seconds = n_frames / float(video.form.rate)
    write_pictures(out, video.form, video.pictures(), soundtrack_of(sound, seconds), "made", **options)
    return out


@pytest.mark.parametrize("suffix", KINDS)
def test_every_container_keeps_size_times_shape_turn_colours_and_sound(tmp_path: Path, suffix: str) -> None:
    source, wav = tmp_path / "in.mp4", tmp_path / "s.wav"
    write_film(source, _pictures(12), even_times(12, 30), matrix=1, transfer=1, primaries=1, aspect=(4, 3), turned=90)
    soundfile.write(wav, _tone(), 48_000)
    out = _again(source, wav, tmp_path / f"out{suffix}")
    before, after = facts(source), facts(out)
    codec = {".webm": "vorbis", ".mov": "pcm_s16le", ".mkv": "pcm_s16le"}.get(suffix, "aac")
    assert after.pop("sound") == (codec, 48_000, 2)
    assert after == {key: value for key, value in before.items() if key != "sound"}
    np.testing.assert_allclose(list(shown_times(out)), even_times(12, 30), atol=1.1e-3)
    heard = read_audio(out)
    assert len(heard) == pytest.approx(0.4 * 16_000, abs=700)
    assert np.abs(heard[1000:5000]).max() > 2000
    with av.open(str(out)) as container:
        assert {key.lower(): value for key, value in container.metadata.items()}["comment"] == "made"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_ten_bits_stay_ten_with_the_tags_of_hdr(tmp_path: Path) -> None:
    source, wav = tmp_path / "in.mp4", tmp_path / "s.wav"
    write_film(source, _pictures(6), even_times(6, 25), pixel_format="yuv420p10le", matrix=9, transfer=18, primaries=9)
    soundfile.write(wav, _tone(), 48_000)
    after = facts(_again(source, wav, tmp_path / "out.mov"))
    assert (after["pixels"], after["colours"]) == ("yuv420p10le", (9, 9, 18, 1))
    with pytest.raises(UserError, match=r"out\.webm: pictures of 10 bits are not written as WebM; name it out\.mp4"):
        check_form(tmp_path / "out.webm", Video(source).form)


def test_a_sound_that_the_container_takes_is_copied_packet_by_packet(tmp_path: Path) -> None:
    source, other = tmp_path / "in.mp4", tmp_path / "other.mp4"
    write_film(source, _pictures(12), even_times(12, 30))
    write_film(other, _pictures(30), even_times(30, 30), audio=_tone())
    out = _again(source, other, tmp_path / "out.mp4")
    packets = []
    for path in (other, out):
        with av.open(str(path)) as container:
            packets.append([bytes(packet) for packet in container.demux(audio=0) if packet.size])
    assert 0 < len(packets[1]) < len(packets[0])
    assert packets[1] == packets[0][: len(packets[1])]


def test_a_variable_rate_and_the_quality_are_what_was_asked_for(tmp_path: Path) -> None:
    source, wav = tmp_path / "in.mkv", tmp_path / "s.wav"
    times = [0, 0.02, 0.1, 0.11, 0.3, 0.31, 0.35]
    write_film(source, _pictures(7), times)
    soundfile.write(wav, _tone(), 48_000)
    sizes = []
    for crf in (5, 40):
        out = _again(source, wav, tmp_path / f"{crf}.mp4", crf=crf)
        np.testing.assert_allclose(list(shown_times(out)), times, atol=1.1e-3)
        sizes.append(out.stat().st_size)
    assert sizes[0] > sizes[1]


def test_a_fractional_rate_is_written_exactly(tmp_path: Path) -> None:
    source, wav = tmp_path / "in.mp4", tmp_path / "s.wav"
    write_film(source, _pictures(24), even_times(24, float(FILM)), rate=FILM)
    soundfile.write(wav, _tone(), 48_000)
    rate = facts(_again(source, wav, tmp_path / "out.mp4"))["rate"]
    assert rate == pytest.approx(FILM, rel=1e-4)


def test_two_do_not_write_one_video_at_a_time_and_the_first_goes_on(tmp_path: Path) -> None:
    source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_film(source, _pictures(12), even_times(12, 30))
    video = Video(source)

    def disturbed() -> Iterator[Picture]:
        for index, picture in enumerate(video.pictures()):
            if index == 6:
                with pytest.raises(UserError, match=r"out\.mp4: another process is writing it"):
                    write_pictures(out, video.form, video.pictures(), None, "second")
            yield picture

    write_pictures(out, video.form, disturbed(), None, "first")
    assert len(list(shown_times(out))) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
