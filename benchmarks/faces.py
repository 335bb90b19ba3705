"""CPU time of the stage `faces` (decode, landmarks, crop, write), beside FaceMesh alone; of face-alignment, in batches.

python benchmarks/faces.py [FOLDER OF MP4 FILES] [--clips 12] [--video FILE] [--weights FOLDER]; writes
benchmarks/results/faces.json. FILE shows one face, and is measured at 360p, 1080p and 4K too. FOLDER holds YuNet's
weights, for face-alignment's loop; 2DFAN-4 gets random ones.

What is compared runs in turn. The ratios are medians over the rounds, so that what else the machine does matters less.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from machine import save
from mediapipe.python.solutions.face_mesh import FaceMesh

from syncdiff.config import Faces, parse_config
from syncdiff.faces.fan import FanLandmarker
from syncdiff.faces.graphs import quiet
from syncdiff.faces.shard import faces_shard
from syncdiff.media.audio import stream_audio
from syncdiff.media.video import probe, read_frames, write_video
from syncdiff.pipeline.files import read_parquet, write_parquet

ROUNDS = 3
FRAMES = {360: 75, 1080: 75, 2160: 30}  # by the height of the copies of --video
FACES = 4  # frames with a face for face-alignment


def main() -> None:
    """Measure what there are files for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo/corpus"))
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    videos = sorted(arguments.folder.rglob("*.mp4"))[: arguments.clips]
    if not videos:
        parser.error(f"{arguments.folder}: no mp4 files there")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_stage(videos[:1], folder)  # loads the models
        result: dict[str, Any] = {"crop": parse_config({}).faces.size, "clips": len(videos), **compared(videos, folder)}
        if arguments.video:
            copies = [copy(arguments.video, height, folder) for height in FRAMES]
            result["sizes"] = [compared([video], folder) for video in copies]
        if arguments.weights:
            result["face_alignment"] = face_alignment(videos[0], arguments.weights, folder)
    save("faces", result)


def compared(videos: list[Path], folder: Path) -> dict[str, Any]:
    """The stage, and FaceMesh with its defaults and with the attention that the stage uses, over some videos."""
    ways: dict[str, Callable[[], int]] = {
        "stage": lambda: run_stage(videos, folder),
        "facemesh_alone": lambda: run_mesh(videos, attention=False),
        "facemesh_with_attention": lambda: run_mesh(videos, attention=True),
    }
    runs = in_turn(ways)
    first = probe(videos[0])
    return {
        "pictures": f"{first.width}x{first.height}",
        **{name: figures(times) for name, times in runs.items()},
        **{f"stage_to_{name}": ratio(runs["stage"], runs[name]) for name in list(ways)[1:]},
    }


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


def run_mesh(videos: list[Path], attention: bool) -> int:
    """MediaPipe's FaceMesh and decoding, nothing else; returns the frames seen."""
    n_frames = 0
    with quiet():
        mesh = FaceMesh(refine_landmarks=attention)
    for video in videos:
        for frame in read_frames(video):
            mesh.process(frame)
            n_frames += 1
    mesh.close()
    return n_frames


def copy(video: Path, height: int, folder: Path) -> Path:
    """Write the beginning of a video as 16:9 of another height; what it lacks beside its frames is their edge."""
    path = folder / f"{height}.mp4"

    def frames() -> Iterator[np.ndarray]:
        for frame in islice(read_frames(video), FRAMES[height]):
            side = max(round(frame.shape[0] * 16 / 9) - frame.shape[1], 0) // 2
            wide = cv2.copyMakeBorder(frame, 0, 0, side, side, cv2.BORDER_REPLICATE)
            yield cv2.resize(wide, (height * 16 // 9, height), interpolation=cv2.INTER_CUBIC)

    write_video(path, frames(), stream_audio(video))
    return path


def face_alignment(video: Path, weights: Path, folder: Path) -> dict[str, Any]:
    """face-alignment with YuNet: its own loop, a frame at a time, and ours on the CPU; in torch's threads."""
    from face_alignment.models import FAN

    shutil.copytree(weights, folder, dirs_exist_ok=True)
    torch.save(FAN(4).state_dict(), folder / "2DFAN4-11f355bf06.pth.tar")
    settings = Faces(backend="face_alignment", detector="yunet", weights=str(folder))
    landmarker = FanLandmarker(settings, "cpu")
    frames = list(islice(read_frames(video), FACES))

    def one_by_one() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "No faces were detected."
            return len([landmarker._network.get_landmarks_from_image(frame) for frame in frames])

    runs = in_turn({"batched": lambda: len(list(landmarker.track(frames))), "one_by_one": one_by_one})
    both = {name: figures(times) for name, times in runs.items()}
    return {
        "torch_threads": torch.get_num_threads(),
        **both,
        "one_by_one_to_batched": ratio(*list(runs.values())[::-1]),
    }


Times = list[tuple[float, float]]


def in_turn(ways: dict[str, Callable[[], int]]) -> dict[str, Times]:
    """Run all in turn, several times: milliseconds a frame by the wall clock, and of CPU in all threads."""
    runs: dict[str, Times] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            n_frames = work()
            ends = time.perf_counter() - wall, time.process_time() - cpu
            runs[name].append((1e3 * ends[0] / n_frames, 1e3 * ends[1] / n_frames))
    return runs


def ratio(runs: Times, others: Times) -> float:
    """The median over the rounds of how much more CPU time one took than another."""
    return round(median(one[1] / other[1] for one, other in zip(runs, others, strict=True)), 2)


def figures(runs: Times) -> dict[str, float]:
    """The best of several runs, by each clock."""
    wall, cpu = (min(run[clock] for run in runs) for clock in (0, 1))
    return {
        "frames_per_s": round(1e3 / wall, 1),
        "frames_per_cpu_s": round(1e3 / cpu, 1),
        "cpu_ms_per_frame": round(cpu, 3),
    }


if __name__ == "__main__":
    main()
