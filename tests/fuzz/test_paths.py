"""Hostile names end to end: every clip of such a folder has its rows, and nothing is written outside the output."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from syncdiff.config import Config, parse_config
from syncdiff.corpus.demo import render_corpus
from syncdiff.corpus.plan import plan_corpus
from syncdiff.errors import UserError
from syncdiff.faces.shard import faces_shard
from syncdiff.pipeline.check_ledgers import check_ledgers
from syncdiff.pipeline.files import read_parquet
from syncdiff.priors import priors_shard
from syncdiff.shards.pack import pack_shard
from syncdiff.shards.tar import metadata, read_shard, to_json, write_shard
from syncdiff.speech.shard import speech_shard
from syncdiff.synthesis.sample import sample_baseline

FOLDERS = ["plain", "-rf", "$(touch x)", "a b", "it's", 'quo"te', "new\nline", "長い é", "..dots", "; touch x"]
NAMES = ["clip.mp4", "-i.mp4", "`touch x`.mp4", "a..b.MP4", "..mp4.mp4", "%2e%2e.mp4", "http:x.mp4", "new\nline.mp4"]
NAMES += ["|x.mp4", "concat:a|b.mp4", "__meta__.mp4", "💥.mp4", "\u202egnp.mp4", "&& x #.mp4", "{a,b}.mp4", "%05d.mp4"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One rendered clip of a second."""
    root = tmp_path_factory.mktemp("demo")
    demo = {"identities": 3, "clips_per_identity": 1, "seconds": 1.0, "size": 96}
    render_corpus(parse_config({"corpus": {"demo": demo}}), root, workers=1)
    return next(iter(sorted(root.rglob("*.mp4"))))


@pytest.fixture(scope="module")
def corpus(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip under all names, one of them in no encoding, and one that is a playlist."""
    root = tmp_path_factory.mktemp("hostile") / "root $(touch x) 'é' \n;"
    for index, name in enumerate(NAMES):
        folder = root / FOLDERS[index % len(FOLDERS)]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder / name)
    shutil.copy(clip, os.fsencode(root) + b"/plain/\xff.mp4")
    (root / "plain/list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nfile:{clip}\n#EXT-X-ENDLIST\n")
    return root


def test_every_clip_has_its_rows_and_nothing_is_written_elsewhere(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = files(corpus)
    out = tmp_path / "out ' $(touch x)\n"
    config = parse_config(
        {"corpus": {"kind": "folder", "root": str(corpus), "test_fraction": 0.1}, "plan": {"min_seconds": 0.3}}
        | {"faces": {"min_track_frames": 5}}
    )
    plan_corpus(config, out / "plan/clips.parquet")
    plan = read_parquet(out / "plan/clips.parquet").set_index("clip")
    hidden = ["..mp4.mp4", "|x.mp4"]  # by its own name, and by its folder's, which begin with a dot
    assert len(plan) == len(NAMES) - len(hidden) + 2
    refused = plan[plan["status"] != "ok"]
    assert sorted(refused["status"]) == ["rejected", "rejected"]
    assert sorted(refused.index) == ["plain/\\xff.mp4", "plain/list.mp4"]
    for split, shard in sorted(set(zip(plan["split"], plan["shard"], strict=True)) - {("", "")}):
        if shard:
            run_shard(config, out, split, shard)
    check_ledgers(config, out, ["train", "val", "test"], out / "ledger.parquet")
    check_videos(config, out)
    ledger = read_parquet(out / "ledger.parquet")
    packed = ledger[(ledger["stage"] == "shards") & (ledger["status"] == "ok")]
    assert set(packed["clip"]) == set(plan.index) - set(refused.index)
    in_tars = [metadata(sample)["clip"] for tar in out.glob("*/shards/*.tar") for sample in read_shard(tar)]
    assert sorted(in_tars) == sorted(packed["clip"])
    assert files(corpus) == before
    assert list(here.iterdir()) == []
    assert set(tmp_path.iterdir()) == {here, out}


def run_shard(config: Config, out: Path, split: str, shard: str) -> None:
    """Take one shard from the plan to its joined tar."""
    faces, priors, speech, shards = (
        out / split / stage / shard for stage in ("faces", "priors", "speech/fbank", "shards")
    )
    faces_shard(config, out / "plan/clips.parquet", split, shard, tar(faces), rows(faces))
    priors_shard(config, tar(faces), tar(priors), rows(priors))
    speech_shard(config, ["fbank"], tar(faces), tar(speech), rows(speech))
    pack_shard(config, tar(faces), tar(priors), tar(speech), tar(shards), rows(shards), shards.with_suffix(".json"))


def check_videos(config: Config, out: Path) -> None:
    """Write videos under the clips' names: they lie below their folder, also when a shard names a clip outside it."""
    shard, odd, device = next(out.glob("test/shards/*.tar")), out / "odd.tar", torch.device("cpu")
    written = sample_baseline(config, "frozen", shard, out, out / "videos", out / "videos.parquet", device)
    assert {path.relative_to(out / "videos/paired").as_posix() for path in written} == {
        f"{metadata(sample)['clip']}.mp4" for sample in read_shard(shard)
    }
    assert all(path.is_file() for path in written)
    first = next(read_shard(shard))
    outside = [f"/{'x' * 9}/a", "../../../../escaped", "a/../../../escaped"]
    samples = [
        first | {"__key__": str(i), "json": to_json(metadata(first) | {"clip": clip})} for i, clip in enumerate(outside)
    ]
    write_shard(odd, samples)
    with pytest.raises(UserError, match="none of 3 videos came out"):
        sample_baseline(config, "frozen", odd, out, out / "odd videos", out / "odd.parquet", device)
    rows_of_odd = read_parquet(out / "odd.parquet")
    assert set(rows_of_odd["status"]) == {"rejected"}
    assert all("leads out of" in reason for reason in rows_of_odd["reason"])


def tar(path: Path) -> Path:
    return path.with_suffix(".tar")


def rows(path: Path) -> Path:
    return path.with_suffix(".parquet")


def files(root: Path) -> set[bytes]:
    """All paths below `root`."""
    return {os.path.join(folder, name) for folder, _, names in os.walk(os.fsencode(root)) for name in names}  # noqa: PTH118
