"""LRS2-BBC and LRS3-TED as they lie on disk: folders, list files, transcripts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from syncdiff.config import Config
from syncdiff.corpus.kind import CorpusKind
from syncdiff.corpus.split import (
    ListedClip,
    Listing,
    is_file,
    n_held_out,
    prefix_of,
    printable,
    rank_by_hash,
    unreadable,
)
from syncdiff.corpus.tree import Entries, Tree, left_out, scan, stamp, walk
from syncdiff.errors import UserError

LRS2 = "mvlrs_v1"
LRS3 = "lrs3_v0.4"
LISTS = ("train.txt", "val.txt", "test.txt")
LRS3_PARTS = ("trainval", "test", "pretrain")
TRANSCRIPT_BYTES = 1 << 20
HELD_OUT = "its speaker is held out for validation"
WORD_COLUMNS = "WORD START END ASDSCORE"
WEB_PAGE = ("<!doctype", "<html", "<head", "<?xml", "<script")


class Lrs2(CorpusKind):
    """LRS2-BBC: mvlrs_v1/{main,pretrain}/<programme>/<clip>.mp4, and a list for each split."""

    uniform = partitioned = True

    @classmethod
    def lies_at(cls, path: Path) -> bool:
        """Say whether there is a main/, in mvlrs_v1/ or beside a list."""
        return any(
            (base / "main").is_dir() and (base.resolve().name == LRS2 or any((base / name).is_file() for name in LISTS))
            for base in _bases(path, LRS2)
        )

    def clips(self, config: Config) -> Listing:
        """Return the clips that the lists name; see `lrs2_clips`."""
        return lrs2_clips(config.corpus_root, config.splits)

    def why_empty(self, config: Config, split: str) -> str:
        """Name the list that names no clip."""
        root = config.corpus.root
        return (
            f"corpus.root: {root}: {split}.txt names no clip, so there is no {split} split; put LRS2's own list there"
        )

    def mean_frames(self, config: Config) -> dict[str, int]:
        """Return hours x 3600 x 25 / clips, from the corpus's own table."""
        return {"pretrain": 182, "train": 55, "val": 50, "test": 36}

    def frame_side(self, config: Config) -> int:
        """Return 160."""
        return 160

    def clip_counts(self, config: Config) -> dict[str, int]:
        """Return the corpus's published figures."""
        published = {"pretrain": 96_318, "train": 45_839, "val": 1_082, "test": 1_243}
        return {split: published[split] for split in config.splits}


class Lrs3(CorpusKind):
    """LRS3-TED: lrs3_v0.4/{pretrain,trainval,test}/<speaker>/<clip>.mp4; val is cut from trainval by speakers."""

    uniform = partitioned = True

    @classmethod
    def lies_at(cls, path: Path) -> bool:
        """Say whether there is a trainval/, or pretrain/ and test/ side by side."""
        return any(
            (base / "trainval").is_dir() or ((base / "pretrain").is_dir() and (base / "test").is_dir())
            for base in _bases(path, LRS3)
        )

    def clips(self, config: Config) -> Listing:
        """Return the clips of its folders; see `lrs3_clips`."""
        return lrs3_clips(config.corpus_root, config.splits, config.corpus.val_fraction)

    def why_empty(self, config: Config, split: str) -> str:
        """Name the part that has no video."""
        root = config.corpus.root
        return f"corpus.root: {root}: no video in {split}/, so there is no {split} split; unpack that part of LRS3"

    def mean_frames(self, config: Config) -> dict[str, int]:
        """Return hours x 3600 x 25 / clips, from the corpus's own table."""
        return {"pretrain": 310, "train": 84, "val": 84, "test": 61}

    def frame_side(self, config: Config) -> int:
        """Return 224."""
        return 224

    def clip_counts(self, config: Config) -> dict[str, int]:
        """Return the corpus's published figures; val's share of trainval is one of speakers, taken as one of clips."""
        trainval = 31_982
        val = round(config.corpus.val_fraction * trainval)
        published = {"pretrain": 118_516, "train": trainval - val, "val": val, "test": 1_321}
        return {split: published[split] for split in config.splits}


def lrs2_clips(root: Path, splits: Sequence[str]) -> Listing:
    """Return the clips that LRS2's list files name, by split, each split sorted and without repetitions.

    Args:
        root: folder that holds mvlrs_v1/{main,pretrain}/<programme>/<clip>.mp4 and mvlrs_v1/<split>.txt, or it itself.
        splits: which lists to read; all but pretrain.txt must be there.

    Raises:
        UserError: no such layout, a list is missing or no list, or none of the clips that it names exists.
    """
    base = _lrs2_base(root)
    clips: list[ListedClip] = []
    for split in splits:
        part = "pretrain" if split == "pretrain" else "main"
        list_file = base / f"{split}.txt"
        if split == "pretrain" and not list_file.exists():
            continue
        entries = sorted(set(_read_list(list_file)))
        stamps = dict(zip(entries, _stamps(base / part, entries), strict=True))
        if entries and not any(stamps.values()):
            raise UserError(
                f"{list_file}: none of its {len(entries)} clips exists {_why_none(base / part, entries[0])}"
            )
        folder = f"{prefix_of(base)}{part}"
        clips += (
            ListedClip(f"{part}/{entry}", split, f"{folder}/{entry}.mp4", _rejection_reason(entry), stamp=stamps[entry])
            for entry in entries
        )
    return Listing(clips)


