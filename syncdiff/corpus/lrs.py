"""LRS2-BBC and LRS3-TED as they lie on disk: folders, list files, transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from syncdiff.corpus.split import ListedClip, is_file, n_held_out, printable, rank_by_hash
from syncdiff.errors import UserError

LRS2 = "mvlrs_v1"
LRS3 = "lrs3_v0.4"
TRANSCRIPT_BYTES = 1 << 20


def lrs2_clips(root: Path, splits: Sequence[str]) -> Iterator[ListedClip]:
    """Yield the clips that LRS2's list files name, by split, each split sorted and without repetitions.

    Args:
        root: folder that holds mvlrs_v1/{main,pretrain}/<programme>/<clip>.mp4 and mvlrs_v1/<split>.txt.
        splits: which lists to read; all but pretrain.txt must be there.

    Raises:
        UserError: no such layout, a list is missing, or none of the clips that a list names exists.
    """
    base = _layout(root, LRS2, "main")
    for split in splits:
        part = "pretrain" if split == "pretrain" else "main"
        list_file = base / f"{split}.txt"
        if split == "pretrain" and not list_file.exists():
            continue
        prefix = f"{base.as_posix()}/{part}/"
        entries = sorted(set(_read_list(list_file)))
        if entries and not any(is_file(f"{prefix}{entry}.mp4") for entry in entries):
            raise UserError(
                f"{list_file}: none of its {len(entries)} clips exists (the first: {prefix}{entries[0]}.mp4); "
                f"put the videos there, or correct corpus.root"
            )
        for entry in entries:
            reason = "its name leads out of the corpus" if ".." in entry.split("/") else ""
            yield ListedClip(f"{part}/{entry}", split, f"{prefix}{entry}.mp4", reason)


def _read_list(path: Path) -> Iterator[str]:
    """Yield `<programme>/<clip>` of each line; the flag that may follow it (`NF`, `MV`) is left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such list; LRS2 comes with train.txt, val.txt and test.txt") from None
    except (UnicodeDecodeError, OSError):
        raise UserError(f"{path}: not a list; each line should be `<programme id>/<clip>`") from None
    for line in lines:
        if words := line.split():
            yield words[0]


def lrs3_clips(root: Path, splits: Sequence[str], val_fraction: float) -> Iterator[ListedClip]:
    """Yield LRS3's clips by split: `train` and `val` are whole speakers of trainval, chosen by a hash of their ids.

    pretrain is cut from the same talks as trainval (Afouras et al. 2018), so there the held-out speakers are refused.

    Args:
        root: folder that holds lrs3_v0.4/{pretrain,trainval,test}/<video id>/<clip>.mp4; pretrain may be absent.
        splits: which splits to list.
        val_fraction: share of trainval's speakers in val: at least one, where there are two.

    Raises:
        UserError: no such layout.
    """
    base = _layout(root, LRS3, "trainval")
    speakers = _folders(base / "trainval")
    held_out = set(rank_by_hash(speakers)[: n_held_out(len(speakers), val_fraction)])
    for split in splits:
        part = "trainval" if split in ("train", "val") else split
        for speaker in _folders(base / part):
            if part == "trainval" and (speaker in held_out) != (split == "val"):
                continue
            refused = split == "pretrain" and speaker in held_out
            reason = "its speaker is held out for validation" if refused else ""
            yield from _lrs3_speaker(base, f"{part}/{speaker}", split, reason)


def _lrs3_speaker(base: Path, folder: str, split: str, reason: str) -> Iterator[ListedClip]:
    for video in sorted(path.name for path in (base / folder).iterdir() if path.suffix == ".mp4"):
        clip, unreadable = printable(f"{folder}/{video}")
        yield ListedClip(clip.removesuffix(".mp4"), split, f"{base.as_posix()}/{clip}", reason or unreadable)


def _folders(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir() if child.is_dir()) if path.is_dir() else []


def _layout(root: Path, name: str, part: str) -> Path:
    """Return `root/name`, or `root` where that is already the corpus folder itself."""
    for base in (root / name, root):
        if (base / part).is_dir():
            return base
    wrong = f"no {name}/{part}/ in it" if root.is_dir() else "no such folder"
    raise UserError(f"corpus.root: {root}: {wrong}; name the folder that holds {name}/")


def read_text(transcript: Path) -> str:
    """Return what is said in a clip: the `Text:` line of an LRS transcript, "" where there is none.

    The other lines (`Conf:`, `Ref:`, face boxes, word times) do not concern this pipeline. Of a larger file than any
    transcript only the beginning is read, and of what is no regular file (a pipe would never end), nothing.
    """
    if not is_file(str(transcript)):
        return ""
    try:
        with transcript.open("rb") as file:
            lines = file.read(TRANSCRIPT_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("Text:").strip() for line in lines if line.startswith("Text:")), "")
