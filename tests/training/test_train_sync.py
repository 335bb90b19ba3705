"""Training with a sync loss, by the command line: what it needs, what it writes, and who must not score it."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from syncdiff.cli import app
from syncdiff.errors import UserError
from tests.training.noise import CONFIG, write_autoencoder, write_noise, write_sync

pytestmark = pytest.mark.quick
WITH_SYNC = CONFIG.replace('"steps": 12', '"steps": 3, "sync_weight": 0.01')


def _train(folder: Path, config: str, options: Sequence[str]) -> None:
    write_noise(folder / "latents.tar", folder / "speech.tar")
    shards = ["--latents", str(folder / "latents.tar"), "--speech", str(folder / "speech.tar")]
    networks = ["--autoencoder", str(write_autoencoder(folder / "autoencoder")), *options]
    command = ["train", str(folder / "run"), *shards, *networks, "--config", config, "--device", "cpu"]
    done = CliRunner().invoke(app, command)
    if done.exception:
        raise done.exception


def test_it_is_in_the_curve_and_its_syncnet_may_not_score(tmp_path: Path) -> None:
    _train(tmp_path, WITH_SYNC, write_sync(tmp_path))
    assert {"loss", "loss_lips", "loss_ssim", "loss_sync"} <= set(pd.read_csv(tmp_path / "run/loss.csv").columns)
    renamed = tmp_path / "another-name.safetensors"
    renamed.write_bytes((tmp_path / "expert.safetensors").read_bytes())
    command = ["evaluate", "syncdiff", str(renamed), str(tmp_path / "scores.parquet")]
    done = CliRunner().invoke(app, [*command, "--shards", "none.tar", "--videos", str(tmp_path / "run/videos")])
    assert isinstance(done.exception, UserError)
    assert "was trained with this SyncNet; score it by another one" in str(done.exception)


@pytest.mark.parametrize("lacking", ["--mfcc", "--expert"])
def test_what_it_needs_must_be_there(tmp_path: Path, lacking: str) -> None:
    options = write_sync(tmp_path)
    place = options.index(lacking)
    with pytest.raises(UserError, match="above 0 it needs --mfcc and --expert"):
        _train(tmp_path, WITH_SYNC, options[:place] + options[place + 2 :])


def test_what_is_not_needed_must_not_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at 0, none of them"):
        _train(tmp_path, CONFIG, write_sync(tmp_path))
