"""Frames per second and core of the stage `faces` (decode, landmarks, crop, write), beside FaceMesh alone.

python benchmarks/faces.py [FOLDER OF MP4 FILES] [--clips 12]; writes benchmarks/results/faces.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from machine import save
from mediapipe.python.solutions.face_mesh import FaceMesh

from syncdiff.config import parse_config
from syncdiff.faces.shard import faces_shard
from syncdiff.media.video import probe, read_frames
from syncdiff.pipeline.files import read_parquet, write_parquet


def main() -> None:
    """Run both, three times in turn, and keep each one's best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo/corpus"))
    parser.add_argument("--clips", type=int, default=12)
    arguments = parser.parse_args()
    videos = sorted(arguments.folder.rglob("*.mp4"))[: arguments.clips]
    if not videos:
        parser.error(f"{arguments.folder}: no mp4 files there")
    with tempfile.TemporaryDirectory() as folder:
        stage, mesh = [], []
        run_stage(videos[:1], Path(folder))  # loads the models
        for _ in range(3):
            stage.append(timed(lambda: run_stage(videos, Path(folder))))
            mesh.append(timed(lambda: run_mesh(videos)))
    first = probe(videos[0])
    result = {
        "clips": len(videos),
        "pictures": f"{first.width}x{first.height}",
        "crop": parse_config({}).faces.size,
        "stage": figures(stage),
        "facemesh_alone": figures(mesh),
        "stage_to_facemesh": round(min(cpu for _, cpu in stage) / min(cpu for _, cpu in mesh), 2),
    }
    save("faces", result)


def run_stage(videos: list[Path], folder: Path) -> int:
    """The whole stage on one shard in this process; returns the frames written."""
    rows = [
        {"clip": f"{index:05d}", "video": str(video), "width": 0, "height": 0, "text": ""}
        for index, video in enumerate(videos)
    ]
    plan, ledger = folder / "clips.parquet", folder / "faces.parquet"
    write_parquet(plan, pd.DataFrame(rows).assign(status="ok", split="test", shard="00000"))
    faces_shard(parse_config({}), plan, "test", "00000", folder / "faces.tar", ledger, workers=1)
    return int(read_parquet(ledger)["n_frames"].sum())


def run_mesh(videos: list[Path]) -> int:
    """MediaPipe's FaceMesh with its defaults and decoding, nothing else; returns the frames seen."""
    n_frames = 0
    with FaceMesh() as mesh:
        for video in videos:
            for frame in read_frames(video):
                mesh.process(frame)
                n_frames += 1
    return n_frames


def timed(work: Callable[[], int]) -> tuple[float, float]:
    """Milliseconds a frame of `work`, which returns its frames: by the wall clock, and of CPU over all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    n_frames = work()
    return 1e3 * (time.perf_counter() - wall) / n_frames, 1e3 * (time.process_time() - cpu) / n_frames


def figures(runs: list[tuple[float, float]]) -> dict[str, float]:
    """The best of several runs, by each clock."""
    wall, cpu = (min(run[clock] for run in runs) for clock in (0, 1))
    return {
        "frames_per_s": round(1e3 / wall, 1),
        "frames_per_cpu_s": round(1e3 / cpu, 1),
        "cpu_ms_per_frame": round(cpu, 3),
    }


if __name__ == "__main__":
    main()
