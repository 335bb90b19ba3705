"""Counts that Snakemake needs before anything has run."""

from pathlib import Path

import pytest

from syncdiff.config import Config, parse_config
from syncdiff.corpus.listing import clip_counts, shard_counts

pytestmark = pytest.mark.quick


def config(kind: str, root: Path, **sections: dict) -> Config:
    return parse_config({"corpus": {"kind": kind, "root": str(root)}, **sections})


def test_counts_of_every_split(lrs2) -> None:
    root = lrs2(pretrain=["5/1"], train=["1/1", "1/2", "1/2 NF"], test=["2/1"])
    assert clip_counts(config("lrs2", root)) == {"pretrain": 1, "train": 2, "val": 0, "test": 1}
    without = parse_config({"corpus": {"kind": "lrs2", "root": str(root), "pretrain": False}})
    assert clip_counts(without) == {"train": 2, "val": 0, "test": 1}


def test_shards_follow_from_typical_frames(lrs2) -> None:
    root = lrs2(train=[f"1/{i}" for i in range(10)], test=["2/1"])
    counts = shard_counts(config("lrs2", root, plan={"frames_per_shard": 100}))
    assert counts == {"pretrain": 0, "train": 6, "val": 0, "test": 1}  # 10 clips of 55 frames


def test_the_demo_is_counted_before_it_is_rendered(tmp_path: Path) -> None:
    demo = {"identities": 12, "clips_per_identity": 5, "seconds": 4.0}
    unrendered = parse_config({"results": str(tmp_path), "corpus": {"demo": demo}, "plan": {"frames_per_shard": 500}})
    counts = clip_counts(unrendered)
    assert sum(counts.values()) == 60
    assert counts["test"] == 5  # the last twelfth of the identities
    assert shard_counts(unrendered)["test"] == 1  # 5 clips of 100 frames


def test_the_shards_of_all_of_lrs2(tmp_path: Path) -> None:
    base = tmp_path / "mvlrs_v1"
    for split, n_clips in {"pretrain": 96_318, "train": 45_839, "val": 1_082, "test": 1_243}.items():
        part = base / ("pretrain" if split == "pretrain" else "main") / "0"
        part.mkdir(parents=True, exist_ok=True)
        (part / "00000.mp4").touch()
        (base / f"{split}.txt").write_text("\n".join(f"{i // 30}/{i % 30:05d} NF" for i in range(n_clips)))
    overlay = {"corpus": {"kind": "lrs2", "root": str(tmp_path)}, "plan": {"frames_per_shard": 25_000}}
    counts = shard_counts(parse_config(overlay))
    assert counts == {"pretrain": 702, "train": 101, "val": 3, "test": 2}
