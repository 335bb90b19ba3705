"""The page's server: on this machine only, and nothing on the page comes from another one."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from syncdiff.app.results import read_results
from syncdiff.app.visits import Visits
from syncdiff.dubbing.lip_sync import LipSync
from syncdiff.errors import UserError

HOST = "127.0.0.1"
INSTALL = 'syncdiff app: Gradio is not installed; run: pip install "gradio==6.31.0"'


@contextmanager
def served(
    load: Callable[[], LipSync], results: Path | None, syncnet: Path | None, port: int, max_mb: int
) -> Iterator[str]:
    """Serve the page while the block lasts, and yield its address; then all that was uploaded and made is removed.

    Args:
        load: loads the model, once all else is known to be well.
        results: a results folder to look through; None: none.
        syncnet: weights that score; None: nothing is scored.
        port: 0: any that is free.
        max_mb: of an uploaded file.

    Raises:
        UserError: Gradio is not installed, a file or folder cannot be read, or the port is taken.
    """
    if syncnet and not syncnet.is_file():
        raise UserError(f"{syncnet}: no such file; name a SyncNet's weights")
    found = read_results(results) if results else None
    free = _free(port)
    with tempfile.TemporaryDirectory(prefix="syncdiff-app-") as folder:
        # Gradio reads these as it is imported: where uploads go, no telemetry, no further folders to serve from.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_ALLOWED_PATHS": ""}
        try:
            from syncdiff.app.layout import launch, page_of
        except ModuleNotFoundError as error:
            raise UserError(INSTALL) if error.name == "gradio" else error from None
        page = page_of(load(), syncnet, Visits(Path(folder)), found)
        launch(page, HOST, free, max_mb, Path(folder))
        try:
            yield f"http://{HOST}:{free}/"
        finally:
            page.close(verbose=False)


def _free(port: int) -> int:
    """Return the port if it is free; for 0, one that is."""
    try:
        with socket.create_server((HOST, port)) as found:
            return int(found.getsockname()[1])
    except OSError:
        raise UserError(f"--port {port}: cannot be had; name another, or 0 for any that is free") from None
