"""GRID as its authors give it: a folder for each speaker, and videos that are named by what is said in them.

Cooke, Barker, Cunningham, Shao 2006, "An audio-visual corpus for speech perception and automatic speech recognition":
34 speakers, a thousand sentences each, of speaker 21 no video. The text comes from the name alone: it is the same as in
the files of word times (`.align`), of which Zenodo's archive has some under another speaker's number.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from syncdiff.config import Config
from syncdiff.corpus.folder import VIDEO_SUFFIXES
from syncdiff.corpus.kind import CorpusKind
from syncdiff.corpus.split import ListedClip, Listing, hold_out, prefix_of, printable, unreadable
from syncdiff.corpus.tree import Tree, left_out, scan, walk
from syncdiff.errors import UserError

LETTERS = "abcdefghijklmnopqrstuvxyz"
# Table I of the paper: command, colour, preposition, letter, digit, adverb.
SENTENCE = (
    ("bin", "lay", "place", "set"),
    ("blue", "green", "red", "white"),
    ("at", "by", "in", "with"),
    tuple(LETTERS),
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("again", "now", "please", "soon"),
)
SIGNS = ("blps", "bgrw", "abiw", LETTERS, "z123456789", "anps")  # that stand for these words in a file's name
NAME = re.compile(rf"(?:.*[^a-z])?({''.join(f'[{signs}]' for signs in SIGNS)})", re.IGNORECASE)
SPEAKER = re.compile(r"s0?([1-9]|[12]\d|3[0-4])", re.IGNORECASE)
SPEAKERS = [number for number in range(1, 35) if number != 21]  # of whom the authors give a video
N_SENTENCES = 1000  # of each
ARCHIVES = (".zip", ".tar")
NO_SPEAKER = "in no speaker's folder: put it below s1, s2 ... or s34"


class Grid(CorpusKind):
    """GRID: s<N>/<sentence>.mpg, or s<N>/video/mpg_6000/<sentence>.mpg."""

    uniform = True

    @classmethod
    def lies_at(cls, path: Path) -> bool:
        """Say whether a speaker's folder, here or one below, has a video that is named by a sentence."""
        speakers = [folder for base in [path, *_folders(path)] for folder in _folders(base)]
        return any(_has_sentence(folder) for folder in speakers if SPEAKER.fullmatch(folder.name))

    def clips(self, config: Config) -> Listing:
        """Return the videos of the speakers' folders; see `grid_clips`."""
        corpus = config.corpus
        return grid_clips(config.corpus_root, corpus.test_speakers, corpus.val_fraction, corpus.test_fraction)

    def why_empty(self, config: Config, split: str) -> str:
        """Say which speakers lack, or that no sentences are held out."""
        corpus = config.corpus
        if not corpus.test_speakers:
            return f"corpus.test_fraction: {corpus.test_fraction:g} leaves no {split} split; choose another"
        named = ", ".join(f"s{number}" for number in corpus.test_speakers)
        there = "there is a video of no one else" if split == "train" else "there is a video of none of them"
        return f"corpus.test_speakers: {named}; {there}, so there is no {split} split; unpack more, or name others"

    def mean_frames(self, config: Config) -> dict[str, int]:
        """Return 75: three seconds each."""
        return dict.fromkeys(config.splits, 75)

    def clip_counts(self, config: Config) -> dict[str, int]:
        """Return the published figures, split as the config says; a few of these videos are empty or broken."""
        corpus = config.corpus
        clips = {f"s{speaker}/{i}": speaker for speaker in SPEAKERS for i in range(N_SENTENCES)}
        split_of = _splits(clips, corpus.test_speakers, corpus.val_fraction, corpus.test_fraction)
        counts = Counter(split_of.values())
        return {split: counts[split] for split in config.splits}


def grid_clips(root: Path, test_speakers: Collection[int], val_fraction: float, test_fraction: float) -> Listing:
    """Return every video below a speaker's folder as the clip `s<N>/<name>`, however deep it lies.

    Whole speakers are held out: for test those that are named. Where none are named, sentences of each speaker are:
    test then has people whom training has seen.

    Args:
        root: folder that holds s1/, s2/ ... or folders that do.
        test_speakers: numbers of the speakers in test.
        val_fraction: share of the other speakers in val, or of each speaker's sentences.
        test_fraction: share of each speaker's sentences in test, where no speakers are named.

    Raises:
        UserError: `root` is missing or cannot be read, or no speaker's folder has a video.
    """
    if not root.is_dir():
        raise UserError(f"corpus.root: {root}: no such folder; name the folder that holds s1/, s2/ ...")
    tree = walk(root, {*VIDEO_SUFFIXES, *ARCHIVES})
    archives = [path for path in tree.files if path.lower().endswith(ARCHIVES)]
    copies = defaultdict[str, list[str]](list)
    for video in tree.files.keys() - set(archives):
        copies[_clip(video)].append(video)
    speakers = {clip: number for clip in copies if (number := speaker(copies[clip][0]))}
    if not speakers:
        raise UserError(f"corpus.root: {root}: {_why_none(archives, list(copies))}")
    split_of = _splits(speakers, test_speakers, val_fraction, test_fraction)
    prefix = prefix_of(root)
    clips = [_listed(tree, prefix, clip, copies[clip], split_of.get(clip)) for clip in copies]
    clips += [unreadable(root, folder, "train", fault) for folder, fault in sorted(tree.unreadable.items())]
    return Listing(sorted(clips), {**left_out(tree), **_notes(tree, copies, set(speakers.values()), archives)})


