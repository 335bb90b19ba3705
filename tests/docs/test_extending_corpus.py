"""docs/extending.md, A corpus: what is shown is planned, and what is missing is said in its words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from syncdiff.config import parse_config
from syncdiff.corpus.kind import kind_of
from syncdiff.corpus.listing import refresh, shard_counts
from syncdiff.corpus.plan import plan_corpus
from syncdiff.errors import UserError
from syncdiff.media.video import write_video
from syncdiff.pipeline.files import read_parquet
from syncdiff.registry.corpora import CORPORA, Kind
from tests.docs.blocks import install


def test_the_corpus_shown_is_listed_and_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "corpus"
    values = {"corpus": {"kind": "table", "root": str(root)}, "plan": {"min_seconds": 0.5}}
    with pytest.raises(UserError, match=r"corpus\.kind: not known; say demo"):
        parse_config(values)
    install("A corpus", "syncdiff.corpus.table", CORPORA, Kind, monkeypatch)
    config = parse_config(values)
    frames = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), np.uint8)
    sound = np.random.default_rng(0).normal(0, 3000, 20 * 640).astype(np.int16)
    (root / "a").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no clips\.csv in it"):
        plan_corpus(config, tmp_path / "clips.parquet")
    for video in ("a/1.mp4", "a/2.mp4"):
        write_video(root / video, frames, [sound])
    (root / "clips.csv").write_text("video,split\na/2.mp4,test\na/1.mp4,train\na/3.mp4,train\n")
    listing = refresh(config.model_copy(update={"max_failed_fraction": 1.0}), tmp_path, tmp_path / "clips.parquet")
    assert shard_counts(config, listing) == {"train": 1, "val": 0, "test": 1}
    plan_corpus(config.model_copy(update={"max_failed_fraction": 1.0}), tmp_path / "clips.parquet", 1, listing)
    plan = read_parquet(tmp_path / "clips.parquet")
    assert plan[["clip", "split", "status", "shard"]].values.tolist() == [
        ["a/1.mp4", "train", "ok", "00000"],
        ["a/3.mp4", "train", "failed", ""],
        ["a/2.mp4", "test", "ok", "00000"],
    ]
    assert kind_of(config).why_empty(config, "val").endswith("clips.csv has no clip of val; add some")
