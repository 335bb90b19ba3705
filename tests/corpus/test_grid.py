"""GRID: its layouts as people have them, what names say, and who is held out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from subprocess import run

import pandas as pd
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from syncdiff.config import Config, parse_config
from syncdiff.corpus.grid import SPEAKERS, Grid, grid_clips, sentence
from syncdiff.corpus.kind import recognise
from syncdiff.corpus.listing import clip_counts, same_as_planned
from syncdiff.corpus.plan import plan_corpus
from syncdiff.corpus.split import Listing
from syncdiff.errors import UserError
from syncdiff.media.video import read_frames

UNSEEN = (1, 2, 20, 22)


def config(root: Path, **corpus: object) -> Config:
    return parse_config({"corpus": {"kind": "grid", "root": str(root), **corpus}})


def listed(root: Path) -> Listing:
    return grid_clips(root, UNSEEN, val_fraction=0.05, test_fraction=0.1)


# ---- what lies where ---------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize(
    "path",
    [
        "s3/bbaf2n.mpg",
        "s3/video/mpg_6000/bbaf2n.mpg",
        "s3.mpg_6000.part1/s3/video/mpg_6000/bbaf2n.mpg",
        "s3/s3/bbaf2n.mpg",
        "S3/BBAF2N.MPG",
        "s03/bbaf2n.mpg",
        "GRID/video/s3/bbaf2n.mp4",
    ],
)
def test_a_clip_is_the_same_in_all_layouts(tree, path: str) -> None:
    (clip,) = listed(tree(path))
    assert (clip.clip, clip.text) == ("s3/bbaf2n", "BIN BLUE AT F TWO NOW")
    assert clip.video.endswith(path) and clip.stamp and not clip.reason


@pytest.mark.quick
def test_the_rest_of_the_archives_is_no_clip(tree) -> None:
    files = ("align/bbaf2n.align", "alignments/s3/bbaf2n.align", "audio_25k/s3/bbaf2n.wav", "jasagrid.pdf", "s3.zip")
    hidden = ("s3/._bbaf2n.mpg", "__MACOSX/s3/._bbaf2n.mpg", "s3/.DS_Store")
    listing = listed(tree("s3/bbaf2n.mpg", *files, *hidden))
    assert [clip.clip for clip in listing] == ["s3/bbaf2n"]
    assert listing.notes["hidden or made by the system: left out"] == ["__MACOSX/", "s3/._bbaf2n.mpg"]
    assert "an archive of such a speaker: unpack it" not in listing.notes


@pytest.mark.quick
def test_of_two_files_of_a_sentence_the_larger_is_read(tree) -> None:
    root = tree("s3/bbaf2n.mpg", "s3/video/mpg_6000/bbaf2n.mpg", "s3/s3/BBAF2N.MPG")
    (root / "s3/video/mpg_6000/bbaf2n.mpg").write_bytes(b"longer")
    listing = listed(root)
    assert [clip.video for clip in listing] == [f"{root}/s3/video/mpg_6000/bbaf2n.mpg"]
    (note,) = [paths for what, paths in listing.notes.items() if "once more" in what]
    assert note == ["s3/bbaf2n.mpg", "s3/s3/BBAF2N.MPG"]


@pytest.mark.quick
def test_what_lacks_is_said(tree) -> None:
    notes = listed(tree("s3/bbaf2n.mpg", "s4.zip", "s5.mpg_6000.part1.tar", "s3.zip", "audio_25k.zip")).notes
    assert notes["a speaker of whom there is no video"] == [f"s{number}" for number in SPEAKERS if number != 3]
    assert notes["an archive of such a speaker: unpack it"] == ["s4.zip", "s5.mpg_6000.part1.tar"]


@pytest.mark.quick
def test_a_video_of_nobody_is_refused_and_one_that_says_nothing_is_not(tree) -> None:
    clips = {clip.clip: clip for clip in listed(tree("demo.mpg", "s3/intro.mpg", "s3/bbaf2n.mpg", "s35/bbaf2n.mpg"))}
    assert (
        clips["demo.mpg"].reason
        == clips["s35/bbaf2n.mpg"].reason
        == ("in no speaker's folder: put it below s1, s2 ... or s34")
    )
    assert (clips["s3/intro"].reason, clips["s3/intro"].text) == ("", "")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["s1.zip", "s2.zip"], "archives alone, such as s1.zip; unpack them"),
        (["bbaf2n.mpg"], "bbaf2n.mpg and all other videos lie in no speaker's folder"),
        (["align/bbaf2n.align"], "no video below it"),
    ],
)
def test_a_root_without_speakers_is_one_line_that_says_why(tree, paths: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        listed(tree(*paths))
    with pytest.raises(UserError, match="typo: no such folder"):
        listed(tree() / "typo")


@pytest.mark.quick
def test_it_is_recognised_by_speakers_and_sentences(tree) -> None:
    assert recognise(tree("s1/intro.mp4", "s2/episode.mp4")) == "folder"
    assert recognise(tree("grid/s3/video/mpg_6000/bbaf2n.mpg")) == "grid"


# ---- what is said ------------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bbaf2n.mpg", "BIN BLUE AT F TWO NOW"),
        ("s1/LWIZZA.mpg", "LAY WHITE IN Z ZERO AGAIN"),
        ("id2_6000_swwp2s.mpg", "SET WHITE WITH P TWO SOON"),
        ("prbv9p.mpg", "PLACE RED BY V NINE PLEASE"),
        ("bbaw2n.mpg", ""),  # GRID has no w
        ("bbaf0n.mpg", ""),
        ("xbbaf2n.mpg", ""),
        ("bbaf2n_lip.mpg", ""),
    ],
)
def test_a_name_says_its_sentence(name: str, said: str) -> None:
    assert sentence(name) == said


# ---- who is held out ---------------------------------------------------------------------------------------------


ALL = [
    f"s{speaker}/lb{sign}{letter}{digit}n.mpg"
    for speaker in SPEAKERS
    for sign in "ab"
    for letter in "ab"
    for digit in "12345"
]


@pytest.mark.quick
def test_named_speakers_are_test_and_whole_others_are_val(tree) -> None:
    splits = {clip.clip: clip.split for clip in listed(tree(*ALL))}
    of_speaker = {name.split("/")[0]: split for name, split in splits.items()}
    assert {name for name, split in of_speaker.items() if split == "test"} == {"s1", "s2", "s20", "s22"}
    assert Counter(of_speaker.values()) == {"train": 28, "val": 1, "test": 4}
    assert all(of_speaker[name.split("/")[0]] == split for name, split in splits.items())


@pytest.mark.quick
def test_without_named_speakers_sentences_of_each_are_held_out(tree) -> None:
    clips = grid_clips(tree(*ALL), (), val_fraction=0.05, test_fraction=0.25)
    counts = Counter((clip.clip.split("/")[0], clip.split) for clip in clips)
    assert {split: {counts[f"s{number}", split] for number in SPEAKERS} for split in ("train", "val", "test")} == {
        "train": {14},
        "val": {1},
        "test": {5},
    }


@pytest.mark.quick
def test_published_totals_follow_the_config() -> None:
    assert Grid().clip_counts(config(Path("x"))) == {"train": 28_000, "val": 1_000, "test": 4_000}
    overlapped = config(Path("x"), test_speakers=[], test_fraction=0.255)
    assert Grid().clip_counts(overlapped) == {"train": 33 * 695, "val": 33 * 50, "test": 33 * 255}


@pytest.mark.quick
def test_a_split_without_speakers_names_the_key(tree) -> None:
    settings = config(tree("s3/bbaf2n.mpg"))
    assert clip_counts(settings) == {"train": 1, "val": 0, "test": 0}
    assert "corpus.test_speakers: s1, s2, s20, s22; there is a video of none of them" in Grid().why_empty(
        settings, "test"
    )
    assert "of no one else" in Grid().why_empty(settings, "train")


# ---- real containers ---------------------------------------------------------------------------------------------


def mpg(path: Path) -> None:
    """Encode a clip as GRID's: MPEG-1 at 360 x 288 and 25 fps, MP2 at 44.1 kHz, three seconds."""
    path.parent.mkdir(parents=True)
    source = "-f lavfi -i testsrc=s=360x288:r=25:d=3 -f lavfi -i sine=440:r=44100:d=3"
    codecs = "-c:v mpeg1video -q:v 8 -c:a mp2 -f mpeg"
    run([get_ffmpeg_exe(), "-y", "-loglevel", "error", *source.split(), *codecs.split(), str(path)], check=True)


