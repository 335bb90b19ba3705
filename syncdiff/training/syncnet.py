"""Train the scorer of LSE where the published SyncNet is not there, or the sync expert, on aligned crops and audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.media.audio import read_wav
from syncdiff.media.video import read_frames
from syncdiff.models.syncnet import SyncNet, mouth_view, save_syncnet
from syncdiff.shards.tar import Sample, frames_in, member_named, read_shard
from syncdiff.speech.mfcc import WINDOW_FRAMES, WINDOW_MFCC, audio_windows, mfcc
from syncdiff.training.checkpoints import fingerprint
from syncdiff.training.loop import Run, fit
from syncdiff.training.rounds import THREADS, Round, RoundPlan, ahead, held_in_turn

BYTES_IN_MEMORY = 2_000_000_000  # of crops and MFCC: 150,000 frames at 64 pixels
ROUND_STEPS = 128  # of a round, about: of LRS2 a clip is drawn twice in that
TIMES_PER_CLIP = 16  # windows that a batch takes of one clip: the negatives that differ in nothing but time
MFCC_BYTES = 4 * 13 * WINDOW_MFCC  # of a window
SHIFT_PIXELS = 1 / 20  # of the image's side, both ways


@dataclass(frozen=True)
class Clip:
    """One clip in memory."""

    crops: np.ndarray  # (T, S, S, 3) uint8 RGB
    mfcc: np.ndarray  # (V, 13, 20) float32, V = T - 4

    def windows(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, 5, S, S, 3) and (N, 13, 20) at the given windows."""
        return self.crops[times[:, None] + np.arange(WINDOW_FRAMES)], self.mfcc[times]


@dataclass(frozen=True)
class MatchingWindows:
    """A batch: `frames` (N, 5, S, S, 3) uint8 RGB and the `mfcc` (N, 13, 20) float32 that belong to them."""

    frames: np.ndarray
    mfcc: np.ndarray


def train_syncnet(config: Config, shards: Sequence[Path], out: Path, device: torch.device) -> None:
    """Train on joined `shards` and write `out`/syncnet.safetensors; running it again resumes.

    Raises:
        UserError: no clip in the shards is long enough.
    """
    settings = config.syncnet
    clips = training_clips(shards, settings.image_size, settings.batch_size, config.seed)
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
    trained = fit(net, sync_loss, lambda done: batches(clips, done), run)
    assert isinstance(trained, SyncNet)
    save_syncnet(trained, out / "syncnet.safetensors", config.corpus_name, config.faces.size)


@dataclass(frozen=True)
class Clips:
    """The clips of all shards that are long enough, of which a round's are in memory at a time.

    Attributes:
        shards: joined ones, in a seeded order.
        image_size: side of what SyncNet sees of a crop, in pixels.
        plan: what is in memory when; its units are clips.
    """

    shards: Sequence[Path]
    image_size: int
    plan: RoundPlan

    def read(self, part: Round) -> list[Clip]:
        """Return the clips of a round.

        Raises:
            UserError: a shard is missing or damaged, or no clip in them has enough audio.
        """
        clips = [clip for shard in part.shards for clip in self._of(self.shards[shard])]
        if not clips:
            raise _no_clip(self.shards[part.shards[0]].parent)
        return clips

    def _of(self, shard: Path) -> Iterator[Clip]:
        for clip in ahead(partial(self._clip, shard), read_shard(shard), THREADS, THREADS):
            if len(clip.mfcc) >= TIMES_PER_CLIP:
                yield clip

    def _clip(self, shard: Path, sample: Sample) -> Clip:
        with member_named(shard, sample, "crop.mp4"):
            crops = np.stack([mouth_view(crop, self.image_size) for crop in read_frames(sample["crop.mp4"])])
        with member_named(shard, sample, "audio.wav"):
            windows = audio_windows(mfcc(read_wav(sample["audio.wav"])))  # (V, 13, 20)
        n_windows = min(len(crops) - WINDOW_FRAMES + 1, len(windows))
        return Clip(crops, windows[: max(n_windows, 0)].astype(np.float32))


