"""Shards: deterministic bytes, no silent damage, reversible keys."""

import io
import tarfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from syncdiff.errors import ClipRejected, UserError
from syncdiff.shards.tar import (
    clip_key,
    decode_npy,
    encode_npy,
    expand_shards,
    read_shard,
    to_json,
    write_npy,
    write_shard,
)

pytestmark = pytest.mark.quick

CLIPS = ["main/6000/00001", "a b/c.d.mp4", "ligne\nbreak/é" + "長" * 60, "__meta__/x", "../up"]


def samples(clips: list[str] = CLIPS) -> list[dict]:
    arrays = [np.arange(3000, dtype=np.int16) * i for i in range(len(clips))]
    return [
        {"__key__": clip_key(clip), "json": to_json({"clip": clip}), "pose.npy": encode_npy(array)}
        for clip, array in zip(clips, arrays, strict=True)
    ]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", samples())
    read = list(read_shard(tmp_path / "0.tar"))
    assert read == samples()
    assert [unquote(sample["__key__"]) for sample in read] == CLIPS


def test_webdataset_reads_every_clip(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", samples())
    dataset = webdataset.WebDataset(str(tmp_path / "0.tar"), shardshuffle=False)
    assert [sample["__key__"] for sample in dataset] == [clip_key(clip) for clip in CLIPS]


@given(st.text(min_size=1))
def test_keys_are_reversible_and_safe(clip: str) -> None:
    assert unquote(clip_key(clip)) == clip
    assert "." not in clip_key(clip)


def test_same_samples_same_bytes(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", samples())
    write_shard(tmp_path / "b.tar", [dict(reversed(sample.items())) for sample in samples()])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {(member.mtime, member.uid, member.uname, member.mode) for member in tar} == {(0, 0, "", 0o444)}


@pytest.mark.parametrize("array", [np.arange(12.0).reshape(3, 4), np.arange(12).reshape(3, 4).T, np.zeros((0, 7))])
def test_an_array_in_a_file_is_the_array(tmp_path: Path, array: np.ndarray) -> None:
    write_npy(tmp_path / "a.npy", array)
    read = np.load(tmp_path / "a.npy")
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    assert (tmp_path / "a.npy").read_bytes() == encode_npy(np.ascontiguousarray(array))


def test_a_member_that_is_a_file_is_written_as_its_bytes(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", samples())
    in_files = samples()
    for index, sample in enumerate(in_files):
        (tmp_path / f"{index}").write_bytes(sample["pose.npy"])
        sample["pose.npy"] = tmp_path / f"{index}"
    write_shard(tmp_path / "b.tar", in_files)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_an_exception_leaves_no_shard(tmp_path: Path) -> None:
    def broken():
        yield samples()[0]
        raise RuntimeError("decoder died")

    with pytest.raises(RuntimeError, match="decoder died"):
        write_shard(tmp_path / "0.tar", broken())
    assert list(tmp_path.iterdir()) == []


def test_two_samples_of_one_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two samples"):
        write_shard(tmp_path / "0.tar", samples(["a", "a"]))


def test_an_empty_shard_is_a_shard(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", [])
    assert list(read_shard(tmp_path / "0.tar")) == []


def test_a_shard_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "whole.tar", samples())
    whole = (tmp_path / "whole.tar").read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        tar.getmembers()
        end = tar.offset + 2 * tarfile.BLOCKSIZE  # what follows is tar's own padding
    cut = tmp_path / "cut.tar"
    for n_bytes in {*range(0, end, 512), *range(100, end, 3001)}:
        cut.write_bytes(whole[:n_bytes])
        with pytest.raises(UserError, match=r"cut\.tar: damaged shard .*; delete it and run"):
            list(read_shard(cut))


@pytest.mark.parametrize("content", [b"not a tar " * 5000, b"\x1f\x8b" + bytes(100)])
def test_another_file_is_no_shard(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.tar").write_bytes(content)
    with pytest.raises(UserError, match="damaged shard"):
        list(read_shard(tmp_path / "0.tar"))


def test_a_missing_shard_names_itself(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"9\.tar: no such shard"):
        list(read_shard(tmp_path / "9.tar"))


@pytest.mark.parametrize("name", ["/etc/x.json", "../x.json", "a/../../x.json"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(UserError, match="unsafe member"):
        list(read_shard(tmp_path / "0.tar"))


def test_links_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("a.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        tar.addfile(link)
    with pytest.raises(UserError, match="unsafe member"):
        list(read_shard(tmp_path / "0.tar"))


def test_pickled_arrays_are_refused() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ClipRejected, match="allow_pickle"):
        decode_npy(buffer.getvalue())


def test_a_pattern_stands_for_its_range_and_a_file_for_itself(tmp_path: Path) -> None:
    assert expand_shards(["it's a\\\\b/{00000..00002}.tar"]) == [Path(f"it's a\\b/0000{i}.tar") for i in range(3)]
    odd = tmp_path / "{a..b,c} \\{.tar"
    odd.touch()
    assert expand_shards([str(odd)]) == [odd]
    with pytest.raises(UserError, match="a brace is not closed"):
        expand_shards(["train/{00000..00002.tar"])
