"""Work over clips in several processes: what becomes of each, time limits, workers that die."""

import importlib
import os
import signal
import time

import pytest
from typer.testing import CliRunner

from syncdiff.cli import app
from syncdiff.errors import ClipRejected
from syncdiff.pipeline import parallel
from syncdiff.pipeline.parallel import each_clip, time_limit


def _work(clip: str) -> str:
    if clip == "bad":
        raise ClipRejected("no face")
    if clip == "broken":
        raise ValueError("two\nlines")
    if clip == "deadly":
        os._exit(1)
    return clip.upper()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_clip_is_an_outcome_and_the_order_is_kept(workers: int) -> None:
    outcomes = list(each_clip(_work, ["a", "bad", "broken", "b"], workers))
    assert [clip for clip, _ in outcomes] == ["a", "bad", "broken", "b"]
    assert [outcome.value for _, outcome in outcomes] == ["A", None, None, "B"]
    assert [outcome.status for _, outcome in outcomes] == ["ok", "rejected", "failed", "ok"]
    assert outcomes[2][1].reason == "ValueError: two"


@pytest.mark.quick
@pytest.mark.parametrize(
    ("command", "work"),
    [("corpus root", "render_identity"), ("faces plan train 00000 out.tar out.parquet", "file_faces")],
)
def test_workers_import_their_work_while_the_command_does(
    monkeypatch: pytest.MonkeyPatch, command: str, work: str
) -> None:
    prepared = []

    def prepare(module: str) -> None:
        prepared.append(importlib.import_module(module))
        raise SystemExit

    monkeypatch.setattr("syncdiff.cli.stages.prepare_workers", prepare)
    CliRunner().invoke(app, [*command.split(), "--workers", "2"])
    [module] = prepared
    assert getattr(module, work).__module__ == module.__name__


def test_a_clip_that_kills_its_process_does_not_take_the_others_along() -> None:
    outcomes = dict(each_clip(_work, ["a", "deadly", "b", "c"], workers=2))
    assert outcomes["deadly"].status == "failed"
    assert [outcomes[clip].value for clip in "abc"] == ["A", "B", "C"]


def _slow(seconds: float) -> float:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return seconds


def _hang(seconds: float) -> float:
    if seconds > 1:  # as native code that does not come back: no signal is heard
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    return _slow(seconds)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_that_takes_too_long_has_failed_and_the_run_goes_on(workers: int) -> None:
    outcomes = [outcome for _, outcome in each_clip(_slow, [0.01, 60.0, 0.02], workers, limit_s=1.0)]
    assert [outcome.value for outcome in outcomes] == [0.01, None, 0.02]
    assert (outcomes[1].status, outcomes[1].reason) == ("failed", "TimeoutError: took longer than 1 s")


def test_a_clip_that_hangs_in_native_code_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "NATIVE_GRACE_S", 1.0)
    outcomes = [outcome for _, outcome in each_clip(_hang, [0.01, 120.0, 0.02], 2, limit_s=0.5)]
    assert [outcome.value for outcome in outcomes] == [0.01, None, 0.02]
    assert outcomes[1].status == "failed"
    assert "hang in a decoder" in outcomes[1].reason


@pytest.mark.quick
def test_time_limits_nest() -> None:
    with pytest.raises(TimeoutError, match=r"0\.2 s"), time_limit(0.2), time_limit(10):
        _slow(5)
    with time_limit(0.2):
        with pytest.raises(TimeoutError, match=r"0\.05 s"), time_limit(0.05):
            _slow(5)
        with pytest.raises(TimeoutError, match=r"0\.2 s"):
            _slow(5)
