"""Published weights: the registry, and downloads from a local server that can break off."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from syncdiff.errors import UserError
from syncdiff.weights import registry as weights
from syncdiff.weights.registry import REGISTRY, File, Weights

pytestmark = pytest.mark.quick

CONTENT = bytes(range(256)) * 8192  # 2 MiB


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; the first request for /broken gets half of it."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"]).group(1))
        self.asked.append(f"{self.path} {start}")
        if self.path == "/missing":
            return self.send_error(404)
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        breaks = self.path == "/broken" and not start
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if breaks else CONTENT[start:])
        return None

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a local server; weights go to a temporary folder."""
    monkeypatch.setenv("SYNCDIFF_WEIGHTS", str(tmp_path / "weights"))
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def register(monkeypatch: pytest.MonkeyPatch, url: str, sha256: str | None) -> File:
    file = File(url, "folder/net.pt", sha256)
    monkeypatch.setitem(REGISTRY, "net", Weights("testing", "none", (file,)))
    return file


SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_get_once(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = register(monkeypatch, f"{server}/whole", SHA256)
    assert weights.state(file) == "missing"
    assert weights.get("net") == [file.target]
    assert file.target.read_bytes() == CONTENT
    assert weights.state(file) == "ok"
    weights.get("net")
    assert Server.asked == ["/whole 0"]


def test_resumes_where_it_broke_off(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = register(monkeypatch, f"{server}/broken", SHA256)
    with pytest.raises(UserError, match="cannot be downloaded"):
        weights.get("net")
    assert not file.target.exists()
    weights.get("net")
    assert file.target.read_bytes() == CONTENT
    assert Server.asked == ["/broken 0", f"/broken {len(CONTENT) // 2}"]


def test_mismatch_is_refused(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = register(monkeypatch, f"{server}/whole", "0" * 64)
    with pytest.raises(UserError, match="another sha256"):
        weights.get("net")
    assert not any(file.target.parent.iterdir())


def test_offline_says_which_file_to_put_where(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = register(monkeypatch, "http://127.0.0.1:9/net.pt", SHA256)
    with pytest.raises(UserError, match=re.escape("http://127.0.0.1:9/net.pt: cannot be downloaded")) as error:
        weights.get("net")
    assert str(error.value).endswith(f"put it at {file.target}")
    with pytest.raises(UserError, match="404"):
        register(monkeypatch, f"{server}/missing", SHA256)
        weights.get("net")


def test_unknown_name() -> None:
    with pytest.raises(UserError, match="known are avhubert-base"):
        weights.get("avhubert")


def test_verify(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = register(monkeypatch, f"{server}/whole", SHA256)
    weights.get("net")
    assert weights.verify()
    file.target.write_bytes(b"damaged")
    assert not weights.verify()
    assert f"mismatch  {file.target}" in capsys.readouterr().out
    assert weights.state(replace(file, sha256=None)).startswith("unverified, sha256 ")


def test_list_has_all_that_a_user_needs(capsys: pytest.CaptureFixture[str]) -> None:
    weights.print_weights()
    printed = capsys.readouterr().out
    for entry in REGISTRY.values():
        for file in entry.files:
            assert f"from   {file.url}\n  to     {file.target}\n" in printed
            assert f"sha256 {file.sha256 or 'not published'}\n" in printed


def test_hashes_agree_with_the_file_names() -> None:
    """The publishers put the first digits of the sha256 into some names."""
    files = [file for entry in REGISTRY.values() for file in entry.files]
    marked = {match.group(1): file for file in files if (match := re.search(r"-([0-9a-f]{8,})\.pth", file.path))}
    assert len(marked) == 5
    assert all(file.sha256.startswith(prefix) for prefix, file in marked.items())


def test_a_file_has_the_mode_of_the_umask(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = register(monkeypatch, f"{server}/whole", SHA256)
    before = os.umask(0o027)
    try:
        weights.get("net")
    finally:
        os.umask(before)
    assert file.target.stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SYNCDIFF_WEIGHTS", str(tmp_path / "file"))
    register(monkeypatch, "http://127.0.0.1:9/net.pt", SHA256)
    with pytest.raises(UserError, match=r"file/folder: cannot be written \(Not a directory\); set SYNCDIFF_WEIGHTS"):
        weights.get("net")


def test_without_a_home_folder_one_line_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for an unknown user without HOME: pooch asks for ~/.cache, and nobody can say where that is."""
    for name in ("SYNCDIFF_WEIGHTS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "not absolute")
    monkeypatch.setattr("pwd.getpwuid", raise_key_error)
    for work in (weights.print_weights, weights.verify, lambda: weights.get("syncnet")):
        with pytest.raises(UserError, match="set SYNCDIFF_WEIGHTS"):
            work()
    monkeypatch.setenv("SYNCDIFF_WEIGHTS", "~nobody-knows-them/w")
    with pytest.raises(UserError, match="set SYNCDIFF_WEIGHTS"):
        weights.weights_folder()


def raise_key_error(uid: int) -> None:
    raise KeyError(uid)


def test_the_variable_may_name_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SYNCDIFF_WEIGHTS", "~/my weights")
    assert weights.weights_folder() == tmp_path / "my weights"
