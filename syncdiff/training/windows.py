"""Training windows: a target frame, its three visual priors, and the speech around it.

The stream is a function of (shards, seed, step): any step's batch can be made without the ones before it. Where all
shards fit in memory, each frame comes once in an epoch; else steps come in rounds (`training.rounds`), in each of which
some of the shards are in memory, and each of their frames comes as often as the others, give or take once.

Latents stay float16 and poses uint8 up to the device. A GPU with room holds the frames itself and gathers there; for
another one a thread gathers into pinned memory, a batch ahead.

For the second stage a sample is a run: as many frames of a clip, one after the other, as a SyncNet takes, perhaps with
the MFCC that they match and those of the clip at other times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from syncdiff.diffusion.sync_loss import SYNC_SHIFTS
from syncdiff.errors import UserError
from syncdiff.speech.mfcc import WINDOW_FRAMES, WINDOW_MFCC
from syncdiff.training.rounds import Round, RoundPlan, held_in_turn, next_ahead
from syncdiff.training.source import CPU, Source, no_clip

ROUND_STEPS = 500  # of a round, about; of LRS2 at 128 pixels, a frame is drawn twice in that
ROUND_BYTES = 4 * 1024**3  # of all shards in memory: of the two rounds, where there are rounds
ROOM_ON_DEVICE = 8 * ROUND_BYTES  # memory of a GPU that holds them itself
BATCHES_AHEAD = 3  # that are gathered for a GPU: the thread that reads a round holds the other up now and then

RUN_FRAMES = WINDOW_FRAMES  # of a run, R
RUN_NEEDS = RUN_FRAMES + 1  # frames of its clip: the last one has no whole row of MFCC
LATENTS = ("latents", "masked", "identity", "previous")  # of a batch

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Windows:
    """An endless stream of batches, a function of (shards, seed, step) for any number of processes.

    Attributes:
        source: where frames are not held on its device, a thread gathers the next batches and sends them there.
        window_frames: W, rows of speech: the target frame's is row W // 2.
        batch_size: B over all processes; process `rank` of `world` gets every world-th sample, so that the samples
            of a step do not depend on the number of processes.
        seed: of all that is drawn.
        with_mean: whether the clips' mean latents are wanted.
        identity_gap: frames that lie between the target and its identity frame, at least; where a clip is too short
            for it, half of its length.
        in_runs: whether a sample is a run of `RUN_FRAMES` frames; else it is one frame.
    """

    source: Source
    window_frames: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    with_mean: bool = True
    identity_gap: int = 1
    in_runs: bool = False

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Yield batches without end, from step `start_step` on.

        Yields:
            latents, masked, identity, previous, mean (B, C, h, w): latents of frame t, of the same with the mouth
            hidden, of a random other frame of the clip, of frame t - 1, and the mean over all frames of the clip; pose
            (B, r, r, 3) in [-1, 1]: frame t - 1 reduced; speech (B, W, D), zero where valid (B, W) is false: beyond
            the clip's ends. float32 all, but `valid`. The first frame of a clip has the identity frame for its
            previous one, as in sampling.
            In runs there are B R frames, run by run, and those of a run share their identity frame; with MFCC there are
            mfcc (B, K, 13, 20), from each of `SYNC_SHIFTS` after the run's first frame on, and mfcc_valid (B, K), false
            beyond the clip's ends.

        Raises:
            UserError: a shard is missing, damaged, or has no `feature_set`; or none of them holds a clip that is long
                enough.
        """
        stream, device = self.stored(start_step), self.source.device
        if held_on(device) != device:
            stream = next_ahead(map(partial(moved, device=device), stream), BATCHES_AHEAD)
        yield from map(as_floats, stream)

    def stored(self, start_step: int = 0) -> Iterator[Batch]:
        """Yield the same where the frames are held and as they are stored: float16 latents, uint8 poses."""
        plan = self._plan()

        def read(part: Round) -> Pool:
            room = sum(plan.units[shard] for shard in part.shards)
            return Pool(self.source, part.shards, room, self.with_mean, self.in_runs)

        for part, step, pool in held_in_turn(plan, read, start_step):
            random = np.random.default_rng([self.seed, step])
            drawn = part.drawn(len(pool), step, plan), random.random(self.batch_size)
            frame, other = (torch.from_numpy(values[self.rank :: self.world]) for values in drawn)
            gather = pool.gather_runs if self.in_runs else pool.gather
            yield gather(frame, other, self.window_frames, self.identity_gap)
            del pool, gather  # the last one of a round goes before another is read

    def _plan(self) -> RoundPlan:
        """Look at the shards' headers, and at one clip."""
        bytes_a_frame, frames = sum(array[0].nbytes for array in self.source.first_clip()), self.source.frames
        sizes = [bytes_a_frame * n for n in frames]
        plan = RoundPlan(sizes, frames, ROUND_BYTES, self.batch_size, ROUND_STEPS, self.seed)
        plan.warn([shard[0] for shard in self.source.tars])
        return plan


