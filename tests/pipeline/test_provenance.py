"""Provenance: what a stage writes down about its work, and what `verify` finds changed afterwards."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from syncdiff.errors import UserError
from syncdiff.pipeline import provenance as module
from syncdiff.pipeline.files import sha256
from syncdiff.pipeline.provenance import SUFFIX, config_of, known_digest, provenance, refuse_own_expert, verify

pytestmark = pytest.mark.quick


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """A folder in which priors are made from faces, beside it weights from which they are made too."""
    folder = tmp_path / "results"
    (tmp_path / "weights.pt").write_bytes(b"weights")
    for name in ("faces", "priors"):
        (folder / name).mkdir(parents=True)
    faces, priors, rows = folder / "faces/0.tar", folder / "priors/0.tar", folder / "priors/0.parquet"
    with provenance("faces", "{}", [], [faces]):
        faces.write_bytes(b"faces")
    with provenance("priors", "{}", [faces, tmp_path / "weights.pt"], [priors, rows]):
        priors.write_bytes(b"priors")
        rows.write_bytes(b"rows")
    return folder


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
    assert list(record["inputs"]) == ["in.tar"]
    assert list(record["outputs"]) == ["out.tar", "a.mp4"]
    assert record["place"] == str(made)
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
    assert list(record["outputs"]) == ["corpus/deep/file"]


def test_a_folder_without_provenance_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no provenance"):
        verify(tmp_path)


@pytest.mark.parametrize("text", ["[]", "", '{"config": {}, "inputs": {', '{"config": {}, "inputs": {}}'])
def test_a_damaged_record_is_named_and_the_others_are_verified(made: Path, text: str) -> None:
    (made / "a.tar.provenance.json").write_text(text)
    (made / "out.tar").write_bytes(b"other")
    first, second = verify(made).faults
    assert first.startswith(f"{made / 'a.tar.provenance.json'}: not a provenance file")
    assert second.startswith(f"{made / 'out.tar'}: ")


def test_records_of_an_earlier_version_are_one_line(made: Path) -> None:
    for name in ("a.tar", "b.tar"):
        (made / name).touch()
        (made / f"{name}{SUFFIX}").write_text('{"config": {}, "inputs": {}, "outputs": {"a.tar": "0"}}')
    (found,) = verify(made).faults
    assert found.startswith(f"{made / 'a.tar.provenance.json'}: this and 1 other records are of an earlier version")


def test_a_record_without_its_artifacts_is_one_line(made: Path) -> None:
    with provenance("shards", "{}", [made / "out.tar"], [made / "b.tar"]):
        (made / "b.tar").touch()
    (made / "out.tar").unlink()
    (made / "a.mp4").unlink()
    (found,) = verify(made).faults
    assert found.startswith(f"{made / 'out.tar.provenance.json'}: none of its 2 artifacts is there")


def test_an_artifact_without_a_record_is_named(made: Path) -> None:
    (made / "b.parquet").write_bytes(b"x")
    (made / ".b.tmp.parquet").write_bytes(b"x")
    (found,) = verify(made).faults
    assert found.startswith(f"{made / 'b.parquet'}: no provenance")


def test_a_moved_folder_verifies_from_anywhere(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = chain.rename(tmp_path / "it's moved")
    monkeypatch.chdir("/")
    assert verify(moved).faults == []
    monkeypatch.chdir(moved.parent)
    assert verify(Path("it's moved")) == verify(moved)


@pytest.mark.parametrize("spoiled", ["faces/0.tar", "priors/0.tar", "priors/0.parquet"])
def test_a_spoiled_copy_beside_the_intact_original_has_one_fault(chain: Path, tmp_path: Path, spoiled: str) -> None:
    shutil.copytree(chain, tmp_path / "copy")
    (tmp_path / "copy" / spoiled).write_bytes(b"spoiled")
    (found,) = verify(tmp_path / "copy").faults
    assert found.startswith(f"{tmp_path / 'copy' / spoiled}: ")
    assert verify(chain).faults == []


def test_what_a_copy_lacks_is_not_looked_for_in_the_original(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain, tmp_path / "copy")
    for name in ("0.tar", "0.tar.provenance.json"):
        (tmp_path / "copy/faces" / name).unlink()
    (found,) = verify(tmp_path / "copy").faults
    assert found.startswith(f"{tmp_path / 'copy/faces/0.tar'}: is missing")


def test_an_input_from_outside_is_found_from_a_moved_folder_and_its_change_is_named(
    chain: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "deep/er/moved"
    moved.parent.mkdir(parents=True)
    chain.rename(moved)
    (tmp_path / "weights.pt").write_bytes(b"others")
    (found,) = verify(moved).faults
    assert found.startswith(f"{tmp_path / 'weights.pt'}: has changed")


def test_folders_behind_links_are_verified_once(chain: Path, tmp_path: Path) -> None:
    (chain / "priors").rename(tmp_path / "other disk")
    (chain / "priors").symlink_to(tmp_path / "other disk")
    (chain / "faces/loop").symlink_to(chain)
    assert verify(chain).checked == 3
    assert verify(chain).faults == []
    (chain / "priors/0.tar").write_bytes(b"spoiled")
    assert len(verify(chain).faults) == 1


def test_the_config_of_a_file_is_recorded_as_it_was_when_the_work_began(tmp_path: Path) -> None:
    file = tmp_path / "my config.yaml"
    file.write_text("seed: 3")
    with provenance("priors", str(file), [], [tmp_path / "out.tar"]):
        (tmp_path / "out.tar").write_bytes(b"output")
        file.write_text("seed: 4")
    file.unlink()
    assert config_of(tmp_path / "out.tar") == {"seed": 3}


def test_the_same_bytes_are_refused_as_scorer_after_a_move(chain: Path, tmp_path: Path) -> None:
    moved = chain.rename(tmp_path / "moved")
    shutil.copy(tmp_path / "weights.pt", tmp_path / "other name.pt")
    with pytest.raises(UserError, match="was trained with this SyncNet"):
        refuse_own_expert(tmp_path / "other name.pt", moved / "priors/0.tar")
    assert known_digest(moved / "priors/0.parquet") == hashlib.sha256(b"rows").hexdigest()


def test_what_a_stage_has_written_down_is_not_read_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(module, "sha256", lambda path: read.append(Path(path).name) or sha256(path))
    with provenance("shards", "{}", [made / "out.tar", made / "a.mp4"], [made / "next.tar"]):
        (made / "next.tar").write_bytes(b"next")
    assert read == ["a.mp4", "next.tar"]
    inputs = json.loads((made / "next.tar.provenance.json").read_text())["inputs"]
    assert inputs["out.tar"] == sha256(made / "out.tar")
    read.clear()
    verify(made)
    assert sorted(read) == ["a.mp4", "in.tar", "next.tar", "out.tar"]


def test_a_file_that_has_another_time_or_size_is_read(made: Path) -> None:
    tar = made / "out.tar"
    tar.write_bytes(b"OUTPUT")
    assert module.known_digest(tar) == sha256(tar)
    record = json.loads((made / "out.tar.provenance.json").read_text())
    record["stats"][tar.name] = [6, tar.stat().st_mtime_ns]
    (made / "out.tar.provenance.json").write_text(json.dumps(record))
    assert module.known_digest(tar) == record["outputs"][tar.name]
    os.utime(tar, (1, 1))
    assert module.known_digest(tar) == sha256(tar)


def test_a_record_that_has_no_times_is_not_believed(made: Path) -> None:
    record = json.loads((made / "out.tar.provenance.json").read_text())
    del record["stats"]
    (made / "out.tar.provenance.json").write_text(json.dumps(record))
    (made / "out.tar").write_bytes(b"other")
    assert module.known_digest(made / "out.tar") == sha256(made / "out.tar")
