"""Machines with several GPUs, and training from crops: what has no latents on disk trains as what has them."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from syncdiff.cli import app
from syncdiff.config import load_config, parse_config
from syncdiff.estimate.corpus import corpus_size
from syncdiff.estimate.disk import disk_rows
from syncdiff.models.autoencoder import load_autoencoder
from syncdiff.models.cost import NetworkCosts
from syncdiff.pipeline import cards
from syncdiff.priors import reduce_pose
from syncdiff.shards.tar import decode_npy, encode_npy, read_shard, to_json, write_shard
from syncdiff.training.latents import CropEncoder, latents_shard
from syncdiff.training.source import Source
from syncdiff.training.windows import Windows
from tests.members import crop_bytes
from tests.training.noise import CONFIG, write_autoencoder

CPU = torch.device("cpu")
TAKES_A_CARD = """
import os, sys, time
from syncdiff.pipeline.cards import take_card
take_card(sys.argv[1])
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


def takers(folder: Path, n: int, device: str = "auto", **environment: str) -> list[str]:
    """Start n processes beside each other that take a card, and return what each of them sees."""
    environment = {"SYNCDIFF_CARDS": "0,1,5", "TMPDIR": str(folder), "PATH": os.environ["PATH"], **environment}
    command = [sys.executable, "-c", TAKES_A_CARD, device]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(command, env=environment | {"PYTHONPATH": str(Path.cwd())}, **pipes) for _ in range(n)
    ]
    seen = [process.stdout.readline().strip() for process in processes]
    for process in processes:
        process.communicate("")
    return seen


@pytest.mark.quick
def test_jobs_beside_each_other_each_see_a_card_of_their_own(tmp_path: Path) -> None:
    for _ in range(2):  # what has ended has given its card back
        assert sorted(takers(tmp_path, 4)) == ["0", "1", "5", "None"]


@pytest.mark.quick
def test_who_names_a_card_or_shares_a_training_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SYNCDIFF_CARDS", "0,1")
    monkeypatch.setattr(cards, "_held", [])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for device in ("cpu", "cuda:1"):
        cards.take_card(device)
    monkeypatch.setenv("LOCAL_RANK", "1")
    cards.take_card("cuda")
    monkeypatch.delenv("LOCAL_RANK")
    monkeypatch.setenv("SYNCDIFF_CARDS", "0")
    cards.take_card("cuda")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a joined shard of three clips of moving noise, their speech, and an autoencoder."""
    folder = tmp_path_factory.mktemp("joined")
    random = np.random.default_rng(0)
    crops, speech = [], []
    for clip in "abc":
        about = {"__key__": clip, "json": to_json({"clip": clip})}
        frames = random.integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
        pose = encode_npy(reduce_pose(frames, 8))
        crops.append(about | {"crop.mp4": crop_bytes(frames), "pose.npy": pose})
        speech.append(about | {"fbank.npy": encode_npy(random.normal(size=(20, 104)).astype(np.float32))})
    write_shard(folder / "joined.tar", crops)
    write_shard(folder / "speech.tar", speech)
    write_autoencoder(folder / "autoencoder")
    return folder


def test_latents_made_when_they_are_read_are_those_of_the_stage(joined: Path, tmp_path: Path) -> None:
    config = parse_config(json.loads(CONFIG))
    latents_shard(
        config, joined / "joined.tar", joined / "autoencoder", tmp_path / "l.tar", tmp_path / "l.parquet", CPU
    )
    encoder = CropEncoder(config, load_autoencoder(joined / "autoencoder", CPU))
    made = Source([(joined / "joined.tar", joined / "speech.tar")], "fbank", encoder=encoder)
    kept = Source([(tmp_path / "l.tar", joined / "speech.tar")], "fbank")
    for one, other in islice(zip(Windows(made, 13, 8, 0).batches(), Windows(kept, 13, 8, 0).batches(), strict=True), 6):
        assert all(torch.equal(one[name], value) for name, value in other.items())


def test_training_without_stored_latents_gives_the_same_weights(joined: Path, tmp_path: Path) -> None:
    config = parse_config(json.loads(CONFIG))
    latents_shard(
        config, joined / "joined.tar", joined / "autoencoder", tmp_path / "l.tar", tmp_path / "l.parquet", CPU
    )
    weights = []
    for stored, shard in ((False, joined / "joined.tar"), (True, tmp_path / "l.tar")):
        shards = ["--latents", str(shard), "--speech", str(joined / "speech.tar"), "--device", "cpu"]
        given = json.dumps(json.loads(CONFIG) | {"latents": {"stored": stored}})
        command = ["train", str(tmp_path / str(stored)), *shards, "--autoencoder", str(joined / "autoencoder")]
        done = CliRunner().invoke(app, [*command, "--config", given])
        assert not done.exception, done.exception
        weights.append((tmp_path / str(stored) / "denoiser.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_damaged_crop_ends_training_with_a_line(joined: Path, tmp_path: Path) -> None:
    samples = [sample | {"crop.mp4": b"no video"} for sample in read_shard(joined / "joined.tar")]
    write_shard(tmp_path / "bad.tar", samples)
    shards = ["--latents", str(tmp_path / "bad.tar"), "--speech", str(joined / "speech.tar"), "--device", "cpu"]
    command = ["train", str(tmp_path / "run"), *shards, "--autoencoder", str(joined / "autoencoder")]
    given = json.dumps(json.loads(CONFIG) | {"latents": {"stored": False}})
    done = CliRunner().invoke(app, [*command, "--config", given])
    assert "bad.tar: crop.mp4 of a: " in str(done.exception)
    assert len(decode_npy(samples[0]["pose.npy"])) == 20


@pytest.mark.quick
def test_the_recipes_need_less_than_250_gb_where_the_corpus_allows() -> None:
    totals = {}
    for name in ("lrs2", "lrs3"):
        config = load_config(Path(__file__).parents[2] / f"config/{name}.yaml", need_root=False)
        rows = disk_rows(config, corpus_size(config), NetworkCosts(config))
        assert "latents" not in {row.name for row in rows}
        [totals[name]] = [row.value for row in rows if row.name == "all shards"]
    assert totals["lrs2"] < 250
    assert totals["lrs3"] < 400  # nearly half of it are crops that lie in faces and in shards
