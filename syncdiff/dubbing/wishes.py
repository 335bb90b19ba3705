"""How a video is to be dubbed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from syncdiff.dubbing.silence import THRESHOLD_DB
from syncdiff.dubbing.timeline import Length
from syncdiff.media.encode import CRF


@dataclass(frozen=True)
class Wishes:
    """How a video is dubbed.

    face: `largest` of each frame, `speaking` (needs `syncnet`), or the number of a person; several with commas.
    length: `shortest` of picture and sound; `sound`, the video goes on there and back; `video`, silence follows.
    silence_db: below that level of full scale the sound is silent, and the mouth closes; None: it never does.
    crf: quality of the pictures, 0 to 51, lower is better.
    syncnet: weights; the report then has LSE before and after.
    """

    face: str = "largest"
    length: Length = "shortest"
    silence_db: float | None = THRESHOLD_DB
    crf: int = CRF
    syncnet: Path | None = None
