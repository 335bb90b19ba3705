"""Dubbing: whose pictures, whose sound, how long, and in how much memory. The networks have random weights."""

import os
import subprocess
import sys
from itertools import chain, islice, repeat
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from syncdiff.config import Config, parse_config
from syncdiff.corpus.demo import render_corpus
from syncdiff.errors import UserError
from syncdiff.faces.align import align
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.faces.track import find_speaker
from syncdiff.media.audio import read_audio
from syncdiff.media.rgb import ColorSpace
from syncdiff.media.video import probe, read_frames, write_video
from syncdiff.models.pretrained import AUTOENCODER, DENOISER
from syncdiff.priors import identity_index
from syncdiff.synthesis.dub import _identity, check_out, dub
from syncdiff.synthesis.generate import load_networks
from tests.models.folder import write_model

CPU = torch.device("cpu")
SMALL = {
    "denoiser": {"channels": [32, 32]},
    "speech": {"dim": 32, "layers": 1},
    "faces": {"min_track_frames": 6},
    "sample": {"steps": 1, "guidance": 1.0},
    "corpus": {"demo": {"identities": 3, "clips_per_identity": 1, "seconds": 1.2}},
}


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(SMALL)


@pytest.fixture(scope="module")
def run(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder, and videos of a person each."""
    folder = write_model(config, tmp_path_factory.mktemp("run"))
    render_corpus(config, folder / "corpus", workers=1)
    return folder


def _videos(run: Path) -> list[Path]:
    return sorted((run / "corpus").rglob("*.mp4"))


def _dub(config: Config, run: Path, video: Path, sound: Path, out: Path) -> int:
    return dub(load_networks(config, run / DENOISER, run / AUTOENCODER, CPU), video, sound, out)


def test_the_pictures_are_the_videos_but_for_the_mouth_and_the_sound_is_the_other(
    config: Config, run: Path, tmp_path: Path
) -> None:
    video, other = _videos(run)[:2]
    n_frames = _dub(config, run, video, other, tmp_path / "out.mp4")
    assert n_frames == min(probe(video).n_frames, probe(other).n_frames) == probe(tmp_path / "out.mp4").n_frames
    pairs = zip(read_frames(video), read_frames(tmp_path / "out.mp4"), strict=False)
    change = np.mean([np.abs(a.astype(int) - b).mean(axis=2) for a, b in pairs], axis=0)  # (H, W)
    assert change[:40].mean() < 2  # above the face: what the codec does
    assert change.max() > 20
    heard, expected = read_audio(tmp_path / "out.mp4"), read_audio(other)
    n = min(len(heard), len(expected), 640 * n_frames)
    assert np.corrcoef(heard[:n], expected[:n])[0, 1] > 0.9


def test_frames_without_the_speaker_stay_as_they_are(config: Config, run: Path, tmp_path: Path) -> None:
    """Six black frames before the face and six after it."""
    video, other = _videos(run)[:2]
    frames = list(islice(read_frames(video), 20))
    black = [np.zeros_like(frames[0])] * 6
    write_video(tmp_path / "in.mp4", chain(black, frames, black), [np.zeros(32 * 640, np.int16)])
    assert _dub(config, run, tmp_path / "in.mp4", other, tmp_path / "out.mp4") == min(20, probe(other).n_frames - 6)
    made = list(read_frames(tmp_path / "out.mp4"))
    assert len(made) == min(32, probe(other).n_frames)
    assert max(frame.max() for frame in made[:6]) < 8


def test_the_identity_frame_is_a_crop_of_the_speaker(config: Config, run: Path, tmp_path: Path) -> None:
    """Black frames come first, so that frames of the video and of the speaker are counted differently."""
    frames = list(islice(read_frames(_videos(run)[0]), 16))
    write_video(tmp_path / "late.mp4", chain(repeat(np.zeros_like(frames[0]), 10), frames))
    segment = find_speaker(tmp_path / "late.mp4", open_landmarker(config.faces), config.faces)
    transforms, crops = align(tmp_path / "late.mp4", segment, config.faces)
    assert segment.start == 10
    chosen = list(crops)[identity_index(segment.landmarks, transforms)]
    np.testing.assert_array_equal(_identity(config, tmp_path / "late.mp4", segment, transforms), chosen)


def test_a_sound_that_ends_before_the_face_appears(config: Config, run: Path, tmp_path: Path) -> None:
    video = _videos(run)[0]
    frames = list(islice(read_frames(video), 12))
    black = repeat(np.zeros_like(frames[0]), 10)
    write_video(tmp_path / "late.mp4", chain(black, frames), [np.zeros(22 * 640, np.int16)])
    write_video(tmp_path / "short.mp4", frames[:5], [np.zeros(5 * 640, np.int16)])
    with pytest.raises(UserError, match=r"short\.mp4: ends before the face appears in .*late\.mp4, at 0\.40 s"):
        _dub(config, run, tmp_path / "late.mp4", tmp_path / "short.mp4", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_video_without_a_face_is_named(config: Config, run: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "black.mp4", repeat(np.zeros((64, 64, 3), np.uint8), 8), [np.zeros(8 * 640, np.int16)])
    with pytest.raises(UserError, match=r"black\.mp4: no face in any of 8 frames \(.*\); give another file"):
        _dub(config, run, tmp_path / "black.mp4", _videos(run)[0], tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("out.gif", "the suffix .gif; videos are written as .mp4, .m4v, .mov, .mkv: name it out.mp4"),
        ("out.webm", "the suffix .webm; videos"),
        ("out", "no suffix; videos"),
        ("folder", "is a folder; name a file in it"),
        ("folder.mp4", "is a folder; name a file in it"),
        ("in.mp4", "is the same file as .*in.mp4, which would be lost"),
        ("folder/../in.mp4", "is the same file as .*in.mp4"),
        ("symlink.mp4", "is the same file as .*in.mp4"),
        ("hard.mp4", "is the same file as .*in.mp4"),
        ("sound.mp4", "is the same file as .*sound.mp4"),
        ("in.mp4/out.mp4", "in.mp4 is no folder; choose another"),
        ("pipe.mp4", "is no ordinary file"),
        ("left.mp4", "is the same file as .*left.tmp.mp4"),
        ("n" * 252 + ".mp4", "cannot be written .File name too long"),
        ("", "is a folder"),
    ],
)
@pytest.mark.quick
def test_an_output_that_cannot_be_is_refused_before_any_work(tmp_path: Path, name: str, complaint: str) -> None:
    """The inputs are no videos: nothing looks into them."""
    video, sound = tmp_path / "in.mp4", tmp_path / "sound.mp4"
    for path in (video, sound):
        path.write_bytes(b"mine")
    for folder in ("folder", "folder.mp4"):
        (tmp_path / folder).mkdir()
    (tmp_path / "symlink.mp4").symlink_to(video)
    (tmp_path / "hard.mp4").hardlink_to(video)
    (tmp_path / ".left.tmp.mp4").write_bytes(b"left by a killed process, and a source")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UserError, match=complaint):
        check_out(tmp_path / name, video, sound, tmp_path / ".left.tmp.mp4")
    assert video.read_bytes() == sound.read_bytes() == b"mine"


@pytest.mark.quick
def test_an_output_in_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="cannot be written to; choose another folder"):
        check_out(tmp_path / "new" / "out.mp4")


@pytest.mark.quick
@pytest.mark.parametrize("name", ["out.mp4", "new/deep/OUT.MKV", "out.mov", "out.m4v"])
def test_an_output_that_can_be_is_not_made_by_the_check(tmp_path: Path, name: str) -> None:
    check_out(tmp_path / name, tmp_path / "in.mp4", tmp_path / "none.wav")
    assert list(tmp_path.iterdir()) == []


def test_the_sound_keeps_its_rate_and_channels_and_what_is_left_out_is_said(
    config: Config, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The left channel is a tone, the right one silent. The video is full range, BT.709 and has two black frames."""
    frames = list(islice(read_frames(_videos(run)[0]), 10))
    source = tmp_path / "in.mkv"
    colour = ColorSpace(1, 1, 13, full_range=True)
    write_video(source, chain(repeat(np.zeros_like(frames[0]), 2), frames), color_space=colour)
    tone = 0.3 * np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000)
    soundfile.write(tmp_path / "s.wav", np.stack([tone, 0 * tone], axis=1), 48000)
    assert _dub(config, run, source, tmp_path / "s.wav", tmp_path / "out.mkv") == 10
    said = caplog.text
    assert f"{tmp_path / 's.wav'}: its last 0.52 s are left out, for {source} ends before" in said
    assert f"{source}: 2 of 12 frames are left as they are: kept frames 2 to 11 of 12" in said
    assert probe(tmp_path / "out.mkv").color_space == colour
    with av.open(str(tmp_path / "out.mkv")) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (48000, 2)
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1)
    assert heard.shape[1] == pytest.approx(12 * 1920, abs=1024)
    assert np.corrcoef(heard[0, 4800:20000], tone[4800:20000])[0, 1] > 0.98  # in its place
    assert np.abs(heard[1, 4800:20000]).max() < 0.01


def test_the_command_takes_the_config_of_the_run(run: Path, tmp_path: Path) -> None:
    """With the defaults the weights would not fit."""
    video, other = _videos(run)[:2]
    command = [sys.executable, "-m", "syncdiff", "dub", str(video), str(other), str(tmp_path / "out.mp4")]
    options = ["--model", str(run), "--config", '{"faces": {"min_track_frames": 6}, "sample": {"steps": 1}}']
    done = subprocess.run([*command, *options, "--device", "cpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'out.mp4'}: " in done.stdout
