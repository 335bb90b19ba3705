"""Files as all stages write them: atomically, with the same bytes, and one line where there is no room."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from syncdiff.config import Optimizer
from syncdiff.errors import ClipRejected, UserError
from syncdiff.media.audio import write_wav
from syncdiff.media.video import write_crops, write_video
from syncdiff.models.syncnet import SyncNet, save_syncnet
from syncdiff.pipeline.files import atomic, read_parquet, safe_join, scratch, temporary_name, write_parquet, write_text
from syncdiff.pipeline.parallel import each_clip
from syncdiff.shards.tar import write_npy, write_shard
from syncdiff.training.loop import Run, Trainer


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
def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    write = "import os, sys; from syncdiff.pipeline.files import atomic\n"
    write += "with atomic(sys.argv[1]) as path: path.write_text('half, and longer'); os.kill(os.getpid(), 9)"
    target = tmp_path / "out.txt"
    subprocess.run([sys.executable, "-c", write, str(target)], check=False)
    assert [path.name for path in tmp_path.iterdir()] == [".out.tmp.txt"]
    write_text(target, "whole")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.txt", "whole")]


@pytest.mark.quick
@pytest.mark.parametrize(
    "stem", ["x" * 247, "é" * 123 + "x", "x" * 251], ids=["251 bytes", "of two bytes each", "255 bytes"]
)
def test_the_longest_names_are_written_and_each_has_one_temporary_name(tmp_path: Path, stem: str) -> None:
    target, other = tmp_path / f"{stem}.mp4", tmp_path / f"y{stem[1:]}.mp4"
    with atomic(target) as temporary, atomic(other) as of_the_other:
        assert temporary.suffix == ".mp4"
        assert temporary == temporary_name(target) != of_the_other
    assert sorted(tmp_path.iterdir()) == sorted([target, other])


@pytest.mark.quick
def test_two_do_not_write_one_file_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with atomic(target) as temporary:
        temporary.write_text("first")
        with pytest.raises(UserError, match=r"out\.txt: another process is writing it"):
            write_text(target, "second")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.txt", "first")]


@pytest.mark.quick
def test_scratch_is_empty_and_goes_away_whatever_happens(tmp_path: Path) -> None:
    def work() -> None:
        with scratch(tmp_path / "00000.tar") as folder:
            assert not list(folder.iterdir())
            (folder / "part").touch()
            assert folder.parent == tmp_path
            raise RuntimeError

    left = tmp_path / ".00000.tar.parts/killed"
    left.mkdir(parents=True)
    with pytest.raises(RuntimeError):
        work()
    assert not list(tmp_path.iterdir())


@pytest.mark.quick
def test_files_of_one_stem_and_the_longest_names_have_a_scratch_folder_each(tmp_path: Path) -> None:
    names = ["a.mp4", "a.mkv", f"{'x' * 251}.mp4", f"{'x' * 251}.mkv"]
    with ExitStack() as stack:
        folders = [stack.enter_context(scratch(tmp_path / name)) for name in names]
        assert len({folder for folder in folders if folder.is_dir()}) == len(names)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond 20 kB: what a full disk does, without one. It holds for pytest's own log too."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def _checkpoint(path: Path) -> None:
    run = Run(path.parent, Optimizer(steps=2), seed=0, fingerprint="", device=torch.device("cpu"), mixed_precision="no")
    Trainer(torch.nn.Linear(100, 100), run).save()


NOISE = np.random.default_rng(0)
WRITERS = {
    "a.parquet": lambda path: write_parquet(path, pd.DataFrame({"x": NOISE.normal(size=10_000)})),
    "a.json": lambda path: write_text(path, "x" * 100_000),
    "a.tar": lambda path: write_shard(path, [{"__key__": "a", "x.bin": bytes(100_000)}]),
    "a.mp4": lambda path: write_video(path, NOISE.integers(0, 256, (30, 256, 256, 3), np.uint8)),
    "a.wav": lambda path: write_wav(path, [NOISE.integers(-9, 9, 100_000).astype(np.int16)]),
    "crop.mp4": lambda path: write_crops(path, NOISE.integers(0, 256, (9, 64, 64, 3), np.uint8)),
    "a.npy": lambda path: write_npy(path, NOISE.normal(size=10_000)),
    "a.safetensors": lambda path: save_syncnet(SyncNet(0.125, 64), path, "demo"),
    "resume.pt": _checkpoint,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(name: str, tmp_path: Path) -> None:
    target = tmp_path / name
    if name != "resume.pt":  # that one would be read
        target.write_text("old")
    with pytest.raises(UserError, match=rf"{name}: cannot be written \(File too large\); make room"), full_disk():
        WRITERS[name](target)
    assert {path.name: path.read_text() for path in tmp_path.glob("*") if path.is_file()} in ({}, {name: "old"})


def test_a_full_disk_stops_the_stage_and_is_no_fault_of_a_clip(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make room"), full_disk():
        list(each_clip(lambda clip: write_text(tmp_path / clip, "x" * 100_000), ["a", "b"]))


def test_the_command_line_says_so_without_a_traceback(tmp_path: Path) -> None:
    """`render` with room for no video, and into a place where no folder can be."""
    (tmp_path / "file").touch()
    for root, limit, words in [("demo", 20_000, "cannot be written"), ("file/demo", None, "cannot be written")]:
        command = [sys.executable, "-m", "syncdiff", "corpus", str(tmp_path / root)]
        limits = ["prlimit", f"--fsize={limit}"] if limit else []
        done = subprocess.run([*limits, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert words in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


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
@pytest.mark.parametrize("name", ["/etc/x.mp4", "../x.mp4", "a/../../x.mp4", "a\0b"])
def test_names_that_lead_out_of_a_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ClipRejected, match="leads out of"):
        safe_join(tmp_path, name)
    assert safe_join(tmp_path, "a/..b/-c.mp4") == tmp_path / "a/..b/-c.mp4"


@pytest.mark.quick
def test_a_parquet_without_a_column_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pd.DataFrame({"clip": ["a"]}))
    with pytest.raises(UserError, match=r"a\.parquet: has no column shard"):
        read_parquet(tmp_path / "a.parquet", "clip", "shard")


@pytest.mark.quick
def test_what_a_library_puts_in_the_place_of_the_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    """safetensors writes a file of its own, for its owner alone, and renames it."""
    before = os.umask(0o027)
    try:
        for _ in range(2):
            with atomic(tmp_path / "net.safetensors") as temporary:
                save_file({"weight": torch.zeros(1)}, temporary)
            assert (tmp_path / "net.safetensors").stat().st_mode & 0o777 == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