def _rejection_reason(entry: str) -> str:
    if entry.startswith("/") or ".." in entry.split("/"):
        return "its name leads out of the corpus"
    return "" if "/" in entry else "not `<programme id>/<clip>`: correct this line of the list"


def _stamps(part: Path, entries: Sequence[str]) -> Iterator[str]:
    """Yield the stamp of each entry, "" where there is no file; each folder is read once."""
    folders: dict[str, Entries] = {}
    for entry in entries:
        programme, _, clip = entry.rpartition("/")
        if _rejection_reason(entry):
            yield ""
            continue
        if programme not in folders:
            try:
                folders[programme] = scan(part / programme)
            except (OSError, ValueError):  # its clips are looked for one by one in the plan, which says what is wrong
                folders[programme] = {}
        yield stamp(folders[programme], f"{clip}.mp4")


def _why_none(part: Path, entry: str) -> str:
    """Return why none of a list's clips is there, as far as the folder that they should lie in shows it."""
    if _content(part) == "no video":
        return f"because {part}/ holds no video; unpack the videos there, or correct corpus.root"
    return f"(the first: {part.as_posix()}/{entry}.mp4); put the videos there, or correct corpus.root"


def _read_list(path: Path) -> Iterator[str]:
    """Yield `<programme>/<clip>` of each line; the flag that may follow it (`NF`, `MV`) is left out.

    Other people's ways to write it are understood: a path before it, `.mp4` behind it, commas, quotes, backslashes.
    """
    shape = "each line should be `<programme id>/<clip>`"
    try:
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except FileNotFoundError:
        near = next((f"; it lies in {folder}" for folder in path.parents[1:2] if (folder / path.name).is_file()), "")
        raise UserError(f"{path}: no such list; LRS2 comes with train.txt, val.txt and test.txt{near}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a list but binary data or no UTF-8; {shape}") from None
    except OSError as error:
        raise UserError(f"{path}: not a list that can be read ({error.strerror}); {shape}") from None
    if text.lstrip().lower().startswith(WEB_PAGE):
        raise UserError(f"{path}: a web page, not a list; download it again, with the corpus's name and password")
    if 3 * text.count("\0") > len(text):
        raise UserError(f"{path}: not a list but binary data, or UTF-16 without its mark; save it as UTF-8")
    for line in text.splitlines():
        if words := line.replace(",", " ").split():
            entry = words[0].strip("\"'").replace("\\", "/").removesuffix(".mp4")
            yield _below_part(entry).removeprefix("./")


def _below_part(entry: str) -> str:
    """Return what follows `main/` or `pretrain/` in a path, or the whole of it."""
    parts = entry.split("/")
    heads = [place for place, part in enumerate(parts[:-1]) if part in ("main", "pretrain")]
    return "/".join(parts[heads[-1] + 1 :]) if heads else entry


def lrs3_clips(root: Path, splits: Sequence[str], val_fraction: float) -> Listing:
    """Return LRS3's clips by split: `train` and `val` are whole speakers of trainval, chosen by a hash of their ids.

    pretrain is cut from the same talks as trainval (Afouras et al. 2018), so there the held-out speakers are refused.

    Args:
        root: folder that holds lrs3_v0.4/{pretrain,trainval,test}/<video id>/<clip>.mp4, or that folder; pretrain and
            test may be absent.
        splits: which splits to list.
        val_fraction: share of trainval's speakers in val: at least one, where there are two.

    Raises:
        UserError: no such layout, or only half of it.
    """
    base = _lrs3_base(root)
    wanted = {"trainval" if split in ("train", "val") else split for split in splits}
    trees = {part: walk(base / part, {".mp4"}) for part in LRS3_PARTS if part in wanted and (base / part).is_dir()}
    speakers = {_speaker(video) for video in trees["trainval"].files} if "trainval" in trees else set()
    held_out = set(rank_by_hash(speakers)[: n_held_out(len(speakers), val_fraction)])
    clips: list[ListedClip] = []
    for split in splits:
        part = "trainval" if split in ("train", "val") else split
        if part in trees:
            clips += sorted(_of_part(trees[part], base, part, split, held_out))
    notes: dict[str, list[str]] = {}
    for part, tree in trees.items():
        for note, paths in left_out(tree).items():
            notes.setdefault(note, []).extend(f"{part}/{path}" for path in paths)
    return Listing(clips, notes)


def _speaker(video: str) -> str:
    return video.split("/", 1)[0]


