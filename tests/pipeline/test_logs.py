"""What the commands say: on stderr, from the package's loggers, and from the processes that work for them."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from syncdiff.pipeline.logs import goes_to_stderr, log_to_stderr

SAYING = """
import logging, sys
from syncdiff.pipeline.logs import log_to_stderr
from syncdiff.pipeline.parallel import each_clip
from tests.pipeline.test_logs import say

if __name__ == "__main__":
    if sys.argv[1:] == ["command"]:
        log_to_stderr()
    list(each_clip(say, ["a", "b"], workers=2))
"""


def say(clip: str) -> None:
    logging.getLogger("syncdiff.work").info("seen: %s", clip)


@pytest.fixture
def package() -> Iterator[logging.Logger]:
    """The package's logger, as it is found; as it was, afterwards."""
    logger = logging.getLogger("syncdiff")
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers, logger.level = handlers, level


@pytest.mark.quick
def test_a_message_is_a_plain_line_on_the_stderr_of_that_moment(
    package: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    log_to_stderr()  # as of two commands in one process
    assert goes_to_stderr()
    logging.getLogger("syncdiff.faces").info("faces: %d in", 3)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "faces: 3 in\n")


@pytest.mark.parametrize(("asked", "lines"), [("command", ["seen: a", "seen: b"]), ("library", [])])
def test_workers_say_what_their_command_would(asked: str, lines: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SAYING, asked], capture_output=True, text=True, check=True)
    assert sorted(line for line in done.stderr.splitlines() if line.startswith("seen")) == lines
    assert done.stdout == ""
