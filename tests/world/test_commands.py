"""How people call the workflow: with folders and rows of any name, from elsewhere, with nulls."""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console

from syncdiff.evaluation.table import print_table
from syncdiff.report.plots import drift, to_svg
from syncdiff.shards.tar import expand_shards
from tests.workflow.conftest import TINY, run_snakemake

ROW = 'Wav2Lip + GAN (it\'s ours) [new] & "best"; é %s #1 *?'
FOLDERS = ["my 'best' results; $HOME `x` & \"d\" | é %s # *?[a] ~ \\t ", "-rf"]


def commands(folder: Path, name: str, row: str) -> list[list[str]]:
    """Dry-run everything with paths and rows of these names; return the words of each shell command."""
    prepare(folder, name)
    config = {
        "results": f"./{name}/out",
        "speech": {"checkpoint": f"./{name}/file"},
        "autoencoder": {"pretrained": f"./{name}/vae"},
        "syncnet": {"weights": f"./{name}/file"},
        "evaluate": {"inception": f"./{name}/file", "external": {row: f"./{name}/videos"}},
        "experiments": {f"{row}, no".replace(",", ""): {"second_stage": {"steps": 2, "sync_weight": 0.1}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    dry = run_snakemake("--dry-run", "--printshellcmds", "--configfile", TINY, "--", "ablation", "eval", folder=folder)
    assert dry.returncode == 0, dry.stdout[-2000:] + dry.stderr[-2000:]
    return [words(line) for line in re.findall(r"^Shell command: (python .*)$", dry.stdout, re.MULTILINE)]


def prepare(folder: Path, name: str) -> None:
    """Make the files that a dry run looks for."""
    (folder / name / "vae").mkdir(parents=True)
    for file in ("file", "vae/config.json"):
        (folder / name / file).touch()


def words(command: str) -> list[str]:
    """Split a command as a shell does; a pattern of shards is the first of them, a path like an option is whole."""
    return [str(expand_shards([word])[0]) if re.search(r"\{\d{5}\.\.", word) else word for word in shlex.split(command)]


def renamed(word: str, folder: Path, name: str, row: str) -> str:
    """Put the names into a word of the commands with the plain names."""
    start = str(folder / name) if name[0] in "-~" else name
    if word.startswith("{"):
        start, row = (json.dumps(text)[1:-1] for text in (start, row))
    return word.replace("PLAIN", start).replace("METHOD", row)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The commands of names without any sign."""
    found = commands(tmp_path_factory.mktemp("plain"), "PLAIN", "METHOD")
    assert {command[3] for command in found} > {"plan", "faces", "shards", "latents", "train", "sample", "evaluate"}
    return found


@pytest.mark.parametrize("name", FOLDERS)
def test_every_path_and_row_is_one_word_of_its_command(plain: list[list[str]], tmp_path: Path, name: str) -> None:
    found = commands(tmp_path, name, ROW)
    assert len(found) == len(plain)
    expected = [[renamed(word, tmp_path, name, ROW) for word in command] for command in plain]
    assert sorted(map(comparable, found)) == sorted(map(comparable, expected))


def comparable(command: list[str]) -> list[str]:
    """Give JSON one order of keys and one spelling."""
    return [json.dumps(json.loads(word), sort_keys=True) if word.startswith("{") else word for word in command]


def plan_only(*arguments: str, folder: Path) -> tuple[int, str]:
    """Parse the workflow; return the exit code and what it said, without the report of the jobs."""
    dry = run_snakemake("--dry-run", "--quiet", "all", *arguments, folder=folder)
    return dry.returncode, dry.stdout + dry.stderr


def test_from_another_folder_it_needs_no_config_file_and_uses_one_that_is_there(tmp_path: Path) -> None:
    dry = run_snakemake("--dry-run", "results/demo/plan/clips.parquet", folder=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert "profiles/default for setting" in dry.stderr  # contents are compared there too, not times
    (tmp_path / "config.yaml").write_text("results: ~/there\nsmaple: {}\n")
    code, said = plan_only(folder=tmp_path)
    assert code == 1
    assert "config: smaple: unknown key; did you mean sample?" in said


def test_null_in_a_command_line_is_null_and_the_home_folder_is_filled_in(tmp_path: Path) -> None:
    values = ["sample={max_clips: null}", "corpus={name: None}", "results=~/my results", "plan={max_seconds: }"]
    dry = run_snakemake("--dry-run", "--config", *values, "train={steps: '12'}", "--", "ledger", folder=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert f"output: {Path.home()}/my results/demo/ledger.parquet" in dry.stdout


def rows_of(name: str) -> pd.DataFrame:
    """A table in which a method of this name has one figure."""
    figure = {"protocol": "paired", "metric": "lse_c", "scorer": "SyncNet [x]", "value": 1.0, "ci_low": 0.5}
    return pd.DataFrame([figure | {"method": name, "ci_high": 1.5, "n_expected": 2, "n_scored": 2}])


@pytest.mark.quick
def test_a_row_s_name_is_printed_and_drawn_as_it_is() -> None:
    console = Console(width=200, record=True)
    print_table(rows_of(ROW), console)
    text = console.export_text()
    assert ROW in text
    assert "SyncNet [x]" in text
    scores = rows_of(ROW).assign(clip="a", metric="ssim", series=[[0.5] * 40])
    assert re.sub(r"[<>&]", "", ROW) in to_svg(drift(scores, [ROW], 0)).replace("&amp;", "")
