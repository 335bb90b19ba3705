"""Train the SyncNet that scores a corpus when the published weights are not there, on its aligned crops and sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.media.audio import read_wav
from syncdiff.media.video import decode_crops
from syncdiff.models.syncnet import WINDOW_FRAMES, SyncNet, audio_windows, mfcc, mouth_view, save_syncnet
from syncdiff.shards.tar import Sample, read_shard
from syncdiff.training.checkpoints import fingerprint
from syncdiff.training.loop import Run, fit

BYTES_IN_MEMORY = 2_000_000_000  # of crops: 160,000 frames at 64 pixels; a scorer needs no more
TIMES_PER_CLIP = 16  # windows that a batch takes of one clip: the negatives that differ in nothing but time
SHIFT_PIXELS = 1 / 20  # of the image's side, both ways


@dataclass(frozen=True)
class Clip:
    """One clip in memory."""

    crops: np.ndarray  # (T, S, S, 3) uint8 RGB
    sound: np.ndarray  # (V, 13, 20) float32 MFCC, V = T - 4

    def windows(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, 5, S, S, 3) and (N, 13, 20) at the given windows."""
        return self.crops[times[:, None] + np.arange(WINDOW_FRAMES)], self.sound[times]


@dataclass(frozen=True)
class Batch:
    """Matching windows: `frames` (N, 5, S, S, 3) uint8 RGB and `sound` (N, 13, 20) float32."""

    frames: np.ndarray
    sound: np.ndarray


def train_syncnet(config: Config, shards: Sequence[Path], out: Path, device: torch.device) -> None:
    """Train on joined `shards` and write `out`/syncnet.safetensors; running it again resumes.

    Raises:
        UserError: no clip in the shards is long enough.
    """
    settings = config.syncnet
    clips = training_clips(shards, settings.image_size, config.seed)
    if not clips:
        raise UserError(f"{shards[0].parent}: no clip is longer than {TIMES_PER_CLIP + 4} frames; add training clips")
    torch.manual_seed(config.seed)
    run = Run(
        folder=out,
        settings=settings,
        seed=config.seed,
        fingerprint=fingerprint("syncnet", config, shards),
        device=device,
        mixed_precision=config.mixed_precision,
        label="syncnet",
    )
    net = SyncNet(settings.width, settings.image_size)
    trained = fit(net, sync_loss, lambda done: batches(clips, settings.batch_size, config.seed, done), run)
    assert isinstance(trained, SyncNet)
    save_syncnet(trained, out / "syncnet.safetensors", config.corpus_name)


def training_clips(shards: Sequence[Path], image_size: int, seed: int) -> list[Clip]:
    """Read clips from shards in a seeded order, up to `BYTES_IN_MEMORY` of crops."""
    clips: list[Clip] = []
    held = 0
    for shard in np.random.default_rng(seed).permutation(np.asarray(shards, dtype=object)):
        for sample in read_shard(shard):
            clip = _clip(sample, image_size)
            held += clip.crops.nbytes
            if held > BYTES_IN_MEMORY:
                return clips
            if len(clip.sound) >= TIMES_PER_CLIP:
                clips.append(clip)
    return clips


def _clip(sample: Sample, image_size: int) -> Clip:
    crops = np.stack([mouth_view(crop, image_size) for crop in decode_crops(sample["crop.mp4"])])
    sound = audio_windows(mfcc(read_wav(sample["audio.wav"]))).astype(np.float32)
    n_windows = min(len(crops) - WINDOW_FRAMES + 1, len(sound))
    return Clip(crops, sound[: max(n_windows, 0)])


def batches(clips: Sequence[Clip], batch_size: int, seed: int, done: int) -> Iterator[Batch]:
    """Yield batches without end, from step `done` on: a few clips, `TIMES_PER_CLIP` windows of each.

    Half of the clips are mirrored; each is shifted by up to 5 % of its side.
    """
    while True:
        rng = np.random.default_rng([seed, done])
        chosen = rng.integers(len(clips), size=max(batch_size // TIMES_PER_CLIP, 1))
        frames, sound = zip(*(_draw(clips[index], rng) for index in chosen), strict=True)
        yield Batch(np.concatenate(frames), np.concatenate(sound))
        done += 1


def _draw(clip: Clip, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    times = rng.choice(len(clip.sound), TIMES_PER_CLIP, replace=False)
    frames, sound = clip.windows(times)
    reach = round(SHIFT_PIXELS * frames.shape[2])
    frames = np.roll(frames, rng.integers(-reach, reach + 1, size=2), axis=(2, 3))
    return (frames[:, :, :, ::-1] if rng.random() < 0.5 else frames), sound


def sync_loss(net: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Choose the matching sound among all of the batch, and the matching lips: Perfect Match (Chung et al. 2019).

    The logits are the negative distances that LSE averages, so LSE-D is small and LSE-C large where the match is clear.
    """
    weight = next(net.parameters())
    pixels = torch.from_numpy(batch.frames).to(weight).flip(-1)  # (N, 5, S, S, 3) BGR
    gain = 1 + 0.3 * (2 * torch.rand(len(pixels), 1, 1, 1, 1, device=weight.device) - 1)
    frames = (gain * pixels).permute(0, 4, 1, 2, 3)  # (N, 3, 5, S, S)
    lip, sound = net(frames, torch.from_numpy(batch.sound).to(weight))
    logits = -torch.cdist(lip.float(), sound.float())  # (N, N)
    match = torch.arange(len(lip), device=weight.device)
    loss = (F.cross_entropy(logits, match) + F.cross_entropy(logits.T, match)) / 2
    return {"loss": loss, "accuracy": (logits.argmax(dim=1) == match).float().mean()}
