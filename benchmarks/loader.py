"""Training samples per second and core: windows out of latent shards, beside reading each sample from its files.

python benchmarks/loader.py; writes benchmarks/results/loader.json. The shards are synthetic (16x16x4 latents, fbank
features). The named alternative is the way of Wav2Lip's loader, whose own report is 236 samples/s: per sample, JPEG
crops from a folder, the clip's whole sound, and its features; neither mask nor autoencoder is counted there.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from machine import one_core, save

from syncdiff.media.audio import SAMPLES_PER_FRAME, read_wav, write_wav
from syncdiff.shards.tar import npy, to_json, write_shard
from syncdiff.shards.windows import Pool, Shard, windows
from syncdiff.speech.filterbank import stacked_filterbank

CLIPS, FRAMES, SIDE, CROP, WINDOW, BATCH = 400, 75, 16, 64, 13, 64
REPORTED_BY_WAV2LIP = 236


def main() -> None:
    """Time both ways three times in turn, in one thread, and keep each one's best."""
    one_core()
    with tempfile.TemporaryDirectory() as folder:
        shards = training_shards(Path(folder))
        files = clip_files(Path(folder))
        loading = best(lambda: len(Pool(shards, "fbank")))
        stream = windows(shards, "fbank", WINDOW, BATCH, seed=0)
        next(stream)  # the pool is in memory
        from_shards = best(lambda: sum(len(batch["latents"]) for batch in islice(stream, 250)))
        from_files = best(lambda: read_samples(files, 300))
    result = {
        "samples_per_s_from_shards": round(from_shards),
        "frames_per_s_loaded_into_memory": round(loading),
        "samples_per_s_from_files": round(from_files),
        "samples_per_s_reported_for_wav2lip": REPORTED_BY_WAV2LIP,
        "setting": {"latents": [4, SIDE, SIDE], "clips": CLIPS, "frames": FRAMES, "window": WINDOW, "batch": BATCH},
    }
    save("loader", result)


def training_shards(folder: Path) -> list[Shard]:
    """Write two pairs of shards: random latents with poses, and random features."""
    random = np.random.default_rng(0)
    pairs = [(folder / f"{shard}.latents.tar", folder / f"{shard}.speech.tar") for shard in range(2)]
    latents = random.standard_normal((FRAMES, 4, SIDE, SIDE)).astype(np.float16)
    pose = random.integers(0, 256, (FRAMES, 8, 8, 3), dtype=np.uint8)
    seen = {"latents.npy": npy(latents), "masked.npy": npy(latents), "pose.npy": npy(pose)}
    heard = {"fbank.npy": npy(random.standard_normal((FRAMES, 104)).astype(np.float32))}
    for pair in pairs:
        for tar, members in zip(pair, (seen, heard), strict=True):
            keys = [f"{clip:05d}" for clip in range(CLIPS // len(pairs))]
            abouts = ({"__key__": key, "json": to_json({"clip": key})} for key in keys)
            write_shard(tar, (about | members for about in abouts))
    return pairs


def clip_files(folder: Path) -> list[Path]:
    """Write twenty clips as folders of JPEG crops beside audio.wav; which of them are read does not change the time."""
    random = np.random.default_rng(0)
    clips = [folder / f"clip{i}" for i in range(20)]
    for clip in clips:
        clip.mkdir()
        write_wav(clip / "audio.wav", [random.integers(-9999, 9999, FRAMES * SAMPLES_PER_FRAME, np.int16)])
        for t in range(FRAMES):
            smooth = cv2.resize(random.integers(0, 256, (8, 8, 3), dtype=np.uint8), (CROP, CROP))
            cv2.imwrite(str(clip / f"{t}.jpg"), smooth)
    return clips


def read_samples(clips: list[Path], n_samples: int) -> int:
    """Read samples one by one from files: target, identity and previous frame, and a window of filterbank rows."""
    random = np.random.default_rng(0)
    for _ in range(n_samples):
        clip = clips[random.integers(len(clips))]
        t = int(random.integers(WINDOW, FRAMES - WINDOW))
        names = [t, int(random.integers(FRAMES)), t - 1]
        pictures = np.stack([cv2.imread(str(clip / f"{name}.jpg")) for name in names])
        fbank = stacked_filterbank(read_wav(clip / "audio.wav"), FRAMES)[t - WINDOW // 2 : t + WINDOW // 2 + 1]
        torch.from_numpy(pictures).float(), torch.from_numpy(fbank)
    return n_samples


def best(work: Callable[[], int]) -> float:
    """Return the highest rate of three runs of `work`, which returns how many it did."""
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - start))
    return max(rates)


if __name__ == "__main__":
    main()
