"""Sound: the clip's timeline, rates, channels, lengths."""

from __future__ import annotations

from pathlib import Path

import ffmpeg
import numpy as np
import pytest
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.errors import ClipRejected
from syncdiff.media.audio import concatenate, pad_or_trim, read_audio, read_wav, write_wav
from syncdiff.media.video import write_video

pytestmark = pytest.mark.quick

FRAMES = [np.zeros((32, 32, 3), np.uint8)] * 75


def click_at(seconds: float, length_s: float = 3.0) -> np.ndarray:
    """Silence with a 10 ms burst."""
    audio = np.zeros(round(16000 * length_s), np.int16)
    start = round(16000 * seconds)
    audio[start : start + 160] = 20000 * np.sin(np.arange(160) * 0.8)
    return audio


def click_time(audio: np.ndarray) -> float:
    """Where the burst begins: 5 ms before the middle of its energy."""
    energy = np.square(audio.astype(float))
    return float((energy * np.arange(len(audio))).sum() / energy.sum()) / 16000 - 0.005


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_video(tmp_path / "clip.mp4", FRAMES, [click_at(1.5)])
    return tmp_path / "clip.mp4"


def delayed(clip: Path, video_s: float, audio_s: float, suffix: str) -> Path:
    """Copy a clip with its streams moved in time."""
    video = ffmpeg.input(str(clip), itsoffset=video_s).video
    audio = ffmpeg.input(str(clip), itsoffset=audio_s).audio
    out = clip.with_name(f"delayed{suffix}")
    ffmpeg.output(video, audio, str(out), c="copy").run(cmd=get_ffmpeg_exe(), quiet=True)
    return out


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("video_s", "audio_s"), [(0.0, 0.0), (0.0, 0.84), (0.84, 0.0), (1.08, 0.2)])
def test_sound_is_placed_against_the_first_picture(clip: Path, video_s: float, audio_s: float, suffix: str) -> None:
    moved = read_audio(delayed(clip, video_s, audio_s, suffix))
    assert click_time(moved) == pytest.approx(1.5 + audio_s - video_s, abs=0.002)


def test_start_is_counted_from_the_first_picture(clip: Path) -> None:
    later = delayed(clip, 0.84, 0.0, ".mp4")
    assert click_time(read_audio(later, start_s=0.4)) == pytest.approx(1.5 - 0.84 - 0.4, abs=0.002)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (8000, 1), (48000, 6)])
def test_any_rate_and_channels_become_16_khz_mono(tmp_path: Path, rate: int, channels: int) -> None:
    tone = (9000 * np.sin(2 * np.pi * 300 * np.arange(2 * rate) / rate)).astype(np.int16)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone] * channels, axis=1), rate)
    audio = read_audio(tmp_path / "tone.wav")
    assert audio.dtype == np.int16
    assert len(audio) == pytest.approx(32000, abs=160)
    spectrum = np.abs(np.fft.rfft(audio[:32000].astype(float)))
    assert spectrum.argmax() == 600  # 300 Hz in 2 s


def test_same_samples_as_ffmpeg(shared: Path) -> None:
    path = shared / "clips" / "raw" / "latentsync_demo1.mp4"
    command = ffmpeg.input(str(path)).audio.output("pipe:", f="s16le", ar=16000, ac=1)
    output, _ = command.run(cmd=get_ffmpeg_exe(), capture_stdout=True, quiet=True)
    np.testing.assert_array_equal(read_audio(path), np.frombuffer(output, np.int16))


def test_gap_between_timestamps_becomes_silence(clip: Path, tmp_path: Path) -> None:
    source = ffmpeg.input(str(clip))
    gap = source.audio.filter("aselect", "lt(t,1)+gt(t,2)")  # keeps the timestamps: 1 s to 2 s is missing
    out = tmp_path / "gap.mkv"
    ffmpeg.output(source.video, gap, str(out), **{"c:v": "copy"}).run(cmd=get_ffmpeg_exe(), quiet=True)
    assert len(read_audio(out)) == pytest.approx(48000, abs=1600)


def test_no_audio_stream(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", FRAMES[:3])
    with pytest.raises(ClipRejected, match="no audio stream"):
        read_audio(tmp_path / "mute.mp4")


@pytest.mark.parametrize("size", [1, 300, 1000])
def test_fit_audio(size: int) -> None:
    audio = np.arange(1000, dtype=np.int16)
    pieces = np.split(audio, range(size, 1000, size))
    np.testing.assert_array_equal(concatenate(pad_or_trim(pieces, 1)), audio[:640])
    longer = concatenate(pad_or_trim(pieces, 2))
    assert len(longer) == 1280
    np.testing.assert_array_equal(longer[:1000], audio)
    assert not longer[1000:].any()


def test_wav_round_trip(tmp_path: Path) -> None:
    sound, path = np.random.default_rng(0).integers(-32768, 32767, 5000).astype(np.int16), tmp_path / "a.wav"
    assert write_wav(path, [sound[:1], sound[1:1], sound[1:]]) == 5000
    np.testing.assert_array_equal(read_wav(path), sound)
    np.testing.assert_array_equal(read_wav(path.read_bytes()), sound)
    np.testing.assert_array_equal(read_wav(path, 4000, 4321), sound[4000:4321])
    np.testing.assert_array_equal(read_wav(path, 4000, 9999), sound[4000:])
