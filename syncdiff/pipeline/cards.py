"""Which GPU a job takes on a machine with several: one that no other job of the workflow there has."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

# The workflow sets it to their names, with commas, where it runs jobs beside each other itself.
CARDS = "SYNCDIFF_CARDS"
VISIBLE = "CUDA_VISIBLE_DEVICES"

_held: list[int] = []  # locks end with their process


def take_card(device: str) -> None:
    """Let this process see one card alone, if jobs share the cards of `SYNCDIFF_CARDS` and `device` names none of them.

    It must come before CUDA starts. A process of a training on several cards takes none: its number tells it which is
    its own. Where all are taken, it sees them all as before.
    """
    cards = [card for card in os.environ.get(CARDS, "").split(",") if card]
    if _held or len(cards) < 2 or device not in ("auto", "cuda") or "LOCAL_RANK" in os.environ:
        return
    for card in cards:
        path = Path(tempfile.gettempdir(), f"syncdiff-{os.getuid()}-card-{card}.lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        _held.append(lock)
        os.environ[VISIBLE] = card
        return
