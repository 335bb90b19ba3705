"""A page of a model with random weights, served; and a film of two rendered people with speech."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from syncdiff.config import parse_config
from syncdiff.models.syncnet import SyncNet, save_syncnet
from tests.app.folder import write_results
from tests.dubbing.film import Actor, Shot, even_times, shoot, spoken, write_film
from tests.models.folder import write_model

SMALL = {
    "denoiser": {"channels": [32, 32]},
    "speech": {"dim": 32, "layers": 1},
    "sample": {"steps": 1, "guidance": 1.0},
}
FPS, N = 25, 10
MAX_MB = 2


class Served(NamedTuple):
    """The page: its address, the folder of what is uploaded, and the folder of model, film.mp4 and speech.wav."""

    address: str
    uploads: Path
    given: Path


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder, a film of two people in two shots, 0.8 s of speech, and a SyncNet."""
    folder = write_model(parse_config(SMALL), tmp_path_factory.mktemp("model"))
    pictures = shoot([Shot("A", N), Shot("B", N)], FPS)
    noise = np.random.default_rng(0).normal(0, 0.1, (2 * N * 48_000 // FPS, 2))
    write_film(folder / "film.mp4", pictures, even_times(len(pictures), FPS), audio=noise)
    soundfile.write(folder / "speech.wav", spoken(Actor("B"), FPS)[0][:12_800], 16_000)
    save_syncnet(SyncNet(width=0.125, image_size=64), folder / "syncnet.safetensors", "drawings")
    return folder


@pytest.fixture(scope="session")
def served(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page, served in this process."""
    pytest.importorskip("gradio", reason="the extra `app` is not installed: pip install 'syncdiff[app]'")
    from syncdiff.app import page
    from syncdiff.dubbing.lip_sync import LipSync

    results = write_results(tmp_path_factory.mktemp("results"))
    load = partial(LipSync.from_pretrained, given, device="cpu")
    with page.served(load, results, given / "syncnet.safetensors", 0, MAX_MB) as address:
        yield Served(address, Path(os.environ["GRADIO_TEMP_DIR"]), given)
