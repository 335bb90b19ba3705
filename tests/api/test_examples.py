"""The notebooks of examples/, run cell by cell on a small corpus and a model with random weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.corpus.demo import render_corpus
from syncdiff.media.video import probe
from syncdiff.models.syncnet import SyncNet, save_syncnet
from syncdiff.shards.tar import encode_npy, to_json, write_shard
from tests.members import crop_bytes, wav_bytes
from tests.models.folder import write_model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
T = 6
SMALL = {
    "denoiser": {"channels": [32, 32]},
    "speech": {"dim": 32, "layers": 1},
    "corpus": {"demo": {"identities": 3, "clips_per_identity": 1, "seconds": 1.2}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the notebooks run in, beside a results folder with what `make eval` would have left there."""
    results, run = tmp_path / "results/demo", tmp_path / "results/demo/runs/syncdiff"
    config = parse_config(SMALL)
    render_corpus(config, results / "corpus", workers=1)
    write_model(config, run)
    shutil.copytree(results / "corpus", run / "videos/paired")
    (run / "videos/paired/damaged.mp4").write_bytes(b"no video")
    torch.manual_seed(0)
    save_syncnet(SyncNet(width=0.125, image_size=64), results / "syncnet/syncnet.safetensors", "drawings")
    members = {
        "crop.mp4": crop_bytes(np.zeros((T, 64, 64, 3), np.uint8)),
        "audio.wav": wav_bytes(np.zeros(T * 640, np.int16)),
        "fbank.npy": encode_npy(np.zeros((T, 104), np.float32)),
    }
    clips = [{"__key__": clip, "json": to_json({"clip": clip, "identity": 2}), **members} for clip in "abc"]
    write_shard(results / "test/shards/00000.tar", clips)
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path / "examples")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path / "examples"


def _run(name: str) -> dict[str, object]:
    """Run the code of a notebook; return the names that it has set."""
    names: dict[str, object] = {}
    for cell in json.loads((EXAMPLES / name).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    return names


@pytest.mark.slow
def test_the_notebooks_run_as_they_stand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = _run("score.ipynb")
    assert len(names["scores"]) == 4  # type: ignore[arg-type]
    assert "1 of 4 videos have no score" in capsys.readouterr().out
    names = _run("shards_and_dub.ipynb")
    assert names["n_frames"] == dict.fromkeys("abc", T)
    assert probe(folder / "dubbed.mp4").n_frames >= names["report"].generated > 25  # type: ignore[operator]


@pytest.mark.quick
def test_notebooks_are_kept_without_outputs() -> None:
    books = sorted(EXAMPLES.glob("*.ipynb"))
    assert books
    for book in books:
        cells = [cell for cell in json.loads(book.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells), book.name
