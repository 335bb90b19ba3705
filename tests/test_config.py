"""The config: its files do not drift from its models, and a mistake is one line that names the key and the fix."""

import json
from pathlib import Path

import pytest
import yaml

from syncdiff.config import Config, default_yaml, json_schema, load_config, merge, parse_config
from syncdiff.errors import UserError
from syncdiff.pipeline.stages import STAGES, config_slice

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
        ({"train": {"steps": 0}}, "train.steps: 0 needs train.init"),
        ({"train": {"steps": "many"}}, "train.steps: input should be a valid integer"),
        ({"corpus": {"kind": "lsr2"}}, "corpus.kind: not known; say demo or lrs2"),
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
    assert json.loads(config_slice(config, "faces")) == {
        "corpus": {"kind": "lrs2", "root": "$SYNCDIFF_CORPUS_ROOT"},
        "faces": config.faces.model_dump(mode="json"),
    }
    assert json.loads(config_slice(config, "latents")) == {
        "faces": {"size": 96},
        "mixed_precision": "auto",
    }
    assert "train" in json.loads(config_slice(config, "train"))
    assert "train" not in json.loads(config_slice(config, "sample"))


@pytest.mark.parametrize("null", [None, "null", "Null", "None", "none", "~", ""])
def test_null_is_null_where_the_key_allows_it(null: str | None) -> None:
    """Snakemake hands over what stands in --config as text."""
    config = parse_config(
        {
            "corpus": {"name": null, "root": null},
            "plan": {"max_seconds": null},
            "sample": {"max_clips": null, "pose_steps": null},
            "speech": {"checkpoint": null},
            "evaluate": {"inception": null, "external": null},
            "experiments": {"a": {"seed": null, "sample": {"max_clips": null}, "train": null}},
        }
    )
    assert config.corpus_name == "demo"
    assert (config.corpus.root, config.plan.max_seconds, config.speech.checkpoint) == (None, None, None)
    assert (config.sample.max_clips, config.sample.pose_steps, config.evaluate.inception) == (None, None, None)
    assert config.evaluate.external == {}
    assert config.experiment("a").sample.max_clips is None
    refused = [{"seed": null}, {"train": null}, {"train": {"steps": null}}, {"train": {"learning_rate": null}}]
    for values in refused if null == "~" else [*refused, {"results": null}]:  # where ~ is the home folder
        with pytest.raises(UserError, match=rf"config: {'.'.join(_keys(values))}"):
            parse_config(values)


def _keys(values: dict) -> list[str]:
    [(key, value)] = values.items()
    return [key, *(_keys(value) if isinstance(value, dict) else [])]


def test_numbers_and_truths_as_text_are_what_they_say() -> None:
    config = parse_config(
        {"seed": "12", "train": {"learning_rate": "1e-4", "steps": "2_000"}, "latents": {"stored": "false"}}
        | {"corpus": {"pretrain": "no"}, "mixed_precision": False, "plan": {"max_fps": "inf"}}
    )
    assert (config.seed, config.train.learning_rate, config.train.steps) == (12, 1e-4, 2000)
    assert (config.latents.stored, config.corpus.pretrain, config.mixed_precision) == (False, False, "no")
    assert load_config(config.model_dump_json()) == config  # the report gets all of it, infinity as well


def test_paths_have_their_home_folder_and_look_like_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/users/me")
    given = ["~/my videos", "~", "./a//b/", "-x", "./~x", "./null", "$HOME/é"]
    home = "/users/me"
    expected = [f"{home}/my videos", home, "a/b", f"{tmp_path}/-x", f"{tmp_path}/~x", f"{tmp_path}/null", "$HOME/é"]
    for path, want in zip(given, expected, strict=True):
        external = {"row": path}
        config = parse_config({"results": path, "faces": {"weights": path + "/w"}, "evaluate": {"external": external}})
        assert config.results == want
        assert Path(config.faces.weights).resolve() == Path(f"{want}/w").resolve()
        assert config.evaluate.external == {"row": want}
        assert parse_config(config.model_dump()) == config  # a stage reads again what the workflow has read
    for key in ("speech.checkpoint", "autoencoder.pretrained", "syncnet.weights", "evaluate.inception", "corpus.root"):
        section, name = key.split(".")
        assert getattr(getattr(parse_config({section: {name: "~/x"}}), section), name) == "/users/me/x"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a/{x}", "braces"),
        ("s3://bucket/x", "is an address"),
        ("~nobody-knows-them/x", "no home folder"),
        (" ", "names no file or folder"),
        ("a\0b", "names no file or folder"),
        (2024, "put it in quotes"),
    ],
)
def test_a_path_that_cannot_be_is_refused_with_its_key(path: str, why: str) -> None:
    for values, key in [
        ({"results": path}, "results"),
        ({"corpus": {"root": path}}, "corpus.root"),
        ({"evaluate": {"external": {"row": path}}}, "evaluate.external.row"),
    ]:
        if values == {"corpus": {"root": " "}}:
            continue
        with pytest.raises(UserError, match=rf"^config: {key}: .*{why}") as error:
            parse_config(values)
        assert "\n" not in str(error.value)


GOOD_ROWS = [
    "Wav2Lip + GAN",
    "keysync (ours)",
    "it's",
    'the "best"',
    "方法 é",
    "a;b & c|d",
    "50 %",
    "v1.2",
    "a*b?[c]",
    "<b>",
]
BAD_ROWS = ["", ".", "..", "a/b", "../x", "-n", ".hidden", "_off", "new\nline", "a\tb", " a", "a ", "a\0", "a{b}", "$x"]
BAD_ROWS += ["`x`", "a\\b", "a,b", "x" * 201, "é" * 101, "\u202eb", "real", "Real", "SyncDiff", "syncnet"]


@pytest.mark.parametrize("key", ["experiments", "evaluate.external"])
def test_names_of_rows(key: str) -> None:
    def values(*names: str) -> dict:
        return (
            {"experiments": {name: {} for name in names}}
            if key == "experiments"
            else {"evaluate": {"external": dict.fromkeys(names, "folder")}}
        )

    parse_config(values(*GOOD_ROWS))
    for name in BAD_ROWS:
        with pytest.raises(UserError, match=rf"^config: {key}\..*rename it$") as error:
            parse_config(values(name))
        assert str(error.value).isprintable()
    for same in (("Ours", "ours"), ("é", "e\u0301"), ("Straße", "STRASSE")):
        with pytest.raises(UserError, match="taken by another row"):
            parse_config(values(*same))
    with pytest.raises(UserError, match="taken by another row"):
        parse_config({"experiments": {"ours": {}}, "evaluate": {"external": {"OURS": "folder"}}})


@pytest.mark.parametrize("name", ["..", ".", ".x", "a/b", "a b"])
def test_a_corpus_name_that_is_no_folder_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^config: corpus\.name"):
        parse_config({"corpus": {"name": name}})


@pytest.mark.parametrize("path", ["config.yaml", *(f"config/{path.name}" for path in (ROOT / "config").glob("*.yaml"))])
def test_an_editor_finds_the_schema_of_a_config(path: str) -> None:
    first = (ROOT / path).read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = ((ROOT / path).parent / first.partition("=")[2]).resolve()
    assert schema == ROOT / "workflow/schemas/config.schema.json"
