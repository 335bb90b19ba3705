"""Dubbing: whose mouth, which frames, whose sound. The networks have random weights, the film is rendered."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from syncdiff.config import Config, parse_config
from syncdiff.dubbing.dub import dub, find_faces
from syncdiff.dubbing.report import Report
from syncdiff.dubbing.wishes import Wishes
from syncdiff.errors import UserError
from syncdiff.media.audio import read_audio
from syncdiff.media.pictures import Video
from syncdiff.models.pretrained import AUTOENCODER, DENOISER
from syncdiff.models.syncnet import SyncNet, save_syncnet
from syncdiff.synthesis.generate import Networks, load_networks
from tests.dubbing.film import SIDE, Actor, Shot, even_times, facts, shoot, spoken, write_film
from tests.models.folder import write_model

SMALL = {
    "denoiser": {"channels": [32, 32]},
    "speech": {"dim": 32, "layers": 1},
    "sample": {"steps": 1, "guidance": 1.0},
}
FPS = 30
N = 14
SHOTS = [Shot("A", N), Shot("B", N), Shot("A", N, "nobody"), Shot("A", N)]
SECONDS = len(SHOTS) * N / FPS
JOBS = {"a.mp4": "1", "b.mkv": "2"}  # outputs and faces


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder, a film of two people in four shots at 30 frames a second, and 2 s of speech at 48 kHz."""
    folder = write_model(parse_config(SMALL), tmp_path_factory.mktemp("run"))
    pictures = shoot(SHOTS, FPS)
    own = np.random.default_rng(0).normal(0, 0.1, (round(SECONDS * 48_000), 2))
    write_film(
        folder / "film.mp4", pictures, even_times(len(pictures), FPS), matrix=1, primaries=1, transfer=1, audio=own
    )
    speech = np.repeat(spoken(Actor("B"), 25)[0][: 2 * 16_000] / 2**15, 3)
    soundfile.write(folder / "speech.wav", np.stack([speech, 0 * speech], axis=1), 48_000)
    return folder


@pytest.fixture(scope="module")
def networks(run: Path) -> Networks:
    return _networks(run, parse_config(SMALL))


def _networks(run: Path, config: Config) -> Networks:
    return load_networks(config, run / DENOISER, run / AUTOENCODER, torch.device("cpu"))


def _dub(networks: Networks, run: Path, out: Path, sound: str = "speech.wav", **wishes: Any) -> Report:
    return dub(networks, run / "film.mp4", run / sound, out, Wishes(**wishes))


def _changes(source: Path, out: Path) -> list[np.ndarray]:
    """Return by how much each frame of the output differs from the source's: (H, W) each, grey levels."""
    pairs = zip(Video(source).shown(), Video(out).shown(), strict=False)
    return [np.abs(before.astype(int) - after).mean(axis=2) for (_, before), (_, after) in pairs]


