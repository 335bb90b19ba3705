"""The ledger's arithmetic, over the ledgers of a small corpus."""

from pathlib import Path

import pandas as pd
import pytest

from syncdiff.config import parse_config
from syncdiff.errors import UserError
from syncdiff.pipeline.check_ledgers import check_ledgers
from syncdiff.pipeline.files import read_parquet
from syncdiff.pipeline.ledger import Ledger

pytestmark = pytest.mark.quick
STAGES = ("priors", "speech/fbank", "shards")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Four clips of one shard: one rejected by the plan, one by `faces`, two that go all the way."""
    plan = pd.DataFrame({"clip": list("abcd"), "stage": "plan", "status": "ok", "reason": ""})
    plan = plan.assign(split="train", shard="00000")
    plan.loc[3, "status"] = "rejected"
    (tmp_path / "plan").mkdir()
    plan.to_parquet(tmp_path / "plan/clips.parquet")
    _write(tmp_path, "faces", {"a": "ok", "b": "ok", "c": "rejected"})
    for stage in STAGES:
        _write(tmp_path, stage, {"a": "ok", "b": "ok"})
    return tmp_path


def _write(corpus: Path, stage: str, statuses: dict[str, str]) -> None:
    ledger = Ledger(stage.partition("/")[0])
    for clip, status in statuses.items():
        ledger.add(clip, status, "" if status == "ok" else "some reason", file=clip.partition("@")[0])
    ledger.write(corpus / f"train/{stage}/00000.parquet")


def _account(corpus: Path, **changes: float) -> pd.DataFrame:
    check_ledgers(parse_config(changes), corpus, ["train"], corpus / "ledger.parquet")
    return read_parquet(corpus / "ledger.parquet")


def test_it_gathers_every_row(corpus: Path) -> None:
    ledger = _account(corpus)
    assert list(ledger.columns) == ["clip", "stage", "status", "reason", "split"]
    assert ledger["stage"].value_counts().to_dict() == {"plan": 4, "faces": 3, "priors": 2, "speech": 2, "shards": 2}


@pytest.mark.parametrize("stage", ["faces", *STAGES])
def test_a_clip_that_got_lost_is_named(corpus: Path, stage: str) -> None:
    _write(corpus, stage, {"a": "ok", "c": "rejected"} if stage == "faces" else {"a": "ok"})
    with pytest.raises(
        UserError, match=rf"{stage}/00000.parquet: . (clips|files) entered and . rows are there \(see b\)"
    ):
        _account(corpus)
    assert not (corpus / "ledger.parquet").exists()


def test_a_clip_that_appears_twice_or_from_nowhere_is_named(corpus: Path) -> None:
    _write(corpus, "priors", {"a": "ok", "b": "ok", "z": "ok"})
    with pytest.raises(UserError, match="see z"):
        _account(corpus)


@pytest.mark.parametrize("stage", ["faces", *STAGES])
def test_a_clip_with_two_rows_is_named(corpus: Path, stage: str) -> None:
    path = corpus / f"train/{stage}/00000.parquet"
    ledger = pd.read_parquet(path)
    pd.concat([ledger, ledger[ledger["clip"] == "a"]]).to_parquet(path)
    with pytest.raises(UserError, match=r"entered and . rows are there \(see a\)"):
        _account(corpus)


def test_a_file_may_give_several_clips_which_all_go_on(corpus: Path) -> None:
    parts = {"a@000000": "ok", "a@000500": "ok", "a@000900": "rejected"}
    _write(corpus, "faces", parts | {"b": "ok", "c": "rejected"})
    with pytest.raises(UserError, match=r"priors/00000.parquet: 3 clips entered and 2 rows are there \(see a\)"):
        _account(corpus)
    for stage in STAGES:
        _write(corpus, stage, {"a@000000": "ok", "a@000500": "ok", "b": "ok"})
    assert (_account(corpus)["stage"] == "faces").sum() == 5


def test_too_many_failures_stop_the_run(corpus: Path) -> None:
    for stage in STAGES:
        _write(corpus, stage, {"a": "ok"})
    _write(corpus, "faces", {"a": "ok", "b": "failed", "c": "rejected"})
    with pytest.raises(UserError, match=r"faces: 1 of 3 clips failed.* \(first: b: some"):
        _account(corpus)
    assert len(_account(corpus, max_failed_fraction=0.5)) == 10
