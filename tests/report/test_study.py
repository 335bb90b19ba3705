"""The blind study: what raters get says nothing of which is which, and the key does."""

import base64
import csv
import hashlib
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from syncdiff.config import parse_config
from syncdiff.errors import UserError
from syncdiff.media.audio import read_audio
from syncdiff.media.video import read_frames
from syncdiff.report.gallery import GalleryClip
from syncdiff.report.study import MAX_PAIRS, pairs, write_study
from tests.evaluation.drawn import CLIPS, N_FRAMES, Faked

METHODS = ("real", "syncdiff")


@pytest.fixture
def study(faked: Faked) -> tuple[Faked, str, list[dict[str, str]]]:
    """The page and the key of real video and a darker one, which is four frames shorter."""
    faked.generate("syncdiff", "paired", lambda frames: (frames[:-4] * 0.5).astype(np.uint8))
    (faked.videos("syncdiff") / "paired/b/1.mp4").unlink()
    clips = [GalleryClip(clip, faked.root / f"source/{clip}.mp4", 0, N_FRAMES) for clip in CLIPS]
    runs = {method: faked.root / "runs" / method for method in METHODS}
    page, key = faked.root / "study.html", faked.root / "study_key.csv"
    write_study(faked.config, clips, runs, page, key)
    return faked, page.read_text(), list(csv.DictReader(key.read_text().splitlines()))


def test_the_page_needs_nothing_and_names_neither_methods_nor_clips(study: tuple) -> None:
    _, page, key = study
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    text = re.sub(r"base64,[^\"]*", "", page)
    assert not re.search(r"syncdiff|real video|frozen|reconstruction|runs/|[ab]/[12]\b", text, re.IGNORECASE)
    assert [row["clip"] for row in key] == sorted(["a/1", "a/2"], key=[row["clip"] for row in key].index)
    assert {row["study"] for row in key} == {re.search(r'data-study="(\w+)"', page)[1]}


def test_both_videos_of_a_pair_have_one_length_size_and_sound(study: tuple, tmp_path: Path) -> None:
    _, page, key = study
    videos = re.findall(r"base64,([^\"]*)", page)
    assert len(videos) == 2 * len(key) == 4
    for row, both in zip(key, zip(videos[::2], videos[1::2], strict=True), strict=True):
        found = {}
        for side, data in zip("ab", both, strict=True):
            path = tmp_path / f"{row['pair']}{side}.mp4"
            path.write_bytes(base64.b64decode(data))
            found[row[side]] = np.stack(list(read_frames(path)))
            found[f"{row[side]} sound"] = read_audio(path)
        assert found["real"].shape == found["syncdiff"].shape == (N_FRAMES - 4, 64, 64, 3)
        assert found["syncdiff"].mean() < 0.6 * found["real"].mean()  # the key says which is the darker one
        np.testing.assert_array_equal(found["real sound"], found["syncdiff sound"])


def test_the_same_seed_makes_the_same_page_and_another_one_another_order(study: tuple) -> None:
    faked, page, _ = study
    clips = [GalleryClip(clip, faked.root / f"source/{clip}.mp4", 0, N_FRAMES) for clip in CLIPS]
    runs = {method: faked.root / "runs" / method for method in METHODS}
    write_study(faked.config, clips, runs, faked.root / "again.html", faked.root / "again.csv")
    assert hashlib.sha256((faked.root / "again.html").read_bytes()).digest() == hashlib.sha256(page.encode()).digest()
    many = [GalleryClip(str(i), Path(), 0, 1) for i in range(12)]
    assert pairs(many, METHODS, 0) == pairs(many, METHODS, 0) != pairs(many, METHODS, 1)


@pytest.mark.quick
def test_pairs_are_of_one_clip_on_both_sides_alike_and_spread_over_the_clips() -> None:
    many = [GalleryClip(str(i), Path(), 0, 1) for i in range(40)]
    drawn = pairs(many, ("real", "syncdiff", "wav2lip"), 0)
    assert len(drawn) == MAX_PAIRS and len({pair.shown.clip for pair in drawn}) > MAX_PAIRS / 2
    compared = Counter(frozenset((pair.a, pair.b)) for pair in drawn)
    assert len(compared) == 3 and min(compared.values()) >= 4
    sides = Counter(pair.a for pair in pairs(many, METHODS, 0))
    assert set(sides) == set(METHODS) and min(sides.values()) >= 3


@pytest.mark.quick
def test_a_study_of_rows_that_are_none_or_of_one_row_is_refused() -> None:
    with pytest.raises(UserError, match=r"evaluate\.study: wav2lip is no row of the table; there are real, reconstr"):
        parse_config({"evaluate": {"study": ["real", "wav2lip"]}})
    with pytest.raises(UserError, match="two rows or more"):
        parse_config({"evaluate": {"study": ["real"]}})


@pytest.mark.quick
def test_without_two_methods_there_is_a_page_that_says_so(tmp_path: Path) -> None:
    config = parse_config({"evaluate": {"study": []}})
    write_study(config, [GalleryClip("a", Path(), 0, 1)], {"real": tmp_path}, tmp_path / "s.html", tmp_path / "k.csv")
    assert "No pairs to compare" in (tmp_path / "s.html").read_text()
    assert (tmp_path / "k.csv").read_text() == "study,pair,clip,a,b\n"
