"""Installing: `make setup` finds its Python, and what runs without the packages with stale pins."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FITS, OTHER, SHIM = "exit 0", "exit 1", "echo 'command not found' >&2; exit 127"
# Packages with stale pins, and the modules that import them.
STALE = {
    "fairseq": "syncdiff.speech.fairseq_compat",
    "face_alignment": "syncdiff.faces.fan",
    "mediapipe": "syncdiff.faces.facemesh",
}
IMPORT_WITHOUT_THEM = f"""
import importlib, sys
import syncdiff.cli, syncdiff.evaluation.metrics.fidelity, syncdiff.evaluation.metrics.lse, syncdiff.speech.extract
print(sorted(set(sys.modules) & {set(STALE)}))
sys.modules.update(dict.fromkeys({list(STALE)}))  # importing one of them now fails
for module in {list(STALE.values())}:
    try:
        importlib.import_module(module)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., str]:
    """A folder with the Makefile alone and a PATH of its own; calls `make setup` there and returns what it printed."""

    def make_setup(*arguments: str, **programs: str) -> str:
        (tmp_path / "bin").mkdir()
        for name, script in programs.items():
            file = tmp_path / "bin" / name.replace("_", ".")
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)
        command = [shutil.which("make") or "make", "--file", ROOT / "Makefile", "setup", *arguments]
        environment = {"PATH": str(tmp_path / "bin")}
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return ended.stdout + ended.stderr

    return make_setup


@pytest.mark.quick
def test_make_setup_takes_the_newest_python_that_runs(bare: Callable[..., str]) -> None:
    assert "python3.11 -m venv" in bare("--dry-run", python3_12=SHIM, python3_11=FITS, python3=FITS)


@pytest.mark.quick
def test_make_setup_takes_python3_where_it_is_one_that_fits(bare: Callable[..., str]) -> None:
    assert "python3 -m venv" in bare("--dry-run", python3_12=SHIM, python3_11=OTHER, python3=FITS)


@pytest.mark.quick
@pytest.mark.parametrize("arguments", [[], ["PYTHON=python3"]])
def test_make_setup_without_a_python_that_fits_says_in_one_line_what_to_do(
    bare: Callable[..., str], arguments: list[str]
) -> None:
    line, make = bare(*arguments, python3_12=SHIM, python3=OTHER).splitlines()
    assert "Python 3.12 or 3.11" in line and "uv python install 3.12" in line and "PYTHON=" in line
    assert make.startswith("make: ***")


def test_the_tools_load_no_package_with_stale_pins_and_one_line_says_what_to_install_where_one_is_needed() -> None:
    command = [sys.executable, "-c", IMPORT_WITHOUT_THEM]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, *lines = ended.stdout.splitlines()
    assert loaded == "[]"
    for package, line in zip(STALE, lines, strict=True):
        assert line.startswith("UserError") and f"pip install --no-deps {package.replace('_', '-')}==" in line
