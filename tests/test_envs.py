"""envs/ follows pyproject.toml, the one place for versions."""

import tomllib
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.quick
ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_conda_environment_lists_the_dependencies() -> None:
    dependencies = yaml.safe_load((ROOT / "envs/syncdiff.yaml").read_text())["dependencies"]
    assert sorted(dependencies[-1]["pip"]) == sorted(PROJECT["project"]["dependencies"])


def test_its_post_deploy_script_installs_the_rest() -> None:
    script = (ROOT / "envs/syncdiff.post-deploy.sh").read_text()
    for requirement in PROJECT["dependency-groups"]["no-deps"]:
        assert f" {requirement}" in script


def test_every_rule_names_an_environment_that_exists() -> None:
    for rules in (ROOT / "workflow/rules").glob("*.smk"):
        text = rules.read_text()
        assert text.count("\nrule ") == text.count('"../../envs/syncdiff.yaml"'), rules.name
    assert (ROOT / "envs/syncdiff.yaml").is_file()
