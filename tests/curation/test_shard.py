"""The stages `measures` and `curation` on a corpus of drawings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncdiff.config import parse_config
from syncdiff.curation.clip import MeasuredClip
from syncdiff.curation.corpus import curate_corpus, summary
from syncdiff.curation.measures import KEPT, Place
from syncdiff.curation.shard import COLUMNS, measure_shard, wrong_sounds
from syncdiff.errors import UserError
from syncdiff.pipeline.files import sha256
from syncdiff.pipeline.parallel import Outcome
from syncdiff.shards.tar import clip_key
from syncdiff.shards.verdicts import read_verdicts
from tests.evaluation.conftest import faked
from tests.evaluation.drawn import CLIPS, Faked

__all__ = ["faked"]


@pytest.fixture
def measured_corpus(faked: Faked) -> Faked:
    """The drawn corpus, measured; the clips' videos have scores of the corpus's own in the plan."""
    measure_shard(faked.config, faked.shard, faked.syncnet, faked.root / "test/measures/00000.parquet", "cpu")
    plan = pd.read_parquet(faked.plan)
    places = {"shard": "00000", "conf": [5.0, 3.0, None, None], "asd": None}
    plan = plan.assign(**places).astype({"conf": "Float64", "asd": "Float64"})
    plan.to_parquet(faked.plan)
    return faked


def curated(corpus: Faked, **limits: float) -> pd.DataFrame:
    config = parse_config({"curate": limits})
    return curate_corpus(config, corpus.root, ["test"], corpus.root / "curation.parquet")


def test_every_clip_of_the_shard_has_a_row_with_its_measures(measured_corpus: Faked) -> None:
    rows = pd.read_parquet(measured_corpus.root / "test/measures/00000.parquet")
    assert list(rows.columns) == COLUMNS
    assert rows["clip"].tolist() == list(CLIPS)
    assert rows[list(KEPT)].notna().all(axis=None)
    assert [len(values) for values in rows["wrong_confidence"]] == [2, 2, 2]
    assert set(rows["curator"]) == {sha256(measured_corpus.syncnet)}


def test_a_copy_of_a_clip_is_no_wrong_sound_of_it() -> None:
    rng = np.random.default_rng(0)
    places = [Place(f"c{n}", f"v{n}", 0, 40) for n in range(3)]
    lips, own, other = rng.normal(size=(3, 36, 1024)).astype(np.float32)
    outcomes = [Outcome("ok", value=MeasuredClip({}, (0, 0), lips, sound)) for sound in (own, own.copy(), other)]
    assert [len(wrong["wrong_offset"]) for wrong in wrong_sounds(places, outcomes)] == [1, 1, 2]


@pytest.mark.slow
def test_two_workers_give_the_same_bytes(measured_corpus: Faked) -> None:
    again = measured_corpus.root / "again.parquet"
    measure_shard(measured_corpus.config, measured_corpus.shard, measured_corpus.syncnet, again, "cpu", workers=2)
    assert again.read_bytes() == (measured_corpus.root / "test/measures/00000.parquet").read_bytes()


def test_a_video_that_is_gone_has_failed_and_the_others_have_not(measured_corpus: Faked) -> None:
    (measured_corpus.root / "source/a/2.mp4").unlink()
    out = measured_corpus.root / "test/measures/00000.parquet"
    measure_shard(measured_corpus.config, measured_corpus.shard, measured_corpus.syncnet, out, "cpu")
    assert pd.read_parquet(out)["status"].tolist() == ["ok", "failed", "ok"]
    with pytest.raises(UserError, match="1 of 3 clips failed"):
        curated(measured_corpus)


def test_the_verdicts_are_those_that_training_reads(measured_corpus: Faked) -> None:
    judged = curated(measured_corpus, min_conf=4)
    assert judged["status"].tolist() == ["ok", "rejected", "ok"]  # the last one's file has no score
    verdicts = read_verdicts(measured_corpus.root / "curation.parquet")
    assert [verdicts.shift_of(clip_key(clip)) for clip in CLIPS] == [0, None, 0]
    assert verdicts.curator == sha256(measured_corpus.syncnet)
    assert verdicts.count(map(clip_key, CLIPS)).startswith("curation: of 3 clips 1 left out, the sound of 0 shifted")
    assert "1 rejected by conf" in summary(judged)
    assert "the SyncNet tells the own sound from others' in" in summary(judged)  # it is untrained
    assert "the SyncNet tells" not in summary(judged.assign(chance=0.0))
    with pytest.raises(UserError, match="no row for d/1"):
        verdicts.shift_of("d/1")


def test_the_same_measures_give_the_same_bytes(measured_corpus: Faked) -> None:
    curated(measured_corpus, max_chance=0.5)
    before = (measured_corpus.root / "curation.parquet").read_bytes()
    curated(measured_corpus, max_chance=0.5)
    assert (measured_corpus.root / "curation.parquet").read_bytes() == before


def test_a_clip_that_the_measures_forgot_is_an_error(measured_corpus: Faked) -> None:
    path = measured_corpus.root / "test/measures/00000.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(UserError, match=r"3 clips entered and 2 rows are there \(see a/1\)"):
        curated(measured_corpus)


def test_a_corpus_of_which_nothing_is_left_is_an_error(measured_corpus: Faked, tmp_path: Path) -> None:
    (measured_corpus.root / "test").rename(measured_corpus.root / "train")
    plan = pd.read_parquet(measured_corpus.plan).assign(split="train")
    plan.to_parquet(measured_corpus.plan)
    config = parse_config({"curate": {"min_face_px": 1000}})
    with pytest.raises(UserError, match=r"none of 3 clips is left to train on \(3 by face_px\); widen"):
        curate_corpus(config, measured_corpus.root, ["train"], tmp_path / "curation.parquet")
    assert not (tmp_path / "curation.parquet").exists()
