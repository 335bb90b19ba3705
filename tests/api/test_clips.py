"""Clips: the shards as a data set of torch."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

import syncdiff
from syncdiff.errors import UserError
from syncdiff.shards.tar import clip_key, encode_npy, to_json, write_shard
from tests.members import crop_bytes, wav_bytes

pytestmark = pytest.mark.quick
T, S = 5, 32
NAMES = [f"main/a.b {shard}/{clip}" for shard in range(3) for clip in range(2)]


@pytest.fixture
def pattern(tmp_path: Path) -> str:
    """Three shards of two clips each."""
    random = np.random.default_rng(0)
    for shard in range(3):
        samples = []
        for clip in NAMES[2 * shard : 2 * shard + 2]:
            members = {
                "crop.mp4": crop_bytes(np.zeros((T, S, S, 3), np.uint8)),
                "audio.wav": wav_bytes(np.arange(T * 640, dtype=np.int16)),
                "landmarks.npy": encode_npy(random.normal(size=(T, 68, 2)).astype(np.float32)),
                "transform.npy": encode_npy(np.zeros((T, 2, 3), np.float32)),
                "pose.npy": encode_npy(np.zeros((T, 8, 8, 3), np.uint8)),
                "mel.npy": encode_npy(np.zeros((T, 1280), np.float32)),
            }
            samples.append({"__key__": clip_key(clip), "json": to_json({"clip": clip, "n_frames": T}), **members})
        write_shard(tmp_path / f"it's/{shard:05d}.tar", samples)
    return str(tmp_path / "it's/{00000..00002}.tar")


def test_a_clip_has_what_the_shard_says(pattern: str) -> None:
    first = next(iter(syncdiff.Clips(pattern)))
    arrays = {name: (value.shape, value.dtype.name) for name, value in first.items() if isinstance(value, np.ndarray)}
    assert arrays == {
        "frames": ((T, S, S, 3), "uint8"),
        "audio": ((T * 640,), "int16"),
        "landmarks": ((T, 68, 2), "float32"),
        "transforms": ((T, 2, 3), "float32"),
        "pose": ((T, 8, 8, 3), "uint8"),
        "speech": ((T, 1280), "float32"),
    }
    assert first["clip"] == NAMES[0]
    assert first["audio"].tolist() == list(range(T * 640))


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_each_clip_comes_once_whatever_the_number_of_workers(pattern: str, workers: int) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
        loader = DataLoader(syncdiff.Clips(pattern, shuffle=True), batch_size=None, num_workers=workers)
        assert sorted(clip["clip"] for clip in loader) == NAMES


def test_each_clip_comes_once_over_all_processes_of_a_training(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        own = [clip["clip"] for clip in syncdiff.Clips(pattern, shuffle=True)]
        assert own
        seen += own
    assert sorted(seen) == NAMES


def test_the_seed_decides_the_order(pattern: str) -> None:
    def order(**options: int) -> list[str]:
        return [clip["clip"] for clip in syncdiff.Clips(pattern, **options)]

    assert order() == NAMES
    assert order(shuffle=True, seed=1) == order(shuffle=True, seed=1)
    assert len({tuple(order(shuffle=True, seed=seed)) for seed in range(4)}) > 1


def test_a_damaged_shard_is_named_in_one_line(pattern: str, tmp_path: Path) -> None:
    """Cut between two members, where tarfile sees nothing."""
    shard = tmp_path / "it's/00001.tar"
    shard.write_bytes(shard.read_bytes()[:-20480])
    with pytest.raises(UserError, match=r"00001\.tar: damaged shard \(.*\); delete it") as error:
        list(syncdiff.Clips(pattern))
    assert "\n" not in str(error.value)


def test_no_shard_and_an_open_brace_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no shard is named"):
        syncdiff.Clips([])
    with pytest.raises(UserError, match="a brace is not closed"):
        syncdiff.Clips(str(tmp_path / "{00000..00002.tar"))
