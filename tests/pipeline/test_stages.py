"""Versions of stages: raised when the code of a stage changes what it writes."""

import json
import re
from pathlib import Path

import pytest
import typer

from syncdiff.cli import app, stages
from syncdiff.pipeline.stages import STAGES
from tests.code_of_stages import KNOWN, modules_of, state

RULES = "".join(path.read_text() for path in sorted(Path(__file__).parents[2].glob("workflow/rules/*.smk")))
pytestmark = pytest.mark.quick
MEND = "raise STAGES[...].version where what it writes has changed, then run `python -m tests.code_of_stages`"


def test_a_change_of_a_stages_code_is_a_decision_about_its_version() -> None:
    known, now = json.loads(KNOWN.read_text()), state()
    if known["python"] != now["python"]:
        pytest.skip(f"{KNOWN.name} was written by Python {known['python']}, whose syntax trees are others")
    changed = [stage for stage in now if now[stage] != known.get(stage)]
    assert not changed, f"the code or the version of {', '.join(changed)} is not that of {KNOWN.name}: {MEND}"


@pytest.mark.parametrize("stage", STAGES)
def test_the_modules_of_a_stage_are_found(stage: str) -> None:
    assert modules_of(stage)


def test_the_modules_are_those_that_the_stage_runs() -> None:
    assert {"syncdiff.faces.facemesh", "syncdiff.media.video", "syncdiff.shards.tar"} <= modules_of("faces")
    assert "syncdiff.models.denoiser" not in modules_of("faces")
    assert {"syncdiff.models.denoiser", "syncdiff.speech.avhubert"} <= modules_of("train")


def test_every_stage_is_a_rule_and_a_subcommand_of_its_name() -> None:
    rules = set(re.findall(r"^rule (\w+):", RULES, re.MULTILINE))
    assert rules == set(STAGES)
    called = re.findall(r"^rule (\w+):.*?syncdiff (\w+) ", RULES, re.MULTILINE | re.DOTALL)
    assert all(rule == subcommand for rule, subcommand in called)
    assert len(called) == len(rules)
    assert set(STAGES) == set(typer.main.get_command(stages.app).commands)  # type: ignore[attr-defined]


def test_help_shows_the_tools_apart_from_the_stages() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    panels = {name: command.rich_help_panel.split(",")[0] for name, command in commands.items()}
    assert panels == {name: "Stages" if name in STAGES else "Tools" for name in commands}


@pytest.mark.parametrize("stage", STAGES)
def test_a_rule_says_which_config_keys_it_reads(stage: str) -> None:
    above = re.search(rf"((?:^# .*\n)+)rule {stage}:", RULES, re.MULTILINE)
    said = re.search(r"Reads (.*?)\.(\s|$)", " ".join(above[1].replace("# ", "").split())) if above else None
    assert said, f"no comment above rule {stage} says which keys it reads"
    assert tuple(said[1].split(", ")) == (STAGES[stage].keys or ("everything",))
