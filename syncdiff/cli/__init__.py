"""The command line: tools that people call, and stages that the workflow calls. The logic is elsewhere.

Heavy packages are imported by the subcommand that needs them, so that `syncdiff --help` is quick.
"""

from __future__ import annotations

import sys
import tempfile
from io import TextIOWrapper
from typing import NoReturn

import typer

from syncdiff.cli import stages, tools
from syncdiff.errors import ClipRejected, UserError, escape
from syncdiff.pipeline.files import disk_error
from syncdiff.pipeline.logs import log_to_stderr

app = typer.Typer(
    help="SyncDiff: speech-to-lip synthesis by latent diffusion, from raw video to a scored model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(tools.app)
app.add_typer(stages.app)


def main() -> None:
    """Run a subcommand; a user's mistake is one line on stderr and exit code 1."""
    log_to_stderr()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        app()
    except (UserError, ClipRejected) as error:
        end_with(str(error))
    except OSError as error:
        if fault := disk_error(error):
            end_with(f"{error.filename or tempfile.gettempdir()}: {fault}; make room and run the command again")
        if not (error.filename and error.strerror):
            raise
        end_with(f"{error.filename}: {error.strerror}")


def end_with(message: str) -> NoReturn:
    """End with a message in one line."""
    print(f"syncdiff: {escape(message)}", file=sys.stderr)
    sys.exit(1)
