"""Frames a second of dubbing, end to end and of each part alone, by the size of the picture, on one core and on two.

python benchmarks/dub.py [--model RUN_FOLDER] [--seconds 3] [--heights 360 1080 2160] [--cores 1 2] [--before CHECKOUT];
writes benchmarks/results/dub.json. The video is one clip of the demo corpus, rendered here, scaled to 16 by 9 and
repeated; without a model the networks have random weights and the demo's sizes, which take as long. Each figure is the
best of three. On a machine that has other work too, the frames a second of CPU time are what one core alone would do.
`--before` names another checkout of this repository, whose `LipSync.dub` is timed on the same videos.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from machine import machine, save
from memory import enlarge, peak_mb, rendered, repeat

from syncdiff.config import parse_config
from syncdiff.dubbing.cues import look
from syncdiff.dubbing.dub import dub
from syncdiff.dubbing.mouths import AHEAD
from syncdiff.dubbing.wishes import Wishes
from syncdiff.media.encode import write_pictures
from syncdiff.media.pictures import Video
from syncdiff.models.autoencoder import build_autoencoder
from syncdiff.models.denoiser import Denoiser
from syncdiff.models.pretrained import AUTOENCODER, DENOISER, read_pretrained_config, save_pretrained
from syncdiff.synthesis.generate import Networks, Target, generate, load_networks

REPEATS = 3
BEFORE = """
import json, os, sys, time
model, video, out, cores, repeats = sys.argv[1:]
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:int(cores)]))
import torch
torch.set_num_threads(int(cores))
from syncdiff import LipSync
lips, times = LipSync.from_pretrained(model, device="cpu"), []
for _ in range(int(repeats) + 1):
    start, before = time.monotonic(), sum(os.times()[:4])
    lips.dub(video, video, out)
    times.append((time.monotonic() - start, sum(os.times()[:4]) - before))
print(json.dumps(times[1:]))  # at first, libraries are loaded
"""


def main() -> None:
    """Measure each size and number of cores in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--heights", nargs="*", type=int, default=[360, 1080, 2160])
    parser.add_argument("--cores", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--before", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, clip = arguments.model or random_model(folder / "model"), rendered(folder)
        for height in arguments.heights:
            large = enlarge(clip, folder / f"large-{height}.mp4", height)
            video = repeat(large, arguments.seconds / 60, folder / f"{height}.mp4")
            for cores in arguments.cores:
                with get_context("spawn").Pool(1) as pool:
                    row = {"height": height, "cores": cores} | pool.apply(measured, (model, video, cores))
                if arguments.before:
                    row |= before(arguments.before, model, video, cores, row["frames"])
                rows.append(row | {"load": machine()["load"]})
                print(rows[-1], flush=True)
    save("dub", {"weights": "random" if arguments.model is None else "trained", "best_of": REPEATS, "rows": rows})


def random_model(folder: Path) -> Path:
    """Write a model of the demo's sizes."""
    config = parse_config({})
    build_autoencoder(config.autoencoder).save_pretrained(folder / "trained")
    save_pretrained(config, Denoiser(config), folder / "trained", folder)
    return folder


def measured(model: Path, video: Path, cores: int) -> dict[str, float]:
    """Return frames a second of the whole and of each part alone, and the peak of memory."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    torch.set_num_threads(cores)
    config = read_pretrained_config(model)
    networks = load_networks(config, model / DENOISER, model / AUTOENCODER, torch.device("cpu"))
    folder = video.parent
    source = Video(video)
    look(networks, source, folder, Wishes())  # libraries and models are loaded
    n_frames = len(deque(source.pictures()))
    parts: dict[str, Callable[[], object]] = {
        "end_to_end": lambda: dub(networks, video, video, folder / "out.mp4"),
        "network": lambda: deque(network(networks, n_frames), maxlen=0),
        "find_faces": lambda: look(networks, source, folder, Wishes()),
        "decode": lambda: deque(source.pictures(), maxlen=0),
        "decode_and_encode": lambda: write_pictures(folder / "copy.mp4", source.form, source.pictures(), None, ""),
    }
    figures: dict[str, float] = {}
    for name, part in parts.items():
        figures |= speeds(name, n_frames, [timed(part) for _ in range(REPEATS)])
    return {"frames": n_frames, **figures, "peak_mb": peak_mb()}


def before(checkout: Path, model: Path, video: Path, cores: int, n_frames: int) -> dict[str, float]:
    """Return frames a second of another checkout's `LipSync.dub`, in a process of its own."""
    arguments = [model.absolute(), video, video.with_name("before.mp4"), cores, REPEATS]
    done = subprocess.run(
        [sys.executable, "-c", BEFORE, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    )
    return speeds("before", n_frames, json.loads(done.stdout.splitlines()[-1]))


def speeds(name: str, n_frames: int, times: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the best of frames a second, of wall time and of CPU time."""
    wall, cpu = (min(each) for each in zip(*times, strict=True))
    return {
        f"{name}_frames_per_s": round(n_frames / wall, 1),
        f"{name}_frames_per_cpu_s": round(n_frames / cpu, 1),
    }


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return for how many seconds something ran, and how many of a core it and its children took."""
    start, before = time.monotonic(), sum(os.times()[:4])
    work()
    return time.monotonic() - start, sum(os.times()[:4]) - before


def network(networks: Networks, n_frames: int) -> Iterator[np.ndarray]:
    """Generate as many crops of noise."""
    size, speech = networks.config.faces.size, networks.config.speech
    crop = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    rows = np.random.default_rng(1).normal(size=(n_frames, 104 if speech.encoder == "avhubert" else 1280))
    target = Target((crop for _ in range(n_frames)), crop, rows.astype(np.float32), 0)
    return generate(networks, [target], ahead=AHEAD)


if __name__ == "__main__":
    main()
