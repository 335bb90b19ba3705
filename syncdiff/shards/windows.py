"""Training windows out of latent shards: a target frame, its three priors, and the speech around it.

The stream is a function of (shards, seed, step): any step's batch can be made without the ones before it. Where all
shards fit in memory, each frame comes once in an epoch; else steps come in rounds, in each of which some of the shards
are in memory, and each of their frames comes as often as the others, give or take once.

For the sync loss, sync windows come beside those samples: as many frames of a clip, one after the other, as a SyncNet
sees, with the sound that they match and the clip's sound at other times. They are drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from syncdiff.errors import ClipRejected, UserError
from syncdiff.models.syncnet import WINDOW_FRAMES, WINDOW_MFCC
from syncdiff.shards.tar import VARIED, Sample, read_shard, unnpy

ROUND_STEPS = 500  # a fixed number, so that the shards of step k are known without reading any
ROUND_BYTES = 4 * 1024**3  # of shards in memory; of LRS2 at 256 pixels, about 7 shards or 2,000 clips

SAMPLES_PER_SYNC_WINDOW = 16
SYNC_SHIFTS = range(-15, 16, 3)  # frames: as far as the score looks; sounds a frame apart are nearly the same
SOUND_FRAMES = WINDOW_FRAMES + 1  # a clip's last frame has no whole row of MFCC

LATENT_MEMBERS = ("latents.npy", "masked.npy", "pose.npy")

Batch = dict[str, Tensor]
Shard = tuple[Path, ...]  # tars of the same clips: latents, speech and, where sync windows are wanted, MFCC


def windows(
    tars: Sequence[Shard],
    feature_set: str,
    window_frames: int,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """Yield batches without end, from step `start_step` on.

    Args:
        tars: latent shards, with the members latents.npy, masked.npy and pose.npy, each with the shard of its clips'
            speech beside it, with the member `feature_set`.npy, and where sync windows are wanted the one with the
            member mfcc.npy. Clips that one of them lacks are left out. Variants of clips are clips like others.
        window_frames: W, rows of speech: the target frame's is row W // 2.
        batch_size: B over all processes; process `rank` of `world` gets every world-th sample, so that the samples
            of a step do not depend on the number of processes.

    Yields:
        latents, masked, identity, previous, mean (B, C, h, w): latents of frame t, of the same with the mouth hidden,
        of a random other frame of the clip, of frame t - 1, and the mean over all frames of the clip; pose
        (B, r, r, 3) in [-1, 1]: frame t - 1 reduced; speech (B, W, D), zero where valid (B, W) is false: beyond the
        clip's ends. float32 all, but `valid`. The first frame of a clip has the identity frame for its previous one,
        as in sampling.
        With MFCC, the frames of this process's share of the step's ⌈B / 16⌉ sync windows (`shared_sync_windows`),
        G of them, follow the samples, window by window, and there are sound
        (G, K, 13, 20), MFCC from each of `SYNC_SHIFTS` after the window's first frame on, and sound_valid (G, K),
        false beyond the clip's ends.

    Raises:
        UserError: a shard is missing, damaged, or has no `feature_set`; or none of them holds a clip that is long
            enough.
    """
    held = held_shards(tars)
    all_held = held == len(tars)
    for number in count(0 if all_held else start_step // ROUND_STEPS):
        pool = Pool(round_shards(tars, held, seed, number), feature_set)
        first = number * ROUND_STEPS
        steps = count(start_step) if all_held else range(max(start_step, first), first + ROUND_STEPS)
        for step in steps:
            random = np.random.default_rng([seed, step])
            frame = shuffled(len(pool), (seed, number), (step - first) * batch_size, batch_size)
            other = random.random(batch_size)
            drawn = torch.from_numpy(frame[rank::world]), torch.from_numpy(other[rank::world])
            if pool.sound is None:
                yield pool.gather(*drawn, window_frames)
            else:
                own, _ = shared_sync_windows(batch_size, rank, world)
                for_sync = random.random((2, sync_windows(batch_size)))[:, own]
                yield pool.gather_with_sync(*drawn, window_frames, *torch.from_numpy(for_sync))
        del pool  # before the next one is read


def latent_shape(tars: Sequence[Shard]) -> tuple[int, ...]:
    """Return (C, h, w) of the latents, looking at the first clip.

    Raises:
        UserError: as `windows`.
    """
    for latents, *_ in tars:
        for sample in read_shard(latents):
            return _member(latents, sample, "latents.npy").shape[1:]
    raise _no_clip(tars)


def shuffled(n: int, seed: tuple[int, int], first: int, length: int) -> np.ndarray:
    """Return places `first` to `first + length` of an endless stream of shuffled epochs over n: (length,) int64."""
    epochs, places = np.divmod(np.arange(first, first + length), n)
    return np.concatenate([_permutation(n, (*seed, epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])


@lru_cache(maxsize=2)
def _permutation(n: int, seed: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


def held_shards(tars: Sequence[Shard]) -> int:
    """Return how many shards fit in memory at a time."""
    return min(len(tars), max(1, ROUND_BYTES // max(sum(map(_size, shard)) for shard in tars)))


def round_shards(tars: Sequence[Shard], held: int, seed: int, number: int) -> list[Shard]:
    """Return the shards in memory in round `number`: all where they fit, else the next part of a shuffled epoch."""
    epoch, part = divmod(number, math.ceil(len(tars) / held))
    order = np.random.default_rng([seed, epoch]).permutation(len(tars)) if held < len(tars) else range(len(tars))
    return [tars[i] for i in order[part * held : (part + 1) * held]]


class Pool:
    """All frames of some shards as flat arrays over N frames, with the ends of the clip that each frame is of.

    Attributes:
        latents, masked: (N, C, h, w) float16.
        mean: (clips, C, h, w) float32, of each clip's latents.
        clip: (N,) int64, which of them a frame is of.
        pose: (N, r, r, 3) uint8.
        speech: (N, D) float32.
        sound: (N, 52) float32, four frames of MFCC; None where no sync windows are wanted.
        start, stop: (N,) int64, the clip's first frame and the one after its last, as indices into the pool.
        sync_starts: int64, the frames at which a sync window can begin.
    """

    def __init__(self, tars: Sequence[Shard], feature_set: str) -> None:
        with_sound = len(tars[0]) == 3
        members = [*LATENT_MEMBERS, f"{feature_set}.npy", *(["mfcc.npy"] if with_sound else [])]
        clips = [clip for shard in tars for clip in _read(shard, members)]
        if not clips:
            raise _no_clip(tars)
        lengths = torch.tensor([len(clip[0]) for clip in clips])
        # One member after the other, each freed when it is joined: all of them twice would be too much.
        joined = (torch.from_numpy(np.concatenate([clip.pop(0) for clip in clips])) for _ in members)
        self.latents, self.masked, self.pose, self.speech, *sound = joined
        self.sound = sound[0] if sound else None
        self.mean = torch.stack([clip.float().mean(dim=0) for clip in self.latents.split(lengths.tolist())])
        self.clip = torch.arange(len(lengths)).repeat_interleave(lengths)
        self.stop = lengths.cumsum(0).repeat_interleave(lengths)
        self.start = self.stop - lengths.repeat_interleave(lengths)
        self.sync_starts = (torch.arange(len(self)) <= self.stop - SOUND_FRAMES).nonzero()[:, 0]
        if sound and not len(self.sync_starts):
            raise UserError(f"{tars[0][0]}: no clip of {SOUND_FRAMES} frames or more here; set train.sync_weight to 0")

    def __len__(self) -> int:
        return len(self.start)

    def gather(self, frame: Tensor, other: Tensor, window_frames: int) -> Batch:
        """Return the batch of target frames `frame` (B,) int64; `other` (B,) in [0, 1) chooses identity frames."""
        start, stop = self.start[frame], self.stop[frame]
        n_frames = stop - start
        ahead = 1 + (other * (n_frames - 1)).long()  # 1 .. n - 1: any frame but the target
        identity = start + (frame - start + ahead) % n_frames
        previous = torch.where(frame > start, frame - 1, identity)
        rows, valid = rows_around(frame, start, stop, window_frames)
        return {
            "latents": self.latents[frame].float(),
            "masked": self.masked[frame].float(),
            "identity": self.latents[identity].float(),
            "previous": self.latents[previous].float(),
            "mean": self.mean[self.clip[frame]],
            "pose": self.pose[previous].float() / 127.5 - 1,
            "speech": self.speech[rows] * valid[..., None],
            "valid": valid,
        }

    def gather_with_sync(self, frame: Tensor, other: Tensor, window_frames: int, place: Tensor, far: Tensor) -> Batch:
        """Return the same with G sync windows; `place`, `far` (G,) in [0, 1) choose them and their identity frames."""
        assert self.sound is not None
        start = self.sync_starts[(place * len(self.sync_starts)).long()]  # (G,)
        frames = (start[:, None] + torch.arange(WINDOW_FRAMES)).flatten()
        others = far.repeat_interleave(WINDOW_FRAMES)
        batch = self.gather(torch.cat([frame, frames]), torch.cat([other, others]), window_frames)
        first = start[:, None] + torch.tensor(SYNC_SHIFTS)  # (G, K)
        valid = (first >= self.start[start][:, None]) & (first <= self.stop[start][:, None] - SOUND_FRAMES)
        rows = torch.where(valid, first, start[:, None])[..., None] + torch.arange(WINDOW_FRAMES)  # (G, K, 5)
        sound = self.sound[rows].view(*valid.shape, WINDOW_MFCC, -1)  # (G, K, 20, 13)
        return batch | {"sound": sound.mT, "sound_valid": valid}


def sync_windows(batch_size: int) -> int:
    """Return how many sync windows there are in a step of B samples, over all processes."""
    return math.ceil(batch_size / SAMPLES_PER_SYNC_WINDOW)


def shared_sync_windows(batch_size: int, rank: int, world: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of a step's sync windows process `rank` of `world` gets, (G,) int64, and which of these count.

    All processes get as many. Where the windows do not go round, some come once more, and do not count there: so the
    windows of a step do not depend on the number of processes.
    """
    total = sync_windows(batch_size)
    places = np.arange(rank, world * math.ceil(total / world), world)
    return places % total, places < total


