"""The config: its files do not drift from its models, and a mistake is one line that names the key and the fix."""

import json
from pathlib import Path

import pytest
import yaml

from syncdiff.config import Config, default_yaml, json_schema, load_config, merge, parse_config
from syncdiff.errors import UserError
from syncdiff.stages import STAGES, config_slice

pytestmark = pytest.mark.quick
ROOT = Path(__file__).resolve().parents[1]


def test_config_yaml_and_schema_are_those_of_the_models() -> None:
    assert (ROOT / "config.yaml").read_text() == default_yaml(), "run `syncdiff config > config.yaml`"
    schema = (ROOT / "workflow/schemas/config.schema.json").read_text()
    assert schema == json_schema(), "run `syncdiff config --schema > workflow/schemas/config.schema.json`"
    assert parse_config(yaml.safe_load(default_yaml())) == Config()


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_every_overlay_is_valid(path: Path) -> None:
    overlay = yaml.safe_load(path.read_text())
    parse_config(merge(overlay, {"corpus": {**overlay.get("corpus", {}), "root": "somewhere"}}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trian": {}}, "trian: unknown key; did you mean train?"),
        ({"train": {"stpes": 3}}, "train.stpes: unknown key; did you mean train.steps?"),
        ({"bottleneck_dim": 3}, "bottleneck_dim: unknown key; did you mean denoiser.bottleneck_dim?"),
        ({"train": {"steps": 0}}, "train.steps: input should be greater than or equal to 1"),
        ({"train": {"steps": "many"}}, "train.steps: input should be a valid integer"),
        ({"corpus": {"kind": "lsr2"}}, "corpus.kind: input should be 'demo', 'lrs2'"),
        ({"corpus": {"kind": "lrs2"}}, "corpus.root: missing"),
        ({"corpus": 3}, "corpus: input should be a valid dictionary"),
        ({"experiments": {"a": {"denoiser": {"pose": "none"}}}}, "denoiser.pose: unknown key"),
        ({"experiments": {"real": {}}}, "experiments.real: this name is taken"),
    ],
)
def test_a_mistake_names_the_key_and_the_fix(values: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_config(values)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_config_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file"):
        load_config(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1,\nb: 2")
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(bad)
    bad.write_text("just a word")
    with pytest.raises(UserError, match="expected `key: value`"):
        load_config(bad)


def test_an_experiment_changes_what_it_names_and_nothing_else() -> None:
    config = parse_config({"seed": 4, "experiments": {"mel": {"speech": {"encoder": "mel"}}}})
    changed = config.experiment("mel")
    assert changed.speech.encoder == "mel"
    assert changed.seed == 4
    assert changed.denoiser == config.denoiser
    assert config.experiment("syncdiff") is config


def test_a_slice_holds_the_stage_s_keys_and_is_a_config_again() -> None:
    config = parse_config({"faces": {"size": 96}, "train": {"steps": 7}, "corpus": {"kind": "lrs2", "root": "x"}})
    for stage in STAGES:
        load_config(config_slice(config, stage))
    assert json.loads(config_slice(config, "faces")) == {"faces": config.faces.model_dump(mode="json")}
    assert json.loads(config_slice(config, "latents")) == {
        "faces": {"size": 96},
        "latents": {"varied": False},
        "mixed_precision": "auto",
        "seed": 0,
    }
    assert "train" in json.loads(config_slice(config, "train"))
    assert "train" not in json.loads(config_slice(config, "sample"))