def training_clips(shards: Sequence[Path], image_size: int, batch_size: int, seed: int) -> Clips:
    """Look at the headers of joined shards, and plan how their clips come into memory.

    Raises:
        UserError: a shard is missing or damaged, or no clip in them is long enough.
    """
    ordered = [Path(shard) for shard in np.random.default_rng(seed).permutation(np.asarray(shards, dtype=object))]
    with ThreadPoolExecutor(THREADS) as threads:
        lengths = [[n for n in clips.values() if _long(n)] for clips in threads.map(frames_in, ordered)]
    units = [len(clips) for clips in lengths]
    if not any(units):
        raise _no_clip(ordered[0].parent)
    sizes = [sum(clips) * (3 * image_size**2 + MFCC_BYTES) for clips in lengths]
    plan = RoundPlan(sizes, units, BYTES_IN_MEMORY, max(batch_size // TIMES_PER_CLIP, 1), ROUND_STEPS, seed)
    plan.warn(ordered)
    return Clips(ordered, image_size, plan)


def _long(n_frames: int) -> bool:
    return n_frames >= TIMES_PER_CLIP + WINDOW_FRAMES - 1


def _no_clip(folder: Path) -> UserError:
    return UserError(f"{folder}: no clip is longer than {TIMES_PER_CLIP + 4} frames; add training clips")


def batches(clips: Clips, done: int) -> Iterator[MatchingWindows]:
    """Yield batches without end, from step `done` on: a few clips, `TIMES_PER_CLIP` windows of each.

    Half of the clips are mirrored; each is shifted by up to 5 % of its side. Where all clips fit in memory they are
    drawn at random; else each comes as often as the others.
    """
    plan = clips.plan
    for part, step, held in held_in_turn(plan, clips.read, done):
        rng = np.random.default_rng([plan.seed, step])
        at_random = rng.integers(len(held), size=plan.per_step)
        chosen = at_random if plan.single else part.drawn(len(held), step, plan)
        frames, rows = zip(*(_draw(held[index], rng) for index in chosen), strict=True)
        del held  # before another round is read
        yield MatchingWindows(np.concatenate(frames), np.concatenate(rows))


def _draw(clip: Clip, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    times = rng.choice(len(clip.mfcc), TIMES_PER_CLIP, replace=False)
    frames, rows = clip.windows(times)
    reach = round(SHIFT_PIXELS * frames.shape[2])
    frames = np.roll(frames, rng.integers(-reach, reach + 1, size=2), axis=(2, 3))
    return (frames[:, :, :, ::-1] if rng.random() < 0.5 else frames), rows


def sync_loss(net: nn.Module, batch: MatchingWindows) -> dict[str, Tensor]:
    """Choose the matching audio among all of the batch, and the matching lips: Perfect Match (Chung et al. 2019).

    The logits are the negative distances that LSE averages, so LSE-D is small and LSE-C large where the match is clear.
    """
    weight = next(net.parameters())
    pixels = torch.from_numpy(batch.frames).to(weight).flip(-1)  # (N, 5, S, S, 3) BGR
    gain = 1 + 0.3 * (2 * torch.rand(len(pixels), 1, 1, 1, 1, device=weight.device) - 1)
    frames = (gain * pixels).permute(0, 4, 1, 2, 3)  # (N, 3, 5, S, S)
    lip, audio = net(frames, torch.from_numpy(batch.mfcc).to(weight))
    logits = -torch.cdist(lip.float(), audio.float())  # (N, N)
    match = torch.arange(len(lip), device=weight.device)
    loss = (F.cross_entropy(logits, match) + F.cross_entropy(logits.T, match)) / 2
    return {"loss": loss, "accuracy": (logits.argmax(dim=1) == match).float().mean()}
