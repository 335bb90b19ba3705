"""Many videos from a table: resumed, and one fault ends one job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncdiff.dubbing.jobs import read_jobs, run_jobs
from syncdiff.dubbing.report import Report
from syncdiff.dubbing.wishes import Wishes
from syncdiff.errors import UserError

pytestmark = pytest.mark.quick


def _dub(video: Path, sound: Path, out: Path, wishes: Wishes) -> Report:
    """Write the output, or fail as the name of the video says."""
    if video.name == "bad.mp4":
        raise UserError(f"{video}: no face")
    if video.name == "worse.mp4":
        raise ZeroDivisionError("what nobody thought of")
    out.write_text(video.name)
    return Report(str(video), str(sound), str(out), 3, 2, 0, {"no face found": 1}, 25.0, 0.12, [], [], [])


def _table(folder: Path, *rows: str, columns: str = "video,sound,out") -> Path:
    path = folder / "jobs.csv"
    path.write_text("\n".join([columns, *rows]))
    return path


def test_a_fault_ends_one_job_and_what_is_there_is_not_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outs = [tmp_path / f"{name}.mp4" for name in "abcd"]
    names = ["good.mp4", "bad.mp4", "worse.mp4", "other.mp4"]
    jobs = read_jobs(
        _table(tmp_path, *(f"{name},s.wav,{out}" for name, out in zip(names, outs, strict=True))), Wishes()
    )
    assert not run_jobs(_dub, jobs, tmp_path / "report.json")
    assert [out.exists() for out in outs] == [True, False, False, True]
    rows = json.loads((tmp_path / "report.json").read_text())
    assert [row["status"] for row in rows] == ["ok", "failed", "failed", "ok"]
    assert rows[1]["reason"] == "bad.mp4: no face"
    assert "ZeroDivisionError: what nobody thought of" in rows[2]["reason"]
    assert rows[0]["report"]["generated"] == 2
    outs[0].write_text("mine now")
    capsys.readouterr()
    assert not run_jobs(_dub, jobs)
    assert f"{outs[0]}: there: it is there already" in capsys.readouterr().out
    assert outs[0].read_text() == "mine now"
    assert run_jobs(_dub, [jobs[0], jobs[3]])


def test_a_row_may_have_wishes_of_its_own(tmp_path: Path) -> None:
    table = _table(
        tmp_path, "a.mp4,s.wav,1.mp4,2,sound,30", "a.mp4,s.wav,2.mp4,,,", columns="video,sound,out,face,length,crf"
    )
    first, second = (job.wishes for job in read_jobs(table, Wishes(face="speaking")))
    assert (first.face, first.length, first.crf) == ("2", "sound", 30)
    assert second == Wishes(face="speaking")


@pytest.mark.parametrize(
    ("columns", "row", "complaint"),
    [
        ("video,out", "a,b", "has no column sound"),
        ("video,sound,out,fase", "a,b,c,d", "column 'fase' is not known"),
        ("video,sound,out", "a,,c", "line 2: no sound; name a file"),
        ("video,sound,out", "a,b,c.mp4\na,d,./c.mp4", "two jobs write"),
        ("video,sound,out,length", "a,b,c,long", "line 2: length long; say shortest"),
        ("video,sound,out,crf", "a,b,c,99", "line 2: crf 99; say a whole number"),
    ],
)
def test_a_table_that_cannot_be_is_refused_before_any_work(
    tmp_path: Path, columns: str, row: str, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        read_jobs(_table(tmp_path, row, columns=columns), Wishes())


def test_no_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: cannot be read as a table"):
        read_jobs(tmp_path / "none.csv", Wishes())