def _of_part(tree: Tree, base: Path, part: str, split: str, held_out: set[str]) -> Iterator[ListedClip]:
    for video, its_stamp in tree.files.items():
        is_held_out = _speaker(video) in held_out
        if part == "trainval" and is_held_out != (split == "val"):
            continue
        clip, reason = printable(f"{part}/{video}")
        if split == "pretrain" and is_held_out:
            reason = HELD_OUT
        whole = f"{prefix_of(base)}{clip}"
        yield ListedClip(clip.removesuffix(".mp4"), split, whole, reason, stamp=its_stamp)
    if split != "val":
        yield from (unreadable(base, f"{part}/{path}", split, fault) for path, fault in tree.unreadable.items())


# ---- where it lies ----------------------------------------------------------------------------------------------


def _bases(root: Path, name: str) -> list[Path]:
    """Return the folders that may be a corpus: its usual name, the root, and what lies in the root or one below."""
    try:
        folders = [root / entry for entry, found in sorted(scan(root).items()) if found.is_dir() and entry[0] != "."]
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror}); name a folder that can") from None
    bases = [root / name, root, *folders, *(folder / name for folder in folders)]
    return [base for base in dict.fromkeys(bases) if base.is_dir()]


def _lrs2_base(root: Path) -> Path:
    bases = [base for base in _bases(root, LRS2) if (base / "main").is_dir()] if root.is_dir() else []
    if not bases:
        raise _no_layout(root, LRS2, "main")
    return max(bases, key=lambda base: sum((base / name).is_file() for name in LISTS))


def _lrs3_base(root: Path) -> Path:
    """Return the folder with trainval/; its other parts must not lie elsewhere.

    Raises:
        UserError: no trainval/ with videos, or parts with videos in several folders.
    """
    bases = _bases(root, LRS3) if root.is_dir() else []
    places = {base: [part for part in LRS3_PARTS if (base / part).is_dir()] for base in bases}
    places = {base: parts for base, parts in places.items() if parts}
    if not places:
        raise _no_layout(root, LRS3, "trainval")
    found = {(base, part): _content(base / part) for base, parts in places.items() for part in parts}
    base = next((base for (base, part), content in found.items() if part == "trainval" and content == "videos"), None)
    if base and not any(content == "videos" and place != base for (place, _), content in found.items()):
        return base
    said = ", ".join(f"{place}/{part} has {content}" for (place, part), content in found.items())
    fix = f"put pretrain/, trainval/ and test/ with their videos side by side into one {LRS3}/"
    raise UserError(f"corpus.root: {root}: LRS3 is only half unpacked ({said}); {fix}")


def _no_layout(root: Path, name: str, part: str) -> UserError:
    wrong = f"no {name}/{part}/ in it" if root.is_dir() else "no such folder"
    return UserError(f"corpus.root: {root}: {wrong}; name the folder that holds {name}/")


def _content(part: Path) -> str:
    """Say whether an .mp4 lies in a part of a corpus, `<part>/<speaker>/<clip>.mp4`."""
    try:
        folders = [part / name for name, entry in scan(part).items() if entry.is_dir()]
        if any(name.lower().endswith(".mp4") and name[0] != "." for folder in folders for name in scan(folder)):
            return "videos"
    except OSError as error:
        return f"something that cannot be read ({error.strerror})"
    return "no video"


class Transcript(NamedTuple):
    """What an LRS transcript says; of no transcript, nothing."""

    text: str = ""
    conf: float | None = None  # `Conf:`, the corpus's own confidence in the text
    asd: float | None = None  # mean of the words' ASDSCORE, by which the corpus chose the speaker; pretrain has them


def read_transcript(path: Path) -> Transcript:
    """Return what is said in a clip, and how sure the corpus is of it, by an LRS transcript.

    The other lines (`Ref:`, face boxes, word times) do not concern this pipeline. Of a larger file than any transcript
    only the beginning is read, and of what is no regular file (a pipe would never end), nothing.
    """
    if not is_file(str(path)):
        return Transcript()
    try:
        with path.open("rb") as file:
            lines = file.read(TRANSCRIPT_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return Transcript()
    text, conf = (_after(lines, head) for head in ("Text:", "Conf:"))
    return Transcript(text, _number(conf), _mean_asd(lines))


def _after(lines: Sequence[str], head: str) -> str:
    """Return the rest of the first line that begins so, "" where none does."""
    return next((line.removeprefix(head).strip() for line in lines if line.startswith(head)), "")


def _mean_asd(lines: Sequence[str]) -> float | None:
    """Return the mean of the column ASDSCORE, which follows a line that names it."""
    if WORD_COLUMNS not in lines:
        return None
    rows = (line.split() for line in lines[lines.index(WORD_COLUMNS) + 1 :])
    scores = [
        score for row in rows if len(row) == len(WORD_COLUMNS.split()) and (score := _number(row[-1])) is not None
    ]
    return sum(scores) / len(scores) if scores else None


def _number(text: str) -> float | None:
    """Return a number that comes from data; None where it is none, or no finite one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
