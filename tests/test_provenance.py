"""Provenance: what a stage writes down about its work, and what `verify` finds changed afterwards."""

import json
import os
from pathlib import Path

import pytest

from syncdiff import provenance as module
from syncdiff.artifacts import sha256
from syncdiff.errors import UserError
from syncdiff.provenance import provenance, verify

pytestmark = pytest.mark.quick


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with one artifact `out.tar`, made from `in.tar`, and a video that only the work could name."""
    (tmp_path / "in.tar").write_bytes(b"input")
    with provenance("priors", '{"seed": 3}', [tmp_path / "in.tar"], [tmp_path / "out.tar"]) as outputs:
        (tmp_path / "out.tar").write_bytes(b"output")
        (tmp_path / "a.mp4").write_bytes(b"video")
        outputs.append(tmp_path / "a.mp4")
    return tmp_path


def test_it_says_what_from_what_and_by_what(made: Path) -> None:
    record = json.loads((made / "out.tar.provenance.json").read_text())
    assert record["stage"] == "priors"
    assert record["config"] == {"seed": 3}
    assert list(record["inputs"]) == [str(made / "in.tar")]
    assert list(record["outputs"]) == [str(made / "out.tar"), str(made / "a.mp4")]
    assert record["packages"]["torch"]
    assert record["seconds"] >= 0


def test_what_is_unchanged_passes(made: Path) -> None:
    assert verify(made) == (verification := verify(made))
    assert verification.checked == 2
    assert verification.faults == []


@pytest.mark.parametrize(
    ("name", "fault"), [("out.tar", "its provenance says"), ("a.mp4", "its provenance says"), ("in.tar", "has changed")]
)
def test_a_changed_file_is_named(made: Path, name: str, fault: str) -> None:
    (made / name).write_bytes(b"other")
    (found,) = verify(made).faults
    assert name in found
    assert fault in found


def test_a_missing_file_is_named(made: Path) -> None:
    (made / "out.tar").unlink()
    (found,) = verify(made).faults
    assert found.startswith(f"{made / 'out.tar'}: missing")


def test_work_that_fails_leaves_no_provenance(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), provenance("priors", "{}", [], [tmp_path / "out.tar"]):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_output_stands_for_its_files(tmp_path: Path) -> None:
    with provenance("corpus", "{}", [], [tmp_path / "corpus"]):
        (tmp_path / "corpus/deep").mkdir(parents=True)
        (tmp_path / "corpus/deep/file").write_bytes(b"x")
    record = json.loads((tmp_path / "corpus.provenance.json").read_text())
    assert list(record["outputs"]) == [str(tmp_path / "corpus/deep/file")]


def test_a_folder_without_provenance_and_a_damaged_one_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no provenance"):
        verify(tmp_path)
    (tmp_path / "x.provenance.json").write_text("[]")
    with pytest.raises(UserError, match="not a provenance file"):
        verify(tmp_path)


def test_what_a_stage_has_written_down_is_not_read_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(module, "sha256", lambda path: read.append(Path(path).name) or sha256(path))
    with provenance("shards", "{}", [made / "out.tar", made / "a.mp4"], [made / "next.tar"]):
        (made / "next.tar").write_bytes(b"next")
    assert read == ["a.mp4", "next.tar"]
    inputs = json.loads((made / "next.tar.provenance.json").read_text())["inputs"]
    assert inputs[str(made / "out.tar")] == sha256(made / "out.tar")
    read.clear()
    verify(made)
    assert sorted(read) == ["a.mp4", "in.tar", "next.tar", "out.tar"]


def test_a_file_that_has_another_time_or_size_is_read(made: Path) -> None:
    tar = made / "out.tar"
    tar.write_bytes(b"OUTPUT")
    assert module.known_digest(tar) == sha256(tar)
    record = json.loads((made / "out.tar.provenance.json").read_text())
    record["stats"][str(tar)] = [6, tar.stat().st_mtime_ns]
    (made / "out.tar.provenance.json").write_text(json.dumps(record))
    assert module.known_digest(tar) == record["outputs"][str(tar)]
    os.utime(tar, (1, 1))
    assert module.known_digest(tar) == sha256(tar)


def test_a_record_that_has_no_times_is_not_believed(made: Path) -> None:
    record = json.loads((made / "out.tar.provenance.json").read_text())
    del record["stats"]
    (made / "out.tar.provenance.json").write_text(json.dumps(record))
    (made / "out.tar").write_bytes(b"other")
    assert module.known_digest(made / "out.tar") == sha256(made / "out.tar")
