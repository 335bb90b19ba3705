"""Sound and clocks of files that people have: every reader finds the same length, the right track, and no garbage."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from subprocess import run

import av
import numpy as np
import pytest
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.errors import ClipRejected, UserError
from syncdiff.media import extent
from syncdiff.media.audio import read_audio
from syncdiff.media.clock import n_shown
from syncdiff.media.decode import decoded
from syncdiff.media.video import probe, read_frames
from syncdiff.speech.extract import extract_features

pytestmark = pytest.mark.quick

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p")
AAC = (*X264, "-c:a", "aac")
UNEVEN = ("-vf", "select=lt(t\\,1)+not(mod(n\\,3))", "-fps_mode", "vfr")  # 30 fps, from 1 s on 10


def ff(*arguments: object) -> None:
    run([get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)], check=True)


def source(rate: float = 25, seconds: float = 1.0, sound_rate: int = 44100) -> tuple[str, ...]:
    """Pictures and a tone."""
    tone = f"sine=440:r={sound_rate}:d={seconds}"
    return ("-f", "lavfi", "-i", f"testsrc=s=64x48:r={rate}:d={seconds}", "-f", "lavfi", "-i", tone)


def lengths(path: Path) -> tuple[int, int]:
    """Frames at 25 fps: what the plan expects, what is read."""
    return n_shown(probe(path).duration_s), sum(1 for _ in read_frames(path))


CODECS = {
    **dict.fromkeys((".mp4", ".mov", ".mkv", ".flv", ".ts", ".nut"), AAC),
    ".avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    ".webm": ("-c:v", "libvpx", "-c:a", "libopus"),
    ".wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
}


@pytest.mark.parametrize("suffix", CODECS)
def test_a_variable_rate_is_measured_and_noted(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    ff(*source(30, 2), *UNEVEN, *CODECS[suffix], path)
    planned, read = lengths(path)
    assert planned == read == pytest.approx(50, abs=2)
    assert probe(path).fps == pytest.approx(20, abs=1)
    assert probe(path).notes == (extent.VARIABLE,)


@pytest.mark.parametrize(
    ("suffix", "options"), [(".mp4", ["-movflags", "frag_keyframe+empty_moov"]), (".mkv", ["-live", 1])]
)
def test_a_recording_whose_header_knows_no_length(suffix: str, options: list[object], tmp_path: Path) -> None:
    ff(*source(), *AAC, *options, tmp_path / f"a{suffix}")
    assert lengths(tmp_path / f"a{suffix}") == (25, 25)
    assert probe(tmp_path / f"a{suffix}").notes == ()


def test_a_browsers_recording(tmp_path: Path) -> None:
    path = tmp_path / "live.webm"
    with av.open(str(path), "w", options={"live": "1"}) as out:
        stream = out.add_stream("libvpx", rate=1000, options={"deadline": "realtime"})
        stream.width = stream.height = 64
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = 1000 * index // 30 + index * 7 % 12, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert probe(path).fps == pytest.approx(30, abs=0.5)
    assert lengths(path) == (50, 50)


@pytest.mark.parametrize("suffix", [".h264", ".hevc", ".m4v"])
def test_a_stream_without_times(suffix: str, tmp_path: Path) -> None:
    codec = {".h264": "libx264", ".hevc": "libx265", ".m4v": "mpeg4"}[suffix]
    ff(*source(30)[:4], "-c:v", codec, *(["-f", "m4v"] if suffix == ".m4v" else []), tmp_path / f"a{suffix}")
    assert lengths(tmp_path / f"a{suffix}") == (25, 25)


@pytest.mark.parametrize("rate", [10, 24, "30000/1001", 30, 48, 50, 60, 100, 120])
def test_a_constant_rate_of_any_length(rate: float | str, tmp_path: Path) -> None:
    for n_pictures in (1, 2, 3, 7, 15, 16, 17, 18, 31):
        pictures = ("-f", "lavfi", "-i", f"color=s=32x32:r={rate}", "-frames:v", n_pictures)
        ff(*pictures, *X264, tmp_path / f"{n_pictures}.mp4", *pictures[-2:], *X264, tmp_path / f"{n_pictures}.mkv")
        for suffix in (".mp4", ".mkv"):
            path = tmp_path / f"{n_pictures}{suffix}"
            planned, read = lengths(path)
            expected = max(1, n_pictures * 25 / Fraction(rate))
            assert planned == read == pytest.approx(float(expected), abs=0.6)
            assert probe(path).notes == ()


@pytest.mark.parametrize("first_s", [-0.3, 0.5])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_first_picture_that_is_late_or_early(suffix: str, first_s: float, tmp_path: Path) -> None:
    ff(*source(), *AAC, tmp_path / "a.mp4")
    path = tmp_path / f"b{suffix}"
    moved = ("-itsoffset", first_s, "-i", tmp_path / "a.mp4", "-i", tmp_path / "a.mp4")
    ff(*moved, "-map", "0:v", "-map", "1:a", "-c", "copy", "-avoid_negative_ts", "disabled", path)
    planned, read = lengths(path)
    assert planned == read <= 25


def header(path: Path, box: bytes, offset: int, value: int) -> None:
    """Overwrite four bytes of an mp4's header."""
    data = path.read_bytes()
    place = data.index(box) + offset
    path.write_bytes(data[:place] + struct.pack(">I", value) + data[place + 4 :])


