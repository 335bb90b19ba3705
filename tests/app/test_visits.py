"""Files of those who have the page open: they stay while they are of use, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncdiff.app.visits import Visits
from syncdiff.errors import UserError

pytestmark = pytest.mark.quick


@pytest.fixture
def visits(tmp_path: Path) -> Visits:
    return Visits(tmp_path)


def _file(visits: Visits) -> Path:
    path = visits.new_folder() / "a.mp4"
    path.write_bytes(b"a")
    return path


def test_another_file_takes_the_place_of_the_one_before(visits: Visits) -> None:
    first, second = _file(visits), _file(visits)
    assert visits.keep("me", "video", first) and visits.keep("me", "video", second)
    assert not first.parent.exists() and second.exists()
    visits.keep("me", "video", None)
    assert not second.parent.exists() and visits.kept("me", "video") is None


def test_what_two_visits_keep_goes_with_the_last_of_them(visits: Visits) -> None:
    path = _file(visits)
    visits.keep("me", "video", path)
    visits.keep("you", "sound", path)
    visits.leave("me")
    visits.remove(path)
    assert path.exists()
    visits.leave("you")
    assert not path.parent.exists()


def test_what_is_made_after_the_visit_is_removed_and_work_ends(visits: Visits) -> None:
    visits.leave("me")
    path = _file(visits)
    assert visits.is_stopped("me") and not visits.is_stopped("you")
    assert not visits.keep("me", "made", path)
    assert not path.parent.exists()


def test_stopped_work_may_begin_again(visits: Visits) -> None:
    visits.stop("me")
    assert visits.is_stopped("me")
    visits.go_on("me")
    assert not visits.is_stopped("me")


def test_a_file_elsewhere_is_neither_kept_nor_removed(visits: Visits, tmp_path: Path) -> None:
    inside = Visits(tmp_path / "uploads")
    other = _file(visits)
    link = tmp_path / "uploads/link.mp4"
    link.parent.mkdir()
    link.symlink_to(other)
    for path in (other, link):
        with pytest.raises(UserError, match="no file that was uploaded"):
            inside.keep("me", "video", path)
    assert other.exists()
