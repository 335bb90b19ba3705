"""What is measured of a clip: names, units, meanings, and on which side a value is a bad one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True)
class Measure:
    """A measure; `curate.min_<name>` or `curate.max_<name>` is its threshold.

    limit: `min`: small values are bad ones; `max`: large ones; of `SIGNED` ones those far from 0, on either side.
    digits: behind the point.
    kept: a column of the parquet that the stage `measures` writes; else it follows from all clips together.
    """

    label: str
    limit: Literal["min", "max"]
    meaning: str
    unit: str = ""
    digits: int = 2
    kept: bool = True


MEASURES = {
    "confidence": Measure("Sync confidence", "min", "SyncNet: median minus minimum of the distance over 31 shifts"),
    "chance": Measure(
        "Chance", "max", "share of other clips' sounds that would pass for its own", digits=3, kept=False
    ),
    "offset": Measure("Offset", "max", "best shift; positive: the sound is early", "frames", digits=0),
    "lse_d": Measure("LSE-D", "max", "SyncNet's distance at the best shift"),
    "in_sync": Measure("In sync", "min", "share of windows whose own best shift is within 1 of the clip's"),
    "face_px": Measure("Face", "min", "side of the square that becomes the crop, in the source", "pixels", digits=0),
    "sharpness": Measure(
        "Sharpness", "min", "variance of the Laplacian at the mouth, in grey levels of the crop", digits=0
    ),
    "blockiness": Measure("Blockiness", "max", "steps between pixels at borders of 8 x 8 blocks over those elsewhere"),
    "yaw": Measure("Yaw", "max", "median; positive: towards the right of the picture", "degrees", digits=0),
    "pitch": Measure("Pitch", "max", "median; positive: upwards", "degrees", digits=0),
    "turning": Measure("Turning", "max", "5th to 95th percentile of yaw or pitch, the wider one", "degrees", digits=0),
    "jitter": Measure("Jitter", "max", "noise of still landmarks", "% of the eyes' distance"),
    "loudness": Measure("Loudness", "min", "level of the sound, root mean square", "dBFS", digits=1),
    "speech": Measure("Speech", "min", "share of frames whose sound is as loud as speech in this clip"),
    "conf": Measure("Conf", "min", "the corpus's own confidence in its transcript", digits=1, kept=False),
    "asd": Measure("ASD", "min", "the corpus's own active-speaker score, mean over words", kept=False),
    "deviation": Measure(
        "Deviation",
        "max",
        "robust standard deviations from the corpus's median, on the bad side: the largest of sharpness, blockiness, "
        "jitter and loudness",
        digits=1,
        kept=False,
    ),
}
SYNC = ("confidence", "offset", "lse_d", "in_sync")  # NaN without a SyncNet
KEPT = tuple(name for name, measure in MEASURES.items() if measure.kept)
SIGNED = ("offset", "yaw", "pitch")  # whose thresholds hold on both sides of 0
WRONG = ("wrong_confidence", "wrong_offset")  # lists: of a clip with the sound of others
COMPARED = {"sharpness": "min", "blockiness": "max", "jitter": "max", "loudness": "min"}  # in `deviation`


class Place(NamedTuple):
    """Where a clip lies: in which video (as the ledger names it), and which of its frames."""

    clip: str
    video: str
    first_frame: int
    n_frames: int

    def overlaps(self, other: Place) -> bool:
        """Say whether two clips have frames of a video in common: faces of one scene."""
        first, second = sorted(((self.first_frame, self.n_frames), (other.first_frame, other.n_frames)))
        return self.video == other.video and second[0] < sum(first)
