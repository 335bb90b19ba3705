"""What the commands say while they work: lines on stderr, from the loggers below `syncdiff`."""

from __future__ import annotations

import logging
import sys


class _Stderr(logging.Handler):
    """Writes to what `sys.stderr` is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        print(self.format(record), file=sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Let the package's messages go to stderr as plain lines; a program that imports it decides that for itself."""
    package = logging.getLogger("syncdiff")
    if not goes_to_stderr():
        package.addHandler(_Stderr())
    package.setLevel(logging.INFO)


def goes_to_stderr() -> bool:
    """Say whether `log_to_stderr` was called in this process: its workers then do the same."""
    return any(isinstance(handler, _Stderr) for handler in logging.getLogger("syncdiff").handlers)
