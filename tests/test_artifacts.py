"""Atomic outputs, the ledger, and work over clips that survives its clips."""

import os
from pathlib import Path

import pandas as pd
import pytest

from syncdiff.artifacts import Ledger, atomic, each_clip, read_parquet, write_parquet
from syncdiff.errors import ClipRejected, UserError


def _work(clip: str) -> str:
    if clip == "bad":
        raise ClipRejected("no face")
    if clip == "broken":
        raise ValueError("two\nlines")
    if clip == "deadly":
        os._exit(1)
    return clip.upper()


@pytest.mark.quick
def test_atomic_leaves_nothing_behind_when_the_work_fails(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.quick
def test_parquet_has_the_same_bytes_twice_and_names_itself_when_damaged(tmp_path: Path) -> None:
    frame = pd.DataFrame({"clip": ["a", "b"], "n": [1, 2]})
    one, two = tmp_path / "1.parquet", tmp_path / "2.parquet"
    write_parquet(one, frame)
    write_parquet(two, frame)
    assert one.read_bytes() == two.read_bytes()
    one.write_bytes(one.read_bytes()[:50])
    with pytest.raises(UserError, match=r"1\.parquet"):
        read_parquet(one)


@pytest.mark.quick
def test_ledger_counts_every_clip() -> None:
    ledger = Ledger("faces")
    ledger.add("a")
    ledger.add("b", "rejected", "no face", first_frame=3)
    assert ledger.summary() == "faces: 2 in, 1 ok, 1 rejected, 0 failed"
    assert list(ledger.frame().columns) == ["clip", "stage", "status", "reason", "first_frame"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_clip_is_an_outcome_and_the_order_is_kept(workers: int) -> None:
    outcomes = list(each_clip(_work, ["a", "bad", "broken", "b"], workers))
    assert [clip for clip, _ in outcomes] == ["a", "bad", "broken", "b"]
    assert [outcome.value for _, outcome in outcomes] == ["A", None, None, "B"]
    assert [outcome.status for _, outcome in outcomes] == ["ok", "rejected", "failed", "ok"]
    assert outcomes[2][1].reason == "ValueError: two"


def test_a_clip_that_kills_its_process_does_not_take_the_others_along() -> None:
    outcomes = dict(each_clip(_work, ["a", "deadly", "b", "c"], workers=2))
    assert outcomes["deadly"].status == "failed"
    assert [outcomes[clip].value for clip in "abc"] == ["A", "B", "C"]