def test_every_shot_with_a_face_is_dubbed_and_all_else_passes(networks: Networks, run: Path, tmp_path: Path) -> None:
    report = _dub(networks, run, tmp_path / "out.mp4")
    assert [stretch["frames"] for stretch in report.stretches] == [[0, 13], [14, 27], [42, 55]]
    assert (report.frames, report.generated, report.passed) == (56, 42, {"no face found": 14})
    assert [stretch["face"] for stretch in report.stretches] == [1, 2, 1]
    assert report.left == [{"why": "no face found", "frames": [28, 41], "seconds": [0.933, 1.367]}]
    change = _changes(run / "film.mp4", tmp_path / "out.mp4")
    assert max(frame.mean() for frame in change[28:42]) < 1.5
    for start in (0, 14, 42):
        assert change[start + 5].max() > 20
        assert change[start + 5][: SIDE // 4].mean() < 2  # above the face: what the codec does
    before, after = facts(run / "film.mp4"), facts(tmp_path / "out.mp4")
    assert after.pop("sound") == ("aac", 48_000, 2)
    assert after == {key: value for key, value in before.items() if key != "sound"}
    heard, said = read_audio(tmp_path / "out.mp4"), read_audio(run / "speech.wav")
    assert np.corrcoef(heard[2000:25_000], said[2000:25_000])[0, 1] > 0.9


def test_only_the_chosen_person_is_dubbed(networks: Networks, run: Path, tmp_path: Path) -> None:
    report = _dub(networks, run, tmp_path / "out.mkv", face="2", length="video")
    assert [stretch["frames"] for stretch in report.stretches] == [[14, 27]]
    assert report.passed == {"another face": 28, "no face found": 14}
    assert [(row["why"], row["frames"]) for row in report.left] == [
        ("another face", [0, 13]),
        ("no face found", [28, 41]),
        ("another face", [42, 55]),
    ]
    change = _changes(run / "film.mp4", tmp_path / "out.mkv")
    assert max(frame.mean() for frame in change[:14] + change[28:]) < 1.5
    assert "2 of 56" not in report.line()
    assert "14 of 56 frames with generated lips, in 1 stretches; left as they are: 28 another face" in report.line()
    with pytest.raises(UserError, match="no face 3, it has 2"):
        _dub(networks, run, tmp_path / "out.mkv", face="3")


def test_a_table_of_sounds_leaves_the_videos_own_where_nobody_is_dubbed(
    networks: Networks, run: Path, tmp_path: Path
) -> None:
    """Face 1 says the speech in the last shot."""
    start = 3 * N / FPS
    table = tmp_path / "table.csv"
    table.write_text(f"face,sound,from,to\n1,{run / 'speech.wav'},{start},\n")
    report = dub(networks, run / "film.mp4", table, tmp_path / "out.mov")
    assert [stretch["frames"] for stretch in report.stretches] == [[42, 55]]
    heard, own = read_audio(tmp_path / "out.mov"), read_audio(run / "film.mp4")
    said, first = read_audio(run / "speech.wav"), round(start * 16_000)
    assert np.corrcoef(heard[1000:20_000], own[1000:20_000])[0, 1] > 0.9
    assert np.corrcoef(heard[first + 500 : first + 6000], said[500:6000])[0, 1] > 0.9
    table.write_text(f"face,sound,from,to\n1,{run / 'speech.wav'},0,1\n1,{run / 'speech.wav'},0.5,2\n")
    with pytest.raises(UserError, match=r"lines 2 and 3: face 1 says two things at once"):
        dub(networks, run / "film.mp4", table, tmp_path / "out.mov")


def test_in_silence_the_mouth_does_not_move(networks: Networks, run: Path, tmp_path: Path) -> None:
    """What is generated has random weights: only where the mouth is closed are its lips those of the source."""
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    still = dub(networks, run / "film.mp4", tmp_path / "silence.wav", tmp_path / "a.mp4")
    moving = dub(networks, run / "film.mp4", tmp_path / "silence.wav", tmp_path / "b.mp4", Wishes(silence_db=None))
    assert (still.closed, moving.closed) == (still.generated, 0)
    lips = (slice(round(0.55 * SIDE), round(0.62 * SIDE)), slice(int(1.45 * SIDE), int(1.55 * SIDE)))
    change = [
        np.mean([f[lips].mean() for f in _changes(run / "film.mp4", tmp_path / name)[:14]])
        for name in ("a.mp4", "b.mp4")
    ]
    assert change[0] < 0.5 * change[1]


def test_who_speaks_needs_weights_and_is_scored(networks: Networks, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--face speaking: needs --syncnet"):
        _dub(networks, run, tmp_path / "out.mp4", face="speaking")
    save_syncnet(SyncNet(width=0.125, image_size=64), tmp_path / "syncnet.safetensors", "drawings")
    found = find_faces(networks, run / "film.mp4", tmp_path / "syncnet.safetensors")
    assert [face.number for face in found] == [1, 2]
    assert found[0].line.startswith("face 1: from 0.00 s, 28 frames in 2 stretches, LSE-C ")


def test_a_video_without_a_face_is_named(networks: Networks, run: Path, tmp_path: Path) -> None:
    write_film(tmp_path / "black.mp4", list(repeat(np.zeros((64, 64, 3), np.uint8), 8)), even_times(8, 25))
    with pytest.raises(UserError, match=r"black\.mp4: no face in any of 8 frames \(.*\); give another file"):
        dub(networks, tmp_path / "black.mp4", run / "speech.wav", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_sound_that_ends_before_the_face_appears(networks: Networks, run: Path, tmp_path: Path) -> None:
    pictures = [np.zeros((SIDE, 2 * SIDE, 3), np.uint8)] * 10 + shoot([Shot("A", 10)], FPS)
    write_film(tmp_path / "late.mp4", pictures, even_times(20, FPS))
    soundfile.write(tmp_path / "short.wav", np.full(3200, 0.1), 16_000)
    with pytest.raises(UserError, match=r"short\.wav: ends before the face appears in .*late\.mp4, at 0\.33 s"):
        dub(networks, tmp_path / "late.mp4", tmp_path / "short.wav", tmp_path / "out.mp4")


def test_the_command_takes_the_config_of_the_run_and_jobs(run: Path, tmp_path: Path) -> None:
    """With the defaults the weights would not fit."""
    (tmp_path / "jobs.csv").write_text(
        f"video,sound,out\n{run / 'film.mp4'},{run / 'speech.wav'},{tmp_path / 'out.webm'}\nno.mp4,no.wav,no.mp4\n"
    )
    command = [sys.executable, "-m", "syncdiff", "dub", "--model", str(run), "--jobs", str(tmp_path / "jobs.csv")]
    options = ["--report", str(tmp_path / "report.json"), "--device", "cpu"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert f"{tmp_path / 'out.webm'}: 42 of 56 frames with generated lips" in done.stdout
    assert "no.mp4: failed: no.wav" in done.stdout
    rows = json.loads((tmp_path / "report.json").read_text())
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert rows[0]["report"]["fps"] == FPS


def test_jobs_that_are_killed_go_on_where_they_were(run: Path, tmp_path: Path) -> None:
    """The process dies while it writes the second of two videos."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
        rows = [f"{run / 'film.mp4'},{run / 'speech.wav'},{folder / name},{face}" for name, face in JOBS.items()]
        (folder / "jobs.csv").write_text("\n".join(["video,sound,out,face", *rows]))
    first, second = (killed / name for name in JOBS)
    process = subprocess.Popen(_jobs_command(run, killed), stdout=subprocess.DEVNULL)
    while not second.with_name(".b.mkv.parts").is_dir():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert first.exists()
    assert not second.exists()
    made = first.stat()
    for folder in (killed, undisturbed):
        subprocess.run(_jobs_command(run, folder), check=True, stdout=subprocess.DEVNULL)
    assert first.stat().st_mtime_ns == made.st_mtime_ns
    assert sorted(path.name for path in killed.iterdir()) == ["a.mp4", "b.mkv", "jobs.csv"]
    for name in JOBS:
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()


def _jobs_command(run: Path, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "syncdiff", "dub", "--model", str(run), "--jobs", str(folder / "jobs.csv")]
    return [*command, "--device", "cpu"]
