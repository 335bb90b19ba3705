"""A results folder of three clips, with verdicts and scores, as the workflow would have written it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from syncdiff.media.video import write_video
from syncdiff.pipeline.files import write_parquet, write_text

CLIPS = {"a/1": (3.0, "ok", ""), "a/2": (1.0, "rejected", "blurred"), "b/1": (2.0, "ok", "")}
N_FRAMES = 12


def write_results(folder: Path) -> Path:
    """Write it, with real videos and those of the run `syncdiff` beside them; grey is real, bright is generated."""
    rows = pd.DataFrame({"clip": [*CLIPS]}).assign(stage="faces", status="ok", reason="", split="test")
    rows = rows.assign(file=rows["clip"], first_frame=0, n_frames=N_FRAMES, video="main/" + rows["clip"] + ".mp4")
    write_parquet(folder / "plan/clips.parquet", rows.drop(columns=["file", "first_frame"]))
    write_text(
        folder / "plan/clips.parquet.provenance.json",
        '{"config": {"corpus": {"root": null}}, "inputs": {}, "outputs": {}}',
    )
    write_parquet(folder / "test/faces/00000.parquet", rows.drop(columns=["split", "video"]))
    verdicts = rows.assign(
        stage="curation",
        status=[status for _, status, _ in CLIPS.values()],
        reason=[reason for *_, reason in CLIPS.values()],
        sharpness=[90.0, 4.0, 80.0],
    )
    write_parquet(folder / "curation.parquet", verdicts)
    scores = [
        {"protocol": protocol, "clip": clip, "metric": metric, "value": value * factor, "status": "ok"}
        for clip, (value, *_) in CLIPS.items()
        for protocol, factor in (("paired", 1), ("cross", 0.5))
        for metric in ("lse_c", "ssim")
    ]
    write_parquet(folder / "runs/syncdiff/scores.parquet", pd.DataFrame(scores).assign(method="syncdiff"))
    sound = np.zeros(640 * N_FRAMES, np.int16)
    for clip in CLIPS:
        for place, level in (("corpus/main", 90), ("runs/syncdiff/videos/paired", 200)):
            write_video(folder / place / f"{clip}.mp4", [np.full((48, 64, 3), level, np.uint8)] * N_FRAMES, [sound])
    return folder