class Pool:
    """All frames of some shards as flat arrays over N frames, with the ends of the clip that each frame is of.

    Attributes:
        latents, masked: (N, C, h, w) float16.
        mean: (clips, C, h, w) float32, of each clip's latents, where wanted.
        clip: (N,) int64, which of them a frame is of.
        pose: (N, r, r, 3) uint8.
        speech: (N, D) float32.
        mfcc: (N, 52) float32, four rows of MFCC; None where the source has none.
        start, stop: (N,) int64, the clip's first frame and the one after its last, as indices into the pool.
        run_starts: int64, the frames at which a run can begin.

    Args:
        source: what is read.
        shards: which of its shards.
        room: frames in them, or more.
        with_mean: whether `mean` is wanted.
        in_runs: whether runs are.
    """

    def __init__(self, source: Source, shards: Sequence[int], room: int, with_mean: bool, in_runs: bool) -> None:
        self.device = held_on(source.device)
        self.pinned = self.device != source.device
        columns, n_frames = _joined(source, shards, room, self.device)
        if not n_frames:
            raise no_clip([source.tars[shard] for shard in shards])
        self.latents, self.masked, self.pose, self.speech, *mfcc = columns
        self.mfcc = mfcc[0] if mfcc else None
        lengths = torch.tensor(n_frames, device=self.device)
        self.mean = None
        if with_mean:
            self.mean = torch.stack([clip.float().mean(dim=0) for clip in self.latents.split(n_frames)])
        self.clip = torch.arange(len(lengths), device=self.device).repeat_interleave(lengths)
        self.stop = lengths.cumsum(0).repeat_interleave(lengths)
        self.start = self.stop - lengths.repeat_interleave(lengths)
        last_start = self.stop - RUN_NEEDS
        self.run_starts = (torch.arange(len(self), device=self.device) <= last_start).nonzero()[:, 0]
        if in_runs and not len(self.run_starts):
            tar = source.tars[shards[0]][0]
            raise UserError(f"{tar}: no clip of {RUN_NEEDS} frames or more here; set second_stage.steps to 0")

    def __len__(self) -> int:
        return len(self.start)

    def gather(self, frame: Tensor, other: Tensor, window_frames: int, identity_gap: int) -> Batch:
        """Return the batch of target frames `frame` (B,) int64; `other` (B,) in [0, 1) draws identity frames."""
        frame = frame.to(self.device)
        return self._batch(frame, self._identity(frame, other, identity_gap), window_frames)

    def gather_runs(self, frame: Tensor, other: Tensor, window_frames: int, identity_gap: int) -> Batch:
        """Return the batch of a run for each of `frame` (B,) int64 in [0, N), spread over all frames that begin one."""
        first = self.run_starts[frame.to(self.device) * len(self.run_starts) // len(self)]
        frames = first[:, None] + torch.arange(RUN_FRAMES, device=self.device)  # (B, R)
        identity = self._identity(first, other, identity_gap + RUN_FRAMES - 1)  # from all frames of the run
        batch = self._batch(frames.flatten(), identity.repeat_interleave(RUN_FRAMES), window_frames)
        return batch if self.mfcc is None else batch | self._mfcc_around(first)

    def _identity(self, frame: Tensor, other: Tensor, gap: int) -> Tensor:
        """Return a frame of the same clip, `gap` frames away or further; `other` (B,) in [0, 1) draws it.

        The clip is taken as a ring, in which no frames are further from each other than they are in the clip.
        """
        start, n_frames = self.start[frame], self.stop[frame] - self.start[frame]
        least = (n_frames // 2).clamp(max=gap)
        ahead = least + (other.to(self.device) * (n_frames - 2 * least + 1)).long()  # least .. n - least
        return start + (frame - start + ahead) % n_frames

    def _batch(self, frame: Tensor, identity: Tensor, window_frames: int) -> Batch:
        start, stop = self.start[frame], self.stop[frame]
        previous = torch.where(frame > start, frame - 1, identity)
        rows, valid = rows_around(frame, start, stop, window_frames)
        batch = {
            "latents": self._rows(self.latents, frame),
            "masked": self._rows(self.masked, frame),
            "identity": self._rows(self.latents, identity),
            "previous": self._rows(self.latents, previous),
            "pose": self._rows(self.pose, previous),
            "speech": self.speech[rows] * valid[..., None],
            "valid": valid,
        }
        return batch if self.mean is None else batch | {"mean": self.mean[self.clip[frame]]}

    def _mfcc_around(self, first: Tensor) -> Batch:
        """Return the MFCC of runs that begin at `first` (B,), and of the clip at `SYNC_SHIFTS` from there."""
        assert self.mfcc is not None
        begins = first[:, None] + torch.tensor(SYNC_SHIFTS, device=self.device)  # (B, K)
        valid = (begins >= self.start[first][:, None]) & (begins <= self.stop[first][:, None] - RUN_NEEDS)
        rows = torch.where(valid, begins, first[:, None])[..., None] + torch.arange(WINDOW_FRAMES, device=self.device)
        mfcc = self.mfcc[rows].view(*valid.shape, WINDOW_MFCC, -1)  # (B, K, 20, 13)
        return {"mfcc": mfcc.mT, "mfcc_valid": valid}

    def _rows(self, array: Tensor, index: Tensor) -> Tensor:
        rows = array.new_empty((len(index), *array.shape[1:]), pin_memory=self.pinned)
        return torch.index_select(array, 0, index, out=rows)


def rows_around(frame: Tensor, start: Tensor, stop: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the `width` rows around each frame (B,) of a clip [start, stop): (B, W), and where they lie inside it.

    Outside, the row is the frame's own.
    """
    rows = frame[:, None] + torch.arange(width, device=frame.device) - width // 2
    valid = (rows >= start[:, None]) & (rows < stop[:, None])
    return torch.where(valid, rows, frame[:, None]), valid


def _joined(source: Source, shards: Sequence[int], room: int, device: torch.device) -> tuple[list[Tensor], list[int]]:
    """Return each kind of array over all frames of some shards, at most `room`, and the clips' lengths.

    Each array is written in its place as it is read: all of them twice would be too much.
    """
    columns: list[Tensor] = []
    lengths: list[int] = []
    filled = 0
    for clip in source.clips(shards):
        stop = filled + len(clip[0])
        columns = columns or [array.new_empty((room, *array.shape[1:]), device=device) for array in clip]
        for column, array in zip(columns, clip, strict=True):
            column[filled:stop] = array
        lengths.append(stop - filled)
        filled = stop
    return [column[:filled] for column in columns], lengths


def has_room(device: torch.device) -> bool:
    """Whether a device holds the frames itself."""
    return device.type != "cuda" or torch.cuda.get_device_properties(device).total_memory >= ROOM_ON_DEVICE


def held_on(device: torch.device) -> torch.device:
    """Return the device that holds the frames: the batches' own, where it has room."""
    return device if has_room(device) else CPU


def moved(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to a GPU; what is pinned, while the caller goes on."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def as_floats(batch: Batch) -> Batch:
    """Turn the float16 latents of a batch into float32, and its uint8 poses into [-1, 1]."""
    latents = {name: batch[name].float() for name in LATENTS}
    return batch | latents | {"pose": batch["pose"].float() / 127.5 - 1}
