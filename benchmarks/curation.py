"""What curation finds of known faults: its verdicts held against the truth about a corpus.

python benchmarks/curation.py CURATION TRUTH [NAME]; writes benchmarks/results/curation_NAME.json (by default demo).
CURATION is a curation.parquet; TRUTH the truth/faults.csv of a demo corpus with `corpus.demo.faults`, or of
benchmarks/curation_grid.py. Clips without a row in TRUTH count as good.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from machine import save

Tracks = Sequence[Mapping[Any, Any]]  # rows of the curation about one clip, those that are kept: a row for each face


def main() -> None:
    """Judge one curation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curation", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("name", nargs="?", default="demo")
    arguments = parser.parse_args()
    figures = judge(pd.read_parquet(arguments.curation), pd.read_csv(arguments.truth))
    save(f"curation_{arguments.name}", figures)


def judge(curation: pd.DataFrame, truth: pd.DataFrame) -> dict[str, object]:
    """Return what was found of each kind of fault, and what was lost of good clips; all shares of clips.

    Args:
        curation: columns video, status (`ok`: kept), offset (frames, positive: the sound is early), shift (frames by
            which a kept clip's sound is corrected), and of faces that are kept face_x (pixels), first_frame, n_frames.
        truth: columns as in `syncdiff.corpus.demo.faults.COLUMNS`.

    Returns:
        `good`: clips, lost (nothing kept), shifted (kept with another sound offset). `wrong_sound`: clips, found, of
        shifted and swapped together. For each kind of fault: clips, found (see `found`); for `shifted` also
        offset_right (measured) and corrected (kept, with the right shift).
    """
    clips = dict(iter(curation.assign(clip=curation["video"].map(clip_of)).groupby("clip")))
    kept = {clip: rows[rows["status"] == "ok"].to_dict("records") for clip, rows in clips.items()}
    faults = {row["clip"]: row for row in truth.to_dict("records") if row["clip"] in clips}
    good = [kept[clip] for clip in clips if clip not in faults]
    figures: dict[str, object] = {"good": _good(good), "not_in_curation": len(truth) - len(faults)}
    is_found = {clip: found(row, kept[clip]) for clip, row in faults.items()}
    kinds = {kind: [clip for clip, row in faults.items() if row["fault"] == kind] for kind in set(truth["fault"])}
    wrong = kinds.get("shifted", []) + kinds.get("swapped", [])
    for name, members in {"wrong_sound": wrong, **dict(sorted(kinds.items()))}.items():
        figures[name] = {"clips": len(members), "found": _share([is_found[clip] for clip in members])}
    if shifted := kinds.get("shifted"):
        measured = [faults[clip]["offset"] in set(clips[clip]["offset"]) for clip in shifted]
        corrected = [any(row["shift"] == -faults[clip]["offset"] for row in kept[clip]) for clip in shifted]
        figures["shifted"] |= {"offset_right": _share(measured), "corrected": _share(corrected)}  # type: ignore[operator]
    return figures


def found(fault: Mapping[Any, Any], kept: Tracks) -> bool:
    """Say whether a fault does no more harm: nothing of the clip is kept that has it.

    A shifted sound may be corrected, by whatever offset; of two people the speaker may be kept, and frames that are
    before or after a cut, a hand or a silence.
    """
    return not any(_harms(fault, row) for row in kept)


def _harms(fault: Mapping[Any, Any], row: Mapping[Any, Any]) -> bool:
    if fault["fault"] == "shifted":
        return not row["shift"]
    if fault["fault"] == "listener":
        return not fault["left"] <= row["face_x"] <= fault["right"]
    if fault["fault"] in ("cut", "hand", "muted"):
        first, last = fault["first_frame"], fault["last_frame"]
        return bool(row["first_frame"] <= last and first < row["first_frame"] + row["n_frames"])
    return True


def clip_of(video: str) -> str:
    """Return a clip's name in the truth, `main/<programme>/<clip>`: the end of its video's path."""
    return "/".join(PurePosixPath(video).with_suffix("").parts[-3:])


def _good(kept: Sequence[Tracks]) -> dict[str, object]:
    shifted = [any(row["shift"] for row in rows) for rows in kept]
    return {"clips": len(kept), "lost": _share([not rows for rows in kept]), "shifted": _share(shifted)}


def _share(is_so: Sequence[bool]) -> float | None:
    return round(sum(is_so) / len(is_so), 4) if is_so else None


if __name__ == "__main__":
    main()
