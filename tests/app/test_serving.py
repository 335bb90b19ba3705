"""What `syncdiff app` says, in a line, where the page cannot be served; and what may be uploaded."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from syncdiff.app import page
from syncdiff.errors import UserError
from syncdiff.media.encode import check_form
from syncdiff.media.pictures import Video
from tests.app.hostile import REFUSED

pytestmark = pytest.mark.quick


def _serve(**given: Any) -> None:
    def load() -> Any:
        raise AssertionError("all else is to be known before the model is loaded")

    with page.served(**{"load": load, "results": None, "syncnet": None, "port": 0, "max_mb": 1} | given):
        pass


def test_without_gradio_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("syncdiff.app.")]:
        if name != page.__name__:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r'Gradio is not installed; run: pip install "gradio=='):
        _serve()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port {port}: cannot be had; name another"):
            _serve(port=port)


def test_weights_and_results_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.safetensors: no such file"):
        _serve(syncnet=tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="name a results folder"):
        _serve(results=tmp_path)


def test_a_video_too_wide_to_be_encoded_is_refused_before_any_work(tmp_path: Path) -> None:
    """Whoever asks: `syncdiff dub` too."""
    (tmp_path / "wide.mkv").write_bytes(REFUSED["a picture of 20,000 × 64"].make(tmp_path))
    with pytest.raises(UserError, match=r"out\.mp4: pictures of 20000 × 64 are not written, 16384 a side at most"):
        check_form(tmp_path / "out.mp4", Video(tmp_path / "wide.mkv").form)