@pytest.mark.parametrize(
    ("box", "offset", "value", "frames"), [(b"mdhd", 20, 99, 25), (b"mdhd", 20, 10**9, 25), (b"elst", 12, 200, 5)]
)
def test_an_mp4_whose_header_lies(box: bytes, offset: int, value: int, frames: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ff(*source()[:4], *X264, path)
    header(path, box, offset, value)
    assert lengths(path) == (frames, frames)


def test_an_mp4_whose_beginning_is_cut_off_by_its_edit_list(tmp_path: Path) -> None:
    ff(*source(), *AAC, "-bf", 0, tmp_path / "a.mp4")
    ff("-ss", 0.5, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    planned, read = lengths(tmp_path / "b.mp4")
    assert planned == read == pytest.approx(12.5, abs=1)


def test_an_mp4_of_which_the_end_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ff(*source(), *AAC, "-movflags", "faststart", path)
    path.write_bytes(path.read_bytes()[: round(0.6 * path.stat().st_size)])
    planned, read = lengths(path)
    assert planned == read < 20
    assert extent.CUT in probe(path).notes
    assert len(read_audio(path)) > 3200


def test_an_mp4_whose_last_picture_is_held(tmp_path: Path) -> None:
    ff(*source()[:4], *X264, "-bf", 0, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as given, av.open(str(tmp_path / "b.mp4"), "w") as made:
        pictures = made.add_stream_from_template(given.streams.video[0])
        packets = [packet for packet in given.demux(given.streams.video[0]) if packet.dts is not None]
        packets[-1].duration = 11 * (packets[-1].duration or 0)
        for packet in packets:
            packet.stream = pictures
            made.mux(packet)
    assert lengths(tmp_path / "b.mp4") == (35, 35)


class Packet:
    """20 ms of something, 1: sound, 0: damage, None: the end of the file."""

    time_base, duration = Fraction(1, 50), 1

    def __init__(self, content: int | None) -> None:
        self.content, self.size = content, int(content is not None)

    def decode(self) -> list[int]:
        if self.content == 0:
            raise av.InvalidDataError(1, "damaged")
        return [1] if self.content else []


@pytest.mark.parametrize(
    ("contents", "whole"),
    [([1, 1, 0, 0, None], True), ([1, 0, 1, None], False), ([0, 0, None], False), ([1, *[0] * 30, None], False)],
)
def test_only_a_damaged_end_is_left_out(contents: list[int | None], whole: bool) -> None:
    frames = decoded(map(Packet, contents))
    if whole:
        assert list(frames) == [1, 1]
    else:
        with pytest.raises(av.InvalidDataError):
            list(frames)


def test_sound_that_changes_its_codec_is_refused(tmp_path: Path) -> None:
    ff(*source(), *AAC, tmp_path / "a.ts")
    ff(*source(), *X264, "-c:a", "mp2", tmp_path / "b.ts")
    (tmp_path / "ab.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with pytest.raises(ClipRejected, match="Invalid data"):
        read_audio(tmp_path / "ab.ts")


def signal(path: Path, seconds: float, at: float, codecs: tuple[str, ...]) -> bytes:
    """Write a video of black pictures and silence, but for a flash and a click at one time."""
    on = f"between(t\\,{at}\\,{at + 0.04})"
    click = f"aevalsrc=0.5*sin(6000*t)*{on}:s=44100:d={seconds}"
    flash = f"geq=lum='255*between(T\\,{at - 0.001}\\,{at + 0.039})':cb=128:cr=128"
    ff("-f", "lavfi", "-i", f"color=s=64x48:r=25:d={seconds}", "-f", "lavfi", "-i", click, "-vf", flash, *codecs, path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".ts", ".mpg", ".webm", ".mkv"])
def test_joined_recordings_go_on_in_step(suffix: str, tmp_path: Path) -> None:
    codecs = ("-c:v", "mpeg2video", "-c:a", "mp2") if suffix == ".mpg" else CODECS[suffix]
    parts = signal(tmp_path / f"a{suffix}", 2, 1.2, codecs), signal(tmp_path / f"b{suffix}", 1.48, 0.8, codecs)
    path = tmp_path / f"ab{suffix}"
    path.write_bytes(b"".join(parts))
    assert lengths(path) == (87, 87)
    assert extent.RESTARTED in probe(path).notes
    flashes = [index / 25 for index, frame in enumerate(read_frames(path)) if frame.mean() > 128]
    loud = np.flatnonzero(abs(read_audio(path).astype(float)) > 3000)
    clicks = loud[np.r_[True, np.diff(loud) > 3200]] / 16000
    assert flashes == [1.2, 2.8]
    np.testing.assert_allclose(clicks, flashes, atol=0.005)


def test_joined_recordings_that_overlap_lose_no_picture(tmp_path: Path) -> None:
    ff(*source()[:4], *X264, tmp_path / "a.ts")
    ff(*source()[:4], *X264, "-output_ts_offset", 1, tmp_path / "b.ts")  # two frames too early: ffmpeg shifts the first
    (tmp_path / "ab.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    assert lengths(tmp_path / "ab.ts") == (50, 50)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".flv", ".ts", ".webm"])
def test_key_frames_do_not_start_the_clock_anew(suffix: str, tmp_path: Path) -> None:
    ff(*source(), *CODECS[suffix], "-g", 8, *(["-bf", 3] if suffix != ".webm" else []), tmp_path / f"a{suffix}")
    assert probe(tmp_path / f"a{suffix}").notes == ()
    assert lengths(tmp_path / f"a{suffix}") == (25, 25)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_an_avi_with_b_frames_is_in_step(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    signal(path, 1, 0.6, ("-c:v", codec, "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le"))
    assert lengths(path) == (25, 25)
    assert [index for index, frame in enumerate(read_frames(path)) if frame.mean() > 128] == [15]
    assert np.flatnonzero(abs(read_audio(path).astype(int)) > 3000)[0] / 16000 == pytest.approx(0.6, abs=0.005)


def test_an_avi_in_which_pictures_were_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    dropped = ("-vf", "select=not(between(n\\,10\\,19))", "-fps_mode", "vfr", "-c:v", "mpeg4", "-c:a", "pcm_s16le")
    ff(*source(), *dropped, path)
    assert lengths(path) == (25, 25)
    assert (probe(path).n_frames, probe(path).fps, probe(path).notes) == (15, 15.0, (extent.VARIABLE,))


def test_sound_alone_that_falls_back_stays_on_the_files_clock(tmp_path: Path) -> None:
    """As in a trimmed mp4 that ffmpeg's concat demuxer has put after another."""
    ff(*source(seconds=2), *AAC, "-g", 100, tmp_path / "a.mp4")
    ff("-ss", 1.1, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    (tmp_path / "list.txt").write_text("file a.mp4\nfile b.mp4\n")
    ff("-f", "concat", "-i", tmp_path / "list.txt", "-c", "copy", tmp_path / "ab.ts")
    planned, read = lengths(tmp_path / "ab.ts")
    assert planned == read == pytest.approx(25 * len(read_audio(tmp_path / "ab.ts")) / 16000, abs=2)


def test_joined_recordings_one_of_which_is_mute_are_refused(tmp_path: Path) -> None:
    ff(*source()[:4], *X264, tmp_path / "mute.ts")
    ff(*source(), *AAC, tmp_path / "sound.ts")
    (tmp_path / "joined.ts").write_bytes((tmp_path / "mute.ts").read_bytes() + (tmp_path / "sound.ts").read_bytes())
    with pytest.raises(ClipRejected, match="do not start anew together; join with a concat filter"):
        probe(tmp_path / "joined.ts")
    with pytest.raises(UserError, match=r"joined\.ts: broken timestamps: .*; give another file"):
        extract_features(tmp_path / "joined.ts")


def test_a_clock_that_jumps_far_ahead_is_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    ff(*source(), *AAC, tmp_path / "a.ts")
    ff(*source(), *AAC, "-output_ts_offset", 100, tmp_path / "b.ts")
    (tmp_path / "ab.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    for read in (probe, read_audio, lambda path: list(read_frames(path))):
        with pytest.raises(ClipRejected, match="broken timestamps: a gap of more than 60 s"):
            read(tmp_path / "ab.ts")


@pytest.mark.parametrize("suffix", [".mp4", ".flv"])
def test_joined_files_of_which_only_the_first_is_read_say_so(suffix: str, tmp_path: Path) -> None:
    ff("-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=1", *X264, tmp_path / f"a{suffix}")
    (tmp_path / f"aa{suffix}").write_bytes(2 * (tmp_path / f"a{suffix}").read_bytes())
    assert probe(tmp_path / f"a{suffix}").notes == ()
    assert probe(tmp_path / f"aa{suffix}").notes == (extent.UNREAD,)


TRACKS = {  # flags of a silent track, flags of a tone after it, is the tone heard?
    "the flagged one": ("0", "default", True),
    "the first of two that are flagged": ("default", "default", False),
    "the first of two that are not flagged": ("0", "0", False),
    "no comment": ("default+comment", "0", True),
    "no track for the hard of hearing": ("hearing_impaired", "0", True),
    "no dub": ("default+dub", "default", True),
}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("case", TRACKS)
def test_of_several_sound_tracks_is_heard(case: str, suffix: str, tmp_path: Path) -> None:
    first, second, is_heard = TRACKS[case]
    if suffix == ".mp4" and first == second == "0":
        pytest.skip("ffmpeg flags the first")
    path = tmp_path / f"a{suffix}"
    silence = ("-f", "lavfi", "-i", "anullsrc=r=44100:cl=mono:d=0.5", "-shortest")
    maps = ("-map", "0:v", "-map", "2:a", "-map", "1:a")
    flags = ("-disposition:a:0", first, "-disposition:a:1", second)
    ff(*source(seconds=0.5), *silence, *maps, *AAC, *flags, path)
    assert bool(read_audio(path).any()) == is_heard
    assert probe(path).notes == (f"2 sound tracks: {extent.CHOICE_OF_SOUND}",)


@pytest.mark.parametrize("n", [3, 6, 8, 9, 20, 64])
def test_channels_without_names_are_averaged(n: int, tmp_path: Path) -> None:
    sound = np.random.default_rng(0).integers(-30000, 30000, (8000, n)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", sound, 16000)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), sound.mean(axis=1), atol=1)


def test_channels_with_names_are_mixed_as_ffmpeg_does(tmp_path: Path) -> None:
    tones = "|".join(f"0.1*sin({400 + 100 * n}*t)" for n in range(6))
    ff("-f", "lavfi", "-i", f"aevalsrc={tones}:c=5.1:s=16000:d=1", tmp_path / "a.wav")
    ff("-i", tmp_path / "a.wav", "-ac", 1, tmp_path / "mono.wav")
    np.testing.assert_array_equal(
        read_audio(tmp_path / "a.wav"), soundfile.read(tmp_path / "mono.wav", dtype="int16")[0]
    )


def test_too_many_channels_are_counted_in_the_refusal(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((800, 70)), 16000)
    with pytest.raises(ClipRejected, match="70 channels of sound: more than 64"):
        read_audio(tmp_path / "a.wav")


def test_channels_that_cancel_each_other_out_are_no_silence(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(16000) * 0.2)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, -tone], 1), 16000)
    with pytest.raises(ClipRejected, match="the channels cancel each other out"):
        read_audio(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", np.stack([tone, 0 * tone], 1), 16000)
    assert abs(read_audio(tmp_path / "b.wav").astype(int)).max() == pytest.approx(8192, abs=2)
    soundfile.write(tmp_path / "c.wav", np.zeros((16000, 2)), 16000)
    assert not read_audio(tmp_path / "c.wav").any()


@pytest.mark.parametrize("suffix", [".ts", ".aac"])
def test_rate_and_channels_that_change_on_the_way(suffix: str, tmp_path: Path) -> None:
    one, other = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    pictures = X264 if suffix == ".ts" else ("-vn",)
    ff(*source(), *pictures, "-c:a", "aac", one)
    ff(*source(sound_rate=48000), *pictures, "-c:a", "aac", "-ac", 2, other)
    (tmp_path / f"ab{suffix}").write_bytes(one.read_bytes() + other.read_bytes())
    sound = read_audio(tmp_path / f"ab{suffix}").astype(float)
    assert len(sound) == pytest.approx(32000, abs=1300)
    for second in (sound[2000:14000], sound[20000:30000]):
        spectrum = abs(np.fft.rfft(second))
        assert spectrum.argmax() * 16000 / len(second) == pytest.approx(440, abs=2)


TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(96000) / 96000)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 96000, 192000])
def test_any_rate(rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate), rate)
    sound = read_audio(tmp_path / "a.wav")
    assert len(sound) == pytest.approx(16000, abs=20)
    assert abs(np.fft.rfft(sound[:16000].astype(float))).argmax() == 440


@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_any_kind_of_samples(kind: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", TONE[::6], 16000, subtype=kind)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), 32768 * TONE[::6], atol=300 if kind == "PCM_U8" else 2)


def test_samples_above_one_are_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 4 * TONE[::6], 16000, subtype="FLOAT")
    sound = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(sound, np.clip(4 * 32768 * TONE[::6], -32768, 32767), atol=2)


@pytest.mark.parametrize(("size", "kept"), [(0xFFFFFFFF, 1.0), (0, 1.0), (None, 0.5)])
def test_a_wav_that_was_streamed_or_cut_short(size: int | None, kept: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", TONE[::6], 16000)
    data = (tmp_path / "a.wav").read_bytes()
    place = data.index(b"data") + 4
    if size is not None:
        data = data[:place] + struct.pack("<I", size) + data[place + 4 :]
    (tmp_path / "a.wav").write_bytes(data[: round(kept * len(data))])
    assert len(read_audio(tmp_path / "a.wav")) == pytest.approx(16000 * kept, abs=30)


MISSING: dict[str, tuple[Callable[[Path], tuple[object, ...]], tuple[str, ...]]] = {
    "begins late": (
        lambda path: ("-i", path, "-itsoffset", 0.8, "-i", path, "-map", "0:v", "-map", "1:a", "-c", "copy"),
        (extent.LATE_SOUND, extent.LONG_SOUND),  # the whole sound is moved
    ),
    "ends early": (lambda path: ("-i", path, "-c:v", "copy", "-af", "atrim=0:0.4"), (extent.SHORT_SOUND,)),
    "begins early": (
        lambda path: ("-itsoffset", 0.8, "-i", path, "-i", path, "-map", "0:v", "-map", "1:a", "-c", "copy"),
        (extent.EARLY_SOUND, extent.SHORT_SOUND),
    ),
    "ends late": (lambda path: ("-i", path, "-c:v", "copy", "-af", "apad=pad_dur=1"), (extent.LONG_SOUND,)),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("case", MISSING)
def test_sound_that_is_missing_for_a_while_or_cut_is_noted(case: str, suffix: str, tmp_path: Path) -> None:
    ff(*source(), *AAC, tmp_path / "a.mp4")
    make, notes = MISSING[case]
    ff(*make(tmp_path / "a.mp4"), tmp_path / f"b{suffix}")
    assert probe(tmp_path / f"b{suffix}").notes == notes


def test_a_sound_track_without_packets(tmp_path: Path) -> None:
    ff(*source()[:4], *X264, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as given, av.open(str(tmp_path / "b.mkv"), "w") as made:
        pictures = made.add_stream_from_template(given.streams.video[0])
        made.add_stream("aac", rate=16000)
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = pictures
                made.mux(packet)
    assert probe(tmp_path / "b.mkv").notes == (extent.EMPTY_SOUND,)
    with pytest.raises(UserError, match=r"b\.mkv: no sound in the audio stream; give a file with sound"):
        extract_features(tmp_path / "b.mkv")


def test_features_have_a_row_for_every_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mkv"
    ff(*source(30, 2), *UNEVEN, *AAC, path)
    assert len(extract_features(path)) == sum(1 for _ in read_frames(path))
    assert caplog.messages == [f"{path}: {extent.VARIABLE}"]


def test_a_kind_of_file_that_is_not_read(tmp_path: Path) -> None:
    ff(*source(seconds=0.1)[:4], tmp_path / "a.gif")
    with pytest.raises(ClipRejected, match="not a kind of file that is read; convert it to mp4"):
        probe(tmp_path / "a.gif")
