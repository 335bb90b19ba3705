"""`syncdiff score` on one core: its time beside that of its convolutions alone, where the rest goes, and bf16.

Random weights at full width, 3 s of 224-pixel video. Run `python benchmarks/score.py`; it writes
benchmarks/results/score.json.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import one_core, save
from torch import Tensor, nn

from syncdiff.evaluation.crops import scored_pictures
from syncdiff.evaluation.metrics.lse import SyncScore, score
from syncdiff.media.audio import SAMPLE_RATE, read_audio
from syncdiff.media.video import read_frames, write_video
from syncdiff.models.syncnet import SyncNet, for_inference
from syncdiff.speech.mfcc import mfcc

SECONDS, FPS, SIZE, REPEATS = 3, 25, 224, 5
REFERENCE_BATCH = 20  # windows, in SyncNetInstance.py
Call = tuple[nn.Module, Tensor]


def main() -> None:
    """Measure, print and write."""
    one_core()
    torch.manual_seed(0)
    net = SyncNet().eval()
    fp32, bf16 = for_inference(net), for_inference(net, dtype=torch.bfloat16)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        video = make_video(Path(folder, "clip.mp4"))
        calls = {"fp32": convolution_calls(fp32, video), "bf16": convolution_calls(bf16, video)}
        frames = torch.from_numpy(np.stack(list(read_frames(video)))).float().permute(3, 0, 1, 2)  # (3, T, S, S)
        seconds = fastest(
            {
                "score fp32": lambda: score_file(video, fp32),
                "its convolutions alone, fp32": lambda: replay(calls["fp32"]),
                "score bf16": lambda: score_file(video, bf16),
                "its convolutions alone, bf16": lambda: replay(calls["bf16"]),
                "published layout, lips only, fp32": lambda: published(net, frames),
                "decode and resize": lambda: list(scored_pictures(video, SIZE, "none", False)[1]),
                "sound and MFCC": lambda: mfcc(read_audio(video)),
            }
        )
        scores = score_file(video, fp32), score_file(video, bf16)
    report = {"video_seconds": SECONDS, "seconds": seconds, **ratios(seconds), **effect(*scores)}
    save("score", report)


def make_video(path: Path) -> Path:
    """Write moving patterns with noise for sound."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    shades = [128 + 60 * np.sin((x + 3 * t) / 17) + 60 * np.cos((y - 2 * t) / 11) for t in range(SECONDS * FPS)]
    frames = (np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2) for shade in shades)
    write_video(path, frames, [rng.integers(-8000, 8000, SECONDS * SAMPLE_RATE).astype(np.int16)])
    return path


def score_file(video: Path, net: SyncNet) -> SyncScore:
    """What `syncdiff score` does for one video."""
    audio, frames = scored_pictures(video, SIZE, "none", jpeg=False)
    return score(frames, audio, net)


def convolution_calls(net: SyncNet, video: Path) -> list[Call]:
    """Record every convolution of one scoring, with its input."""
    calls: list[Call] = []
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: calls.append((layer, inputs[0]))) for layer in layers
    ]
    score_file(video, net)
    for hook in hooks:
        hook.remove()
    return calls


def replay(calls: list[Call]) -> None:
    """Run the recorded convolutions and nothing else."""
    for layer, inputs in calls:
        layer(inputs)


def published(net: SyncNet, frames: Tensor) -> None:
    """Embed the lips as SyncNetInstance.py does: batches of windows, batch norms apart, channels first."""
    windows = frames.unfold(1, 5, 1).permute(1, 0, 4, 2, 3)[:-1]  # (V, 3, 5, S, S)
    for batch in windows.split(REFERENCE_BATCH):
        net.lip(batch.contiguous())


def fastest(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the shortest of some runs of each, in seconds of CPU time; in turns, so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            started = time.process_time()
            work()
            times[name].append(time.process_time() - started)
    return {name: round(min(values), 4) for name, values in times.items()}


def ratios(seconds: dict[str, float]) -> dict[str, object]:
    """Return the figures that the issue asks for."""
    whole = seconds["score fp32"]
    shares = {"convolutions": seconds["its convolutions alone, fp32"] / whole}
    shares |= {name: seconds[name] / whole for name in ("decode and resize", "sound and MFCC")}
    return {
        "score_over_convolutions_fp32": round(whole / seconds["its convolutions alone, fp32"], 3),
        "published_lips_over_score_fp32": round(seconds["published layout, lips only, fp32"] / whole, 3),
        "fp32_over_bf16": round(whole / seconds["score bf16"], 3),
        "shares_fp32": {name: round(share, 4) for name, share in shares.items()},
    }


def effect(fp32: SyncScore, bf16: SyncScore) -> dict[str, object]:
    """Return by how much bf16 moves the scores."""
    return {
        "fp32": fp32._asdict(),
        "bf16": bf16._asdict(),
        "abs_delta_lse_d": round(abs(fp32.lse_d - bf16.lse_d), 5),
        "abs_delta_lse_c": round(abs(fp32.lse_c - bf16.lse_c), 5),
    }


if __name__ == "__main__":
    main()