def test_the_plan_has_text_length_and_rate_and_refuses_what_is_broken(tmp_path: Path) -> None:
    root, plan = tmp_path / "grid", tmp_path / "plan.parquet"
    mpg(root / "s3/bbaf2n.mpg")
    mpg(root / "s1/video/mpg_6000/lgwz1p.mpg")
    (root / "s3/pwbd6s.mpg").touch()
    settings = config(root)
    plan_corpus(settings, plan)
    rows = pd.read_parquet(plan).set_index("clip")
    good = rows.loc[["s3/bbaf2n", "s1/lgwz1p"]]
    assert list(good["text"]) == ["BIN BLUE AT F TWO NOW", "LAY GREEN WITH Z ONE PLEASE"]
    assert list(good["split"]) == ["train", "test"]
    assert set(good["fps"]) == {25} and set(good["n_frames"]) == {75} and set(good["audio_rate"]) == {44100}
    assert sum(1 for _ in read_frames(root / "s3/bbaf2n.mpg")) == 75
    assert tuple(rows.loc["s3/pwbd6s", ["status", "reason"]]) == ("rejected", "cannot be decoded: empty file")
    clips = {clip.video.removeprefix(f"{root}/"): clip for clip in Grid().clips(settings)}
    assert same_as_planned(clips, plan) == {"s3/bbaf2n.mpg", "s1/video/mpg_6000/lgwz1p.mpg"}
