"""CPU seconds and bytes a frame of the stages plan, faces, priors, speech and shards, for crops of several sizes.

python benchmarks/stages.py [FOLDER OF MP4 FILES] [--clips 16] [--source "what they show"]; writes
benchmarks/results/stages.json, which `syncdiff estimate` reads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from machine import save

from syncdiff.config import Config, parse_config
from syncdiff.corpus.plan import inspect
from syncdiff.corpus.split import ListedClip
from syncdiff.faces.shard import faces_shard
from syncdiff.media.video import probe
from syncdiff.pipeline.files import read_parquet, write_parquet
from syncdiff.priors import priors_shard
from syncdiff.shards.pack import pack_shard
from syncdiff.shards.tar import read_shard
from syncdiff.speech.shard import speech_shard

SIZES = (64, 128, 256)
REPEATS = 3


def main() -> None:
    """Run each stage in this process, and keep its best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo/corpus"))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--source", default="the demo corpus")
    arguments = parser.parse_args()
    found = sorted(arguments.folder.rglob("*.mp4"))
    videos = found[:: max(1, len(found) // arguments.clips)][: arguments.clips]  # of all speakers
    if not videos:
        parser.error(f"{arguments.folder}: no mp4 files there")
    listed = [ListedClip(f"{index:05d}", "test", str(video), "") for index, video in enumerate(videos)]
    plan_s = cpu_s(lambda: [inspect(clip) for clip in listed])
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "clips.parquet"
        rows = pd.DataFrame({"clip": [clip.clip for clip in listed], "video": [clip.video for clip in listed]})
        write_parquet(plan, rows.assign(width=0, height=0, text="", status="ok", split="test", shard="00000"))
        sizes = {str(size): measure(parse_config({"faces": {"size": size}}), plan, Path(folder)) for size in SIZES}
        n_frames = int(read_parquet(Path(folder) / "faces.parquet")["n_frames"].sum())
    first = probe(videos[0])
    about = {"source": arguments.source, "clips": len(videos), "frames": n_frames}
    pictures = {"pictures": f"{first.width}x{first.height}"}
    save("stages", {**about, **pictures, "plan_cpu_s_per_clip": round(plan_s / len(videos), 5), "crops": sizes})


def measure(config: Config, plan: Path, folder: Path) -> dict[str, object]:
    """CPU milliseconds a frame of each stage on one shard, and the bytes a frame of the crops' video."""
    faces, priors, fbank, mel, packed = (folder / f"{name}.tar" for name in ("faces", "priors", "fbank", "mel", "out"))
    ledger, index, stats = (folder / name for name in ("faces.parquet", "index.parquet", "stats.json"))
    works: dict[str, Callable[[], object]] = {
        "faces": lambda: faces_shard(config, plan, "test", "00000", faces, ledger),
        "priors": lambda: priors_shard(config, faces, priors, folder / "priors.parquet"),
        "speech fbank": lambda: speech_shard(config, ["fbank"], faces, fbank, folder / "fbank.parquet"),
        "speech mel": lambda: speech_shard(config, ["mel"], faces, mel, folder / "mel.parquet"),
        "shards": lambda: pack_shard(config, faces, priors, fbank, packed, index, stats),
    }
    seconds = {stage: cpu_s(work) for stage, work in works.items()}
    n_frames = int(read_parquet(ledger)["n_frames"].sum())
    crop_bytes = sum(len(sample["crop.mp4"]) for sample in read_shard(faces))
    return {
        "cpu_ms_per_frame": {stage: round(1e3 * value / n_frames, 4) for stage, value in seconds.items()},
        "crop_bytes_per_frame": round(crop_bytes / n_frames),
    }


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of `work` over all threads: the best of some runs after one that loads what it needs."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    main()
