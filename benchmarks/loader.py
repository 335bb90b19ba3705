"""How long a GPU would wait for training batches, with one core to make them.

python benchmarks/loader.py [--steps 1500] [--before COMMIT]; writes benchmarks/results/loader.json. The shards are
synthetic, at config/lrs2.yaml's sizes: latents of 32 x 16 x 16, fbank, 256 samples a step, 25,000 frames a shard, of
which there is one, under several names, so that it is read from memory: a disk's own time is not in the figures. The
GPU is a sleep of 17 ms: what a step of that recipe takes at 40 % of an H100's peak. Each way runs in a process of its
own, which stays on one core; `cpu_share` is what the process used of it, without workers, so that a core that other
programs shared can be told: `waiting_share` is more than it would be alone.

The named alternative is webdataset's usual loader, as its README has it: shards to clips to samples, shuffled in a
buffer, batched, in a worker process. `--before` adds the loader of a commit, beside the same stand-in.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import webdataset
from machine import one_core, save

from syncdiff.config import load_config
from syncdiff.media.video import write_crops
from syncdiff.models.cost import NetworkCosts
from syncdiff.priors import reduce_pose
from syncdiff.shards.tar import decode_npy, encode_npy, read_shard, to_json, write_shard
from syncdiff.training import windows as present
from syncdiff.training.latents import MEMBERS, decode_clip
from syncdiff.training.rounds import next_ahead
from syncdiff.training.source import Shard, Source

ROOT = Path(__file__).resolve().parents[1]
STEP_S = 0.017
SHARDS, CLIPS, FRAMES = 8, 175, 143  # clips of LRS2's mean length
CROP_CLIPS = 20
BUFFER = 5000  # samples that webdataset shuffles
CONFIG = load_config(str(ROOT / "config/lrs2.yaml"), need_root=False)
WINDOW, BATCH = CONFIG.speech.window_frames, CONFIG.train.batch_size


def main() -> None:
    """Measure each way in turn, and the decoding of crops."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=1500)
    options.add_argument("--before", help="a commit whose loader is measured too")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shards = latent_shards(Path(folder))
        ways: dict[str, tuple[Callable[..., Iterator[Any]], Any]] = {
            "shards": (from_shards, shards),
            "webdataset": (from_webdataset, shards),
        }
        if asked.before:
            source = ["git", "show", f"{asked.before}:syncdiff/training/windows.py"]
            code = subprocess.run(source, cwd=ROOT, check=True, capture_output=True, text=True).stdout
            ways[f"commit {asked.before}"] = (from_code, (code, shards))
        result = {name: alone(waiting, *way, asked.steps) for name, way in ways.items()}
        decoding = alone(crops_per_s, joined_shard(Path(folder)))
    setting = {
        "step_ms": 1e3 * STEP_S,
        "batch": BATCH,
        "latents": list(NetworkCosts(CONFIG).latent_shape),
        "window": WINDOW,
    }
    setting |= {"steps": asked.steps, "frames_a_shard": CLIPS * FRAMES, "crop": CONFIG.faces.size}
    save("loader", {**result, "crops_decoded_per_s_and_core": decoding, "setting": setting})


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run `work` in a new process on one core."""
    with ProcessPoolExecutor(1, get_context("spawn"), one_core) as processes:
        return processes.submit(work, *arguments).result()


def waiting(batches: Callable[..., Iterator[Any]], source: Any, steps: int) -> dict[str, float]:
    """Take batches and sleep, in turn; return which share of the time was spent on waiting for a batch."""
    before = resident_mb()
    stream = batches(source)
    start = time.perf_counter()
    next(stream)
    first, waits = time.perf_counter() - start, []
    start, used = time.perf_counter(), time.process_time()
    for _ in range(steps - 1):
        asked = time.perf_counter()
        next(stream)
        waits.append(time.perf_counter() - asked)
        time.sleep(STEP_S)
    whole = time.perf_counter() - start
    return {
        "waiting_share": round(sum(waits) / whole, 3),
        "first_batch_s": round(first, 2),
        "longest_wait_s": round(max(waits), 2),
        "samples_per_s": round(BATCH * len(waits) / whole),
        "cpu_share": round((time.process_time() - used) / whole, 3),
        "peak_mb": round(resident_mb() - before),
    }


def resident_mb() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def from_shards(shards: list[Shard]) -> Iterator[Any]:
    """Batches as for a GPU that does not hold the frames itself; their copy to it is not in it."""
    stream = present.Windows(Source(shards, "fbank"), WINDOW, BATCH, seed=0, with_mean=False).stored()
    return next_ahead(stream, present.BATCHES_AHEAD)


def from_code(code_and_shards: tuple[str, list[Shard]]) -> Iterator[Any]:
    """Batches of another commit's `windows`, which took the tars themselves."""
    code, shards = code_and_shards
    module = sys.modules["before"] = types.ModuleType("before")
    exec(compile(code, "before", "exec"), module.__dict__)
    return module.windows(shards, "fbank", WINDOW, BATCH, seed=0)