def rows_around(frame: Tensor, start: Tensor, stop: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the `width` rows around each frame (B,) of a clip [start, stop): (B, W), and where they lie inside it.

    Outside, the row is the frame's own.
    """
    rows = frame[:, None] + torch.arange(width) - width // 2
    valid = (rows >= start[:, None]) & (rows < stop[:, None])
    return torch.where(valid, rows, frame[:, None]), valid


def _no_clip(tars: Sequence[Shard]) -> UserError:
    return UserError(f"{tars[0][0]}: no clip to train on in this and {len(tars) - 1} more; see the ledgers")


def _read(shard: Shard, members: Sequence[str]) -> Iterator[list[np.ndarray]]:
    """Yield the arrays of each clip that all tars of a shard have, and of its variant where there is one.

    All tars after the first hold one member each.
    """
    latents, *others = shard
    names = members[len(LATENT_MEMBERS) :]
    heard = [
        {sample["__key__"]: _member(tar, sample, name) for sample in read_shard(tar)}
        for tar, name in zip(others, names, strict=True)
    ]
    for sample in read_shard(latents):
        key = sample["__key__"]
        if not all(key in arrays for arrays in heard):
            continue
        for kind in ("", VARIED) if f"{VARIED}{LATENT_MEMBERS[0]}" in sample else ("",):
            clip = [
                *(_member(latents, sample, kind + name) for name in LATENT_MEMBERS),
                *(arrays[key] for arrays in heard),
            ]
            if len({len(array) for array in clip}) > 1:
                features = " or ".join(map(str, others))
                raise UserError(f"{features}: {key} has other frames than in {latents}; delete them all, run again")
            yield clip


def _member(tar: Path, sample: Sample, name: str) -> np.ndarray:
    if name not in sample:
        raise UserError(f"{tar}: {sample['__key__']} has no {name}; delete the shard and run again")
    try:
        return unnpy(sample[name])
    except ClipRejected as error:
        raise UserError(f"{tar}: {name} of {sample['__key__']}: {error}; delete the shard and run again") from None


def _size(tar: Path) -> int:
    if not tar.is_file():
        raise UserError(f"{tar}: no such shard; run the stage that writes it first")
    return tar.stat().st_size
