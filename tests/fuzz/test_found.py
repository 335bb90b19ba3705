"""What fuzzing and its authors found, one by one."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from syncdiff.config import load_config
from syncdiff.corpus.lrs import lrs2_clips, read_transcript
from syncdiff.errors import ClipRejected, UserError
from syncdiff.models.syncnet import load_syncnet
from syncdiff.pipeline.parallel import time_limit
from syncdiff.shards.tar import decode_npy, encode_npy, read_shard, write_shard
from syncdiff.speech.avhubert import load_encoder
from tests.fuzz.texts import BOMB

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB.encode(), "aliases"),
        (b"seed: !!int x", "not valid YAML"),
        (b"seed: !!timestamp x", "not valid YAML"),
        (b"seed: " + b"9" * 5000, "not valid YAML"),
        (b"\xff\xfe\xfd", "not valid YAML"),
        (b"a: " + b"[" * 5000, "not valid YAML"),
        (b"corpus: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_configs(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    with time_limit(20), pytest.raises(UserError, match=message) as error:
        load_config(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", ['{"a', '{"\udcff": 1}', '{"seed": ' + "[" * 99999])
def test_inline_configs(source: str) -> None:
    with pytest.raises(UserError):
        load_config(source)
    with pytest.raises(UserError, match="cannot be read"):
        load_config("/")


def test_list_entries_that_no_file_can_have(tmp_path: Path) -> None:
    base = tmp_path / "mvlrs_v1"
    (base / "main/6000").mkdir(parents=True)
    (base / "main/6000/00001.mp4").touch()
    (base / "train.txt").write_text(f"6000/00001\n{'a' * 5000}\na\0b\n../../../etc/x\n/etc/x\n-rf\n$(touch x)\n")
    clips = {listed.clip: listed.reason for listed in lrs2_clips(tmp_path, ["train"])}
    assert len(clips) == 7
    assert [clip for clip, reason in clips.items() if not reason] == ["main/6000/00001"]


def test_transcripts_that_are_no_files(tmp_path: Path) -> None:
    fifo, loop, large = tmp_path / "fifo.txt", tmp_path / "loop.txt", tmp_path / "large.txt"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    large.write_bytes(b"Text: A\n" + bytes(10 << 20))
    with time_limit(10):
        assert [read_transcript(path).text for path in (fifo, loop, large, tmp_path / ("a" * 5000))] == [
            "",
            "",
            "A",
            "",
        ]


def tar_of(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    with path.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT) + content.ljust(512, b"\0") + bytes(1024))
    return path


def test_tar_members_larger_than_their_file(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a.json")
    for member.size in (2**33, 2**40, 2**62):
        with time_limit(10), pytest.raises(UserError, match="damaged shard"):
            list(read_shard(tar_of(tmp_path / "0.tar", member)))


def test_sparse_tar_members_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a.json")
        member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**50)}
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with time_limit(10), pytest.raises(UserError, match="unsafe member"):
        list(read_shard(tmp_path / "0.tar"))


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"clip": 3}', b"\xff", b"[" * 99999])
def test_samples_whose_json_names_no_clip(text: bytes, tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", [{"__key__": "a", "json": text}])
    with pytest.raises(UserError, match="damaged shard"):
        list(read_shard(tmp_path / "0.tar"))


def test_arrays_that_are_none() -> None:
    zipped = io.BytesIO()
    np.savez(zipped, a=np.zeros(3))
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999, 104), }\n"
    huge = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    for data in (zipped.getvalue(), huge, encode_npy(np.zeros(9))[:-1], b"", pickle.dumps([1])):
        with pytest.raises(ClipRejected, match="damaged array"):
            decode_npy(data)


SIZES = {"layers": 3, "dim": 32, "heads": 4, "ffn_dim": 64, "audio_dim": 104, "conv_pos": 16, "conv_pos_groups": 16}


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": 10**9},
        {"dim": 2**40},
        {"ffn_dim": 10**7, "dim": 16 * 10**4},
        {"heads": 0},
        {"conv_pos_groups": 7},
        {"layers": -1},
        {"dim": "32"},
        {"audio_dim": 1.5},
    ],
)
def test_encoder_sizes_set_no_memory_aside(changes: dict, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({f"x{i}": torch.zeros(1) for i in range(40)}, path, {"avhubert": json.dumps(SIZES | changes)})
    with time_limit(20), pytest.raises(UserError):
        load_encoder(path)


@pytest.mark.parametrize("about", [{"width": 1e9}, {"width": 0}, {"image_size": 10**6}, {"width": None}, [], "x"])
def test_syncnet_sizes_set_no_memory_aside(about: object, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"syncnet": json.dumps(about)})
    with time_limit(20), pytest.raises(UserError, match="not a SyncNet checkpoint"):
        load_syncnet(path)


def twice(levels: int) -> list:
    """Lists that stand for 2^levels values."""
    below: list = []
    for _ in range(levels):
        below = [below, below]
    return below


@pytest.mark.parametrize(
    "cfg",
    [
        lambda: {"model": twice(60)},
        lambda: twice(60),
        lambda: {"model": {"_name": twice(22)}},
        lambda: 3,
        lambda: None,
        lambda: {"model": {"w2v_args": {"model": ["encoder_layers"]}}},
        lambda: {"model": {"encoder_layers": "x"}},
    ],
)
def test_checkpoint_settings_that_are_none(cfg: Callable[[], object], tmp_path: Path) -> None:
    torch.save({"cfg": cfg(), "model": {"encoder.x": torch.zeros(2)}}, tmp_path / "a.pt")
    with time_limit(60), pytest.raises(UserError) as error:
        load_encoder(tmp_path / "a.pt")
    assert len(str(error.value)) < 500


def test_a_pickle_that_asks_for_memory_before_anything_else(tmp_path: Path) -> None:
    for bomb in (b"\x80\x04\x8c\x01ar\xff\xff\xff\xff.", b"\x80\x04\x8e\x00\x00\x00\x00\xff\x00\x00\x00."):
        (tmp_path / "a.pt").write_bytes(bomb)
        with time_limit(20), pytest.raises(UserError, match="not a readable torch checkpoint"):
            load_encoder(tmp_path / "a.pt")


def test_names_with_line_breaks_are_printed_on_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from syncdiff.cli import main

    monkeypatch.setattr("sys.argv", ["syncdiff", "check", str(tmp_path / "no\nsuch \x1b[31m folder é")])
    with pytest.raises(SystemExit):
        main()
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert "no\\nsuch \\x1b[31m folder é: no such folder" in printed