def speaker(path: str) -> int | None:
    """Return the number of the speaker whose folder a file lies in: the innermost, where several do."""
    matches = [SPEAKER.fullmatch(folder) for folder in path.split("/")[:-1]]
    return next((int(match[1]) for match in reversed(matches) if match), None)


def sentence(video: str) -> str:
    """Return what is said in a video by the end of its name: `bbaf2n` is BIN BLUE AT F TWO NOW; "": it says nothing."""
    match = NAME.fullmatch(PurePosixPath(video).stem)
    if not match:
        return ""
    signs = zip(SENTENCE, SIGNS, match[1].lower(), strict=True)
    return " ".join(words[known.index(sign)] for words, known, sign in signs).upper()


def _clip(video: str) -> str:
    """Return a video's clip: the same for the same sentence of a speaker, in whatever folder, case and quality."""
    number, name = speaker(video), PurePosixPath(video).stem
    return f"s{number}/{name.lower() if sentence(video) else name}" if number else video


def _listed(tree: Tree, prefix: str, clip: str, copies: Sequence[str], split: str | None) -> ListedClip:
    video, reason = printable(_best(tree, copies))
    whole = f"{prefix}{video}"
    if split is None:
        reason = reason or NO_SPEAKER
    stamp = tree.files[_best(tree, copies)]
    return ListedClip(printable(clip)[0], split or "train", whole, reason, stamp=stamp, text=sentence(video))


def _best(tree: Tree, copies: Sequence[str]) -> str:
    """Return the largest of a clip's files: that of the better quality, and a whole one before one that was cut off."""
    return max(copies, key=lambda video: (int(tree.files[video].partition("@")[0] or 0), video))


def _splits(
    speakers: Mapping[str, int], test_speakers: Collection[int], val_fraction: float, test_fraction: float
) -> dict[str, str]:
    """Return the split of each clip, of whom the speakers are given."""
    if not test_speakers:
        own = defaultdict[int, list[str]](list)
        for clip, number in speakers.items():
            own[number].append(clip)
        held_out = (hold_out(clips, val_fraction, test_fraction) for clips in own.values())
        return {clip: split for splits in held_out for clip, split in splits.items()}
    others = hold_out({f"s{number}" for number in speakers.values() if number not in test_speakers}, val_fraction, 0)
    return {clip: others.get(f"s{number}", "test") for clip, number in speakers.items()}


def _notes(
    tree: Tree, copies: Mapping[str, Sequence[str]], speakers: Collection[int], archives: Sequence[str]
) -> dict[str, list[str]]:
    """Return what else to know of the tree: whose videos lack, and which files are not read."""
    missing = [f"s{number}" for number in SPEAKERS if number not in speakers]
    heads = tuple(f"{name}{sign}" for name in missing for sign in ".-_")
    notes = {
        "a speaker of whom there is no video": missing,
        "an archive of such a speaker: unpack it": [
            path for path in archives if PurePosixPath(path).name.lower().startswith(heads)
        ],
        "the same sentence of a speaker once more: the largest file is read": sorted(
            video for videos in copies.values() for video in videos if video != _best(tree, videos)
        ),
    }
    return {note: paths for note, paths in notes.items() if paths}


def _why_none(archives: Sequence[str], videos: Sequence[str]) -> str:
    if videos:
        return f"{videos[0]} and all other videos lie {NO_SPEAKER}; or name the folder above"
    return f"archives alone, such as {archives[0]}; unpack them" if archives else "no video below it"


def _has_sentence(folder: Path) -> bool:
    try:
        return any(sentence(video) for video in walk(folder, VIDEO_SUFFIXES).files)
    except UserError:  # it cannot be read
        return False


def _folders(path: Path) -> list[Path]:
    """Return the folders in a folder that have no hidden names; none, where it cannot be read."""
    try:
        return [path / name for name, entry in sorted(scan(path).items()) if entry.is_dir() and name[0] != "."]
    except OSError:
        return []
