"""The figures of the table: their names, how they are printed, and the columns of a file of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

PIXELS = "-"  # scorer of a figure that no network is behind
SCORE_COLUMNS = ["method", "protocol", "clip", "metric", "scorer", "value", "status", "reason"]
SET_COLUMNS = ["ci_low", "ci_high"]  # of figures of a whole set, whose clip is "": their intervals come with them
OPENING = "mouth_opening"  # its rows carry a trace over the frames in the column `series`; not a figure of the table


@dataclass(frozen=True)
class Metric:
    """How a figure is printed, and what it says."""

    label: str
    better: str  # "↑" higher, "↓" lower, "" neither
    digits: int
    meaning: str

    @property
    def heading(self) -> str:
        """Label and direction."""
        return f"{self.label} {self.better}".strip()


METRICS = {
    "lse_c": Metric("LSE-C", "↑", 2, "SyncNet's confidence: median minus minimum of the distance over 31 shifts"),
    "lse_d": Metric("LSE-D", "↓", 2, "SyncNet's distance between lips and sound at the best shift"),
    "sync_offset": Metric("Offset", "", 1, "best shift in frames; positive: the sound is early"),
    "fid": Metric("FID", "↓", 2, "Fréchet distance between the aligned crops of the set and those of the real clips"),
    "ssim": Metric("SSIM", "↑", 3, "structural similarity of aligned crops"),
    "psnr": Metric("PSNR", "↑", 2, "peak signal-to-noise ratio of aligned crops, in dB"),
    "flicker_mouth": Metric(
        "Flicker, mouth",
        "↓",
        2,
        "mean |change of the error from frame to frame| under the mouth mask, in grey levels (0..510), of crops of at "
        "most 96 px",
    ),
    "flicker_rest": Metric("Flicker, rest", "↓", 2, "the same outside the mouth mask"),
    "lmd": Metric(
        "LMD",
        "↓",
        2,
        "distance of the lip landmarks from the real ones, in pixels of a 96 px crop",
    ),
    "mouth_corr": Metric("Mouth r", "↑", 2, "Pearson correlation of the mouth opening, real against generated"),
    "opening_error": Metric(
        "Opening error",
        "↓",
        3,
        "mean |generated - real mouth opening|, in distances between the eyes (0 closed, about 0.3 wide open)",
    ),
    "mouth_std_ratio": Metric("Moves", "↓", 2, "std of the mouth opening when driven by silence, over that with sound"),
}

METHODS = ["real", "reconstruction", "frozen", "syncdiff"]
METHOD_LABELS = {
    "real": "real video",
    "reconstruction": "autoencoder round trip",
    "frozen": "frozen mouth",
    "syncdiff": "SyncDiff",
}
DRIFT = {"opening_error": 0, "ssim": 0, "flicker_mouth": 1}  # metrics with a `series`: the frame where it begins
PROTOCOLS = {
    "paired": "Driven by the clip's own audio: fidelity and sync against the real video.",
    "cross": "Driven by another clip's audio. Real video under it, as the frozen mouth, is the floor of LSE-C.",
    "silent": "Driven by silence, scored against the clip's own audio: LSE-C near real video's means copied lips.",
}


def method_label(method: str) -> str:
    """Return the name under which a method is printed: experiments and external ones keep their own."""
    return METHOD_LABELS.get(method, method)


def in_order(frame: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Sort rows with the columns method, protocol and metric as a table is read; further `methods` follow the usual."""
    orders = {"protocol": [*PROTOCOLS], "method": [*dict.fromkeys([*METHODS, *methods])], "metric": [*METRICS]}
    ranks = frame[[*orders]].apply(lambda column: column.map(orders[column.name].index))
    return frame.loc[ranks.sort_values([*orders], kind="stable").index].reset_index(drop=True)
