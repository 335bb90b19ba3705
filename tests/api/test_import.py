"""What `import syncdiff` gives, and what it costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import syncdiff

pytestmark = pytest.mark.quick


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_the_import_takes_under_a_fifth_of_a_second_and_no_heavy_package() -> None:
    code = """
import sys, time
start = time.process_time()
import syncdiff
print(time.process_time() - start, *sys.modules.keys() & {"torch", "pandas", "cv2", "numpy", "pydantic", "webdataset"})
"""
    seconds, *heavy = _run(code).stdout.split()
    assert heavy == []
    assert float(seconds) < 0.2


def test_every_name_is_there_and_no_other() -> None:
    assert set(dir(syncdiff)) == set(syncdiff.__all__)
    for name in syncdiff.__all__:
        assert getattr(syncdiff, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'scores'"):
        syncdiff.scores  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(syncdiff.__file__)).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(syncdiff.__all__)


def test_the_library_is_silent_until_logging_is_set_up() -> None:
    warn = "import logging, syncdiff; {}logging.getLogger('syncdiff.media.video').warning('a line')"
    assert _run(warn.format("")).stderr == ""
    assert "a line" in _run(warn.format("logging.basicConfig(); ")).stderr
