"""A model's folder: whole, movable, published. The networks have random weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncdiff.config import Config, merge, parse_config
from syncdiff.dubbing.lip_sync import LipSync
from syncdiff.errors import UserError
from syncdiff.models.pretrained import files_of, find_checkpoint, read_pretrained_config
from syncdiff.pipeline.files import sha256, write_parquet
from syncdiff.synthesis.export import export
from syncdiff.synthesis.generate import Target, generate
from tests.fuzz.checkpoints import checkpoint_seeds
from tests.models.folder import write_model

pytestmark = pytest.mark.quick
SMALL = {"denoiser": {"channels": [32, 32]}, "speech": {"dim": 32, "layers": 1}, "sample": {"steps": 1}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_model(parse_config(SMALL), tmp_path / "results/runs/syncdiff")


def _frames(lips: LipSync) -> np.ndarray:
    random = np.random.default_rng(0)
    crops = random.integers(256, size=(3, 64, 64, 3), dtype=np.uint8)
    speech = random.normal(size=(3, 104)).astype(np.float32)
    return np.stack(list(generate(lips.networks, [Target(crops, crops[0], speech, noise_seed=0)])))


def _with_checkpoint(folder: Path, frozen_layers: int) -> Config:
    """Return a config whose speech encoder begins as an AV-HuBERT that is written to `folder`."""
    folder.mkdir()
    checkpoint_seeds(folder)
    speech = {"checkpoint": str(folder / "avhubert.safetensors"), "frozen_layers": frozen_layers}
    return parse_config(merge(SMALL, {"speech": speech}))


def test_a_run_is_used_wherever_it_is_copied(run: Path, tmp_path: Path) -> None:
    expected = _frames(LipSync.from_pretrained(run, device="cpu"))
    shutil.move(run, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "elsewhere/trained")  # the autoencoder as its own stage wrote it
    moved = LipSync.from_pretrained(str(tmp_path / "elsewhere"), device="cpu")
    np.testing.assert_array_equal(_frames(moved), expected)
    assert repr(moved) == f"LipSync(folder={tmp_path / 'elsewhere'!r})"  # in a notebook, and no thousand lines


def test_the_same_training_writes_the_same_bytes_and_no_place_of_this_machine(run: Path, tmp_path: Path) -> None:
    again = write_model(parse_config(SMALL), tmp_path / "again")
    assert [sha256(file) for file in files_of(run)] == [sha256(file) for file in files_of(again)]
    config = _with_checkpoint(tmp_path / "checkpoints", frozen_layers=1)
    assert str(tmp_path) not in (write_model(config, tmp_path / "frozen") / "config.json").read_text()


def test_changes_are_laid_over_the_models_config(run: Path) -> None:
    lips = LipSync.from_pretrained(run, device="cpu", config={"sample": {"steps": 7}})
    assert lips.networks.config.sample.steps == 7
    assert lips.networks.config.denoiser.channels == [32, 32]
    with pytest.raises(UserError, match=r"sample\.step: unknown key; did you mean sample\.steps"):
        LipSync.from_pretrained(run, config={"sample": {"step": 7}})


def test_a_folder_that_is_no_whole_model_is_named(run: Path, tmp_path: Path) -> None:
    for file in files_of(run):
        kept = file.read_bytes()
        file.unlink()
        with pytest.raises(UserError, match=f"{file}: no such file; name the folder of a trained run"):
            LipSync.from_pretrained(run)
        file.write_bytes(kept)


def test_frozen_layers_are_asked_for_by_name_and_found_in_the_weights_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCDIFF_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    folder = write_model(_with_checkpoint(tmp_path / "checkpoints", frozen_layers=1), tmp_path / "frozen")
    place = tmp_path / "weights/avhubert.safetensors"
    with pytest.raises(UserError, match=f"avhubert.safetensors: no such file; .* put it at {place}, or name it"):
        LipSync.from_pretrained(folder)
    named = {"speech": {"checkpoint": str(tmp_path / "checkpoints/avhubert.safetensors")}}
    assert LipSync.from_pretrained(folder, device="cpu", config=named)
    place.parent.mkdir()
    shutil.copyfile(named["speech"]["checkpoint"], place)
    assert find_checkpoint(read_pretrained_config(folder)).speech.checkpoint == str(place)
    assert LipSync.from_pretrained(folder, device="cpu")


def test_trained_layers_need_no_checkpoint(tmp_path: Path) -> None:
    folder = write_model(_with_checkpoint(tmp_path / "checkpoints", frozen_layers=0), tmp_path / "whole")
    shutil.rmtree(tmp_path / "checkpoints")
    assert LipSync.from_pretrained(folder, device="cpu").networks.denoiser.speech.encoder.config.layers == 2


def test_an_export_gives_the_runs_pictures_to_the_bit(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"results", "out"}  # nothing is left of the making
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("README.md", "config.json", "denoiser.safetensors", "autoencoder")
    }
    both = (_frames(LipSync.from_pretrained(folder, device="cpu")) for folder in (run, tmp_path / "out"))
    np.testing.assert_array_equal(*both)


def test_the_card_says_data_scores_scorer_and_use(run: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    export(run, tmp_path / "bare")
    bare = (tmp_path / "bare/README.md").read_text()
    assert "not recorded beside the run" in bare
    assert "Not scored: no table lies beside the run." in bare
    row = {"method": "syncdiff", "protocol": "paired", "metric": "lse_c", "scorer": "syncnet_v2", "value": 7.1234}
    row |= {"ci_low": 7.0, "ci_high": 7.2, "n_expected": 3, "n_scored": 2}
    write_parquet(results / "table.parquet", pd.DataFrame([row, row | {"method": "real", "value": 9.0}]))
    write_parquet(results / "plan/clips.parquet", pd.DataFrame({"status": ["ok", "rejected"], "split": ["train", ""]}))
    record = {"inputs": {}, "outputs": {}, "config": {"corpus": {"kind": "lrs2", "name": "grid"}}}
    (results / "plan/clips.parquet.provenance.json").write_text(json.dumps(record))
    export(run, tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text()
    assert "| lse_c | paired | 7.123 | 7.000 to 7.200 | 2 | syncnet_v2 |" in text
    assert "9.000" not in text
    assert "the corpus `grid`, in the layout `lrs2`" in text
    assert "clips planned: 1 train" in text
    assert text.startswith("---\nlicense: mit\n")
    for said in ("## Intended use", "without their consent", "synthetic", sha256(run / "denoiser.safetensors")):
        assert said in text


def test_what_was_made_from_avhubert_is_exported_with_its_licence_only(tmp_path: Path) -> None:
    run = write_model(_with_checkpoint(tmp_path / "checkpoints", frozen_layers=1), tmp_path / "run")
    with pytest.raises(UserError, match="non-commercial research only; give its text with --licence FILE"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "LICENCE").write_text("the terms")
    export(run, tmp_path / "out", tmp_path / "LICENCE")
    assert (tmp_path / "out/LICENSE").read_text() == "the terms"
    text = (tmp_path / "out/README.md").read_text()
    assert "license: other" in text
    assert "AV-HuBERT is licensed under the AV-HuBERT license" in text
    assert "`avhubert.safetensors`, which is not in this folder" in text


def test_an_export_never_writes_over_something(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(run, tmp_path / "out")
    with pytest.raises(UserError, match="out: holds something already; name a new folder"):
        export(run, tmp_path / "out")
    with pytest.raises(UserError, match=r"denoiser\.safetensors: no such file"):
        export(tmp_path / "results", tmp_path / "new")
    assert not (tmp_path / "new").exists()
