"""Versions of stages: raised when the code of a stage changes what it writes."""

import json

import pytest

from syncdiff.pipeline.stages import STAGES
from tests.code_of_stages import KNOWN, modules_of, state

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
