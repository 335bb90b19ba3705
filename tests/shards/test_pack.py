"""Packing: members of one clip meet, and nothing is lost without a row."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from syncdiff.config import Config
from syncdiff.pipeline.files import read_parquet
from syncdiff.shards.pack import pack_shard
from syncdiff.shards.tar import clip_key, decode_npy, encode_npy, read_shard, to_json, write_shard

pytestmark = pytest.mark.quick

T = 6


def sample(clip: str, about: dict, n_frames: int = T, **arrays: tuple[int, ...]) -> dict:
    members = {f"{name}.npy": encode_npy(np.full((n_frames, *shape), 3, np.float32)) for name, shape in arrays.items()}
    return {"__key__": clip_key(clip), "json": to_json({"clip": clip, **about}), **members}


def pack(folder: Path, faces: list[dict], priors: list[dict], speech: list[dict]) -> Path:
    tars = []
    for stage, samples in (("faces", faces), ("priors", priors), ("speech", speech)):
        tars.append(folder / f"{stage}.tar")
        write_shard(tars[-1], samples)
    pack_shard(Config(), *tars, folder / "out.tar", folder / "out.parquet", folder / "out.stats.json")
    return folder


def face(clip: str, n_frames: int = T) -> dict:
    return sample(clip, {"n_frames": n_frames}, n_frames, landmarks=(68, 2)) | {"crop.mp4": b"mp4"}


def prior(clip: str, n_frames: int = T) -> dict:
    return sample(clip, {"identity": 2}, n_frames, pose=(8, 8, 3))


def speech(clip: str) -> dict:
    return sample(clip, {}, fbank=(104,), mel=(1280,))


def test_members_are_joined_in_order(tmp_path: Path) -> None:
    clips = ["main/2/1", "main/1/1"]
    pack(tmp_path, [face(c) for c in clips], [prior(c) for c in clips], [speech(c) for c in reversed(clips)])
    joined = list(read_shard(tmp_path / "out.tar"))
    assert [json.loads(one["json"]) for one in joined] == [{"clip": c, "n_frames": T, "identity": 2} for c in clips]
    assert set(joined[0]) == {"__key__", "json", "crop.mp4", "landmarks.npy", "pose.npy", "fbank.npy", "mel.npy"}
    assert decode_npy(joined[0]["mel.npy"]).shape == (T, 1280)


def test_a_clip_lacking_somewhere_has_a_row(tmp_path: Path) -> None:
    pack(tmp_path, [face("a"), face("b"), face("c")], [prior("a"), prior("c", T - 1), prior("z")], [speech("c")])
    rows = read_parquet(tmp_path / "out.parquet").set_index("clip")
    assert list(read_shard(tmp_path / "out.tar")) == []
    assert rows.loc["a", "reason"] == "missing in speech; see the ledger there"
    assert rows.loc["b", "reason"] == "missing in priors and speech; see the ledger there"
    assert rows.loc["c", "reason"] == f"pose.npy has {T - 1} rows for {T} frames"
    assert rows.loc["z", "reason"] == "missing in faces"
    assert set(rows["status"]) == {"rejected"}


def test_statistics_describe_the_shard(tmp_path: Path) -> None:
    pack(tmp_path, [face("a"), face("b")], [prior("a"), prior("b")], [speech("a"), speech("b")])
    stats = json.loads((tmp_path / "out.stats.json").read_text())
    data = (tmp_path / "out.tar").read_bytes()
    assert (stats["clips"], stats["frames"], stats["features"]) == (2, 2 * T, {"fbank": 104, "mel": 1280})
    assert (stats["bytes"], stats["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert stats["config"]["faces"]["size"] == Config().faces.size
    index = read_parquet(tmp_path / "out.parquet")
    assert index[["key", "n_frames"]].values.tolist() == [["a", T], ["b", T]]


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    outputs = []
    for folder in (tmp_path / "1", tmp_path / "2"):
        pack(folder, [face("a")], [prior("a")], [speech("a")])
        outputs.append([(folder / name).read_bytes() for name in ("out.tar", "out.parquet", "out.stats.json")])
    assert outputs[0] == outputs[1]


def test_an_empty_shard_packs(tmp_path: Path) -> None:
    pack(tmp_path, [], [], [])
    assert json.loads((tmp_path / "out.stats.json").read_text())["clips"] == 0
    assert list(read_parquet(tmp_path / "out.parquet").columns)[-2:] == ["key", "n_frames"]
