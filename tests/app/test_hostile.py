"""Hostile uploads: one line to the user, no traceback, and nothing of them is left."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import MAX_MB, Served
from tests.app.hostile import NAMES, REFUSED, TAKEN, ffmpeg, pictures

pytest.importorskip("gradio", reason="the extra `app` is not installed: pip install 'syncdiff[app]'")

from tests.app.visitor import Visitor, words


@pytest.fixture
def visitor(served: Served) -> Iterator[Visitor]:
    """A visit of its own, that is over after the test; nothing of it may be left then."""
    visitor = Visitor(served.address)
    yield visitor
    visitor.leave()
    visitor.wait_until(lambda: left(served) == [])


def left(served: Served) -> list[Path]:
    """Return the files that lie in the folder of uploads."""
    return [Path(folder, name) for folder, _, names in os.walk(served.uploads) for name in names]  # some go meanwhile


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_refused_in_a_line(
    kind: str, served: Served, visitor: Visitor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hostile = REFUSED[kind]
    line = visitor.give(hostile.slot, hostile.name, hostile.make(tmp_path))
    assert re.match(rf"This {hostile.slot} cannot be used: .*({hostile.answer})", line), line
    assert "\n" not in line and len(line) < 250 and str(served.uploads) not in line and str(tmp_path) not in line
    assert left(served) == []
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("kind", TAKEN)
def test_what_is_odd_but_can_be_read_is_taken(kind: str, visitor: Visitor, tmp_path: Path) -> None:
    hostile = TAKEN[kind]
    assert hostile.answer in visitor.give(hostile.slot, hostile.name, hostile.make(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_decides_nothing(name: str, served: Served, visitor: Visitor, tmp_path: Path) -> None:
    data = ffmpeg(tmp_path, *pictures(), "-pix_fmt", "yuv420p")
    assert "64 × 48" in visitor.give("video", name, data)
    (path,) = left(served)
    assert path.read_bytes() == data and path.parent.parent == served.uploads
    assert not set(path.name) & set("/\\<>\"'&$`|\n\r\0") and len(path.name) <= 200, path.name


def test_a_name_that_turns_the_line_round_is_shown_letter_by_letter(
    served: Served, visitor: Visitor, tmp_path: Path
) -> None:
    path = visitor.upload("\u202e4pm.exe", ffmpeg(tmp_path, *pictures(), "-pix_fmt", "yuv420p")).json()[0]
    file = {"path": path, "orig_name": "a", "meta": {"_type": "gradio.FileData"}}
    visitor.tell("score-videos", "change", [[file]])
    line, table = visitor.tell("score", "click", [[file], "face"])
    assert words(line) == "0 of 1 videos scored."
    (row,) = table["value"]["data"]
    assert row[0] == "\\u202e4pm.exe" and "no face" in row[-1]


def test_the_folder_above_is_no_name(served: Served, visitor: Visitor) -> None:
    assert visitor.upload("..", b"hello").status_code == 400
    visitor.wait_until(lambda: left(served) == [])


def test_what_is_broken_off_is_not_kept(served: Served, visitor: Visitor) -> None:
    host, port = served.address.removeprefix("http://").rstrip("/").split(":")
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 999999\r\n"
        "Content-Type: multipart/form-data; boundary=cut-here\r\n\r\n"
        '--cut-here\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    )
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head.encode() + bytes(100_000))
        visitor.wait_until(lambda: left(served) != [])
    visitor.wait_until(lambda: left(served) == [])


def test_a_sound_that_is_a_table_to_its_name_is_heard_and_names_no_file(
    served: Served, visitor: Visitor, tmp_path: Path
) -> None:
    visitor.give("video", "film.mp4", (served.given / "film.mp4").read_bytes())
    sound = TAKEN["a sound that is a table too"]
    visitor.give(sound.slot, sound.name, sound.make(tmp_path))
    line, players, report, _ = visitor.tell("dub", "click", [True, "largest", None, "shortest"])
    assert words(line) == "Done.", words(line)
    assert "20 of 20 frames" in words(report)
    assert "<video" in players


def test_a_file_that_is_too_large_is_refused_and_not_kept(served: Served, visitor: Visitor) -> None:
    answer = visitor.upload("a.mp4", bytes(MAX_MB * 10**6 + 1))
    assert answer.status_code == 413
    visitor.wait_until(lambda: left(served) == [])


def test_nothing_but_what_was_uploaded_or_made_is_served(served: Served, visitor: Visitor) -> None:
    """Nor fetched: an address of another machine, or of a server that pretends to be this one, gets nothing."""
    for path in (served.given / "config.json", Path("/etc/passwd"), served.uploads / "../../etc/passwd"):
        assert visitor.client.get(f"/file={path}").status_code == 403
    assert visitor.client.get("/file=http://127.0.0.1:9/a.mp4").status_code == 403
    assert httpx.get(served.address, headers={"Host": "evil.example"}, trust_env=False).status_code == 403
    home = httpx.get(served.address, trust_env=False)
    assert home.status_code == 200 and "default-src 'self'" in home.headers["Content-Security-Policy"]


def test_a_file_that_was_not_uploaded_is_no_upload(served: Served, visitor: Visitor) -> None:
    with pytest.raises(AssertionError):
        visitor.say("video", str(served.given / "film.mp4"))
    assert (served.given / "film.mp4").is_file()
