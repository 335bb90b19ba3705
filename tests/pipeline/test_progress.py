"""Progress of long work: plain lines in a log, a bar on a terminal, and every item either way."""

from __future__ import annotations

import logging
import sys
from itertools import count

import pytest

from syncdiff.pipeline import progress as module
from syncdiff.pipeline.progress import listening, progress

pytestmark = pytest.mark.quick


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seconds = count(step=6)  # the clock is looked at once an item, and again when a line is written
    monkeypatch.setattr(module.time, "monotonic", lambda: next(seconds))
    assert list(progress("abc", "clips")) == ["a", "b", "c"]
    assert caplog.messages == ["clips: 2/3 after 18 s", "clips: 3 done in 30.0 s"]


def test_how_many_there_are_may_be_unknown(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "LOG_EVERY_S", -1.0)
    assert list(progress(iter("ab"), "clips")) == ["a", "b"]
    assert caplog.messages[0].startswith("clips: 1/? after")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress([1, 2, 3], "clips")) == [1, 2, 3]
    assert "3/3" in capsys.readouterr().err


def test_a_listener_is_told_in_the_place_of_a_bar_and_can_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_EVERY_S", -1.0)
    told: list[tuple[str, int, int | None]] = []

    def listen(label: str, done: int, total: int | None) -> None:
        told.append((label, done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(listen):
        list(progress("abcd", "clips"))
    assert told == [("clips", 0, 4), ("clips", 1, 4), ("clips", 2, 4)]
    assert list(progress("ab", "clips")) == ["a", "b"]
    assert len(told) == 3