def from_webdataset(shards: list[Shard]) -> Iterator[Any]:
    """The usual pipeline, without speech, in one worker."""
    names = [str(shard[0]) for shard in shards]
    dataset = webdataset.WebDataset(names, shardshuffle=len(names)).repeat().compose(samples).shuffle(BUFFER)
    return iter(webdataset.WebLoader(dataset.batched(BATCH), batch_size=None, num_workers=1))


def samples(clips: Iterator[dict[str, Any]]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield target, masked, identity and previous latents and the pose of each frame of each clip."""
    random = np.random.default_rng(0)
    for clip in clips:
        latents, masked, pose = (decode_npy(clip[name]) for name in MEMBERS)
        for t in range(1, len(latents)):
            yield latents[t], masked[t], latents[random.integers(len(latents))], latents[t - 1], pose[t - 1]


def latent_shards(folder: Path) -> list[Shard]:
    """Write one shard of random latents and one of random features, and give them more names."""
    random = np.random.default_rng(0)
    latents = random.standard_normal((FRAMES, *NetworkCosts(CONFIG).latent_shape)).astype(np.float16)
    pose = random.integers(0, 256, (FRAMES, CONFIG.priors.pose_size, CONFIG.priors.pose_size, 3), dtype=np.uint8)
    latent_members = {
        "latents.npy": encode_npy(latents),
        "masked.npy": encode_npy(latents),
        "pose.npy": encode_npy(pose),
    }
    speech_members = {"fbank.npy": encode_npy(random.standard_normal((FRAMES, 104)).astype(np.float32))}
    pairs = [(folder / f"{shard}.latents.tar", folder / f"{shard}.speech.tar") for shard in range(SHARDS)]
    for place, members in enumerate((latent_members, speech_members)):
        abouts = ({"__key__": f"{clip:05d}", "json": to_json({"clip": f"{clip}"})} for clip in range(CLIPS))
        write_shard(pairs[0][place], (about | members for about in abouts))
        for pair in pairs[1:]:
            os.link(pairs[0][place], pair[place])
    return pairs


def joined_shard(folder: Path) -> Path:
    """Write crops of smooth pictures that move a little, with noise: as many bytes a frame as faces, about."""
    random, size = np.random.default_rng(0), CONFIG.faces.size
    wide = cv2.resize(random.integers(0, 256, (8, 8, 3), dtype=np.uint8), (size + 16, size + 16))
    crops = [
        wide[t % 16 :, t % 11 :][:size, :size] + random.integers(0, 4, (size, size, 3), dtype=np.uint8)
        for t in range(FRAMES)
    ]
    write_crops(folder / "crop.mp4", crops)
    members = {"crop.mp4": (folder / "crop.mp4").read_bytes(), "pose.npy": encode_npy(reduce_pose(np.stack(crops), 8))}
    abouts = ({"__key__": f"{clip:05d}", "json": to_json({"clip": f"{clip}"})} for clip in range(CROP_CLIPS))
    write_shard(folder / "joined.tar", (about | members for about in abouts))
    return folder / "joined.tar"


def crops_per_s(shard: Path) -> int:
    """Decode crops as a round with `latents.stored: false` does; encoding, on the GPU, is not in it."""
    start = time.process_time()
    n_frames = sum(len(decode_clip(sample)[0]) for sample in read_shard(shard))
    return round(n_frames / (time.process_time() - start))


if __name__ == "__main__":
    main()
