"""Dubbing: whose pictures, whose sound, how long, and in how much memory. The networks have random weights."""

import json
import subprocess
import sys
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.config import Config, parse_config
from syncdiff.corpus.demo import render_corpus
from syncdiff.errors import UserError
from syncdiff.faces.extract import align, find_speaker
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.media.audio import read_audio
from syncdiff.media.video import probe, read_frames, write_video
from syncdiff.models.autoencoder import build_autoencoder
from syncdiff.models.denoiser import Denoiser, save_denoiser
from syncdiff.priors import identity_index
from syncdiff.synthesis.dub import _identity, dub

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
    """A folder with a denoiser, its provenance, an autoencoder, and videos of a person each."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    save_denoiser(Denoiser(config), folder / "denoiser.safetensors")
    record = {"inputs": {}, "outputs": {}, "config": {key: SMALL[key] for key in ("denoiser", "speech")}}
    (folder / "denoiser.safetensors.provenance.json").write_text(json.dumps(record))
    build_autoencoder(config.autoencoder).save_pretrained(folder / "autoencoder")
    render_corpus(config, folder / "corpus", workers=1)
    return folder


def _videos(run: Path) -> list[Path]:
    return sorted((run / "corpus").rglob("*.mp4"))


def _dub(config: Config, run: Path, video: Path, sound: Path, out: Path) -> int:
    return dub(config, video, sound, out, run / "denoiser.safetensors", run / "autoencoder", CPU)


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


def test_the_command_takes_the_config_of_the_run(run: Path, tmp_path: Path) -> None:
    """With the defaults the weights would not fit."""
    video, other = _videos(run)[:2]
    options = ["--denoiser", str(run / "denoiser.safetensors"), "--autoencoder", str(run / "autoencoder")]
    command = [sys.executable, "-m", "syncdiff", "dub", str(video), str(other), str(tmp_path / "out.mp4"), *options]
    done = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'out.mp4'}: " in done.stdout
    (run / "alone.safetensors").write_bytes((run / "denoiser.safetensors").read_bytes())
    options[1] = str(run / "alone.safetensors")
    lost = subprocess.run([*command[:7], *options], capture_output=True, text=True, check=False)
    assert lost.returncode == 1
    assert "with its provenance beside it" in lost.stderr.splitlines()[-1]
