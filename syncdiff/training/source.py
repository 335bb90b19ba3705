"""What training windows are drawn from: each clip's arrays, out of latent shards or encoded from joined ones."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from syncdiff.errors import UserError
from syncdiff.shards.tar import Sample, clip_keys, clip_lengths, decode_npy, frames_in, member_named, read_shard
from syncdiff.shards.verdicts import NO_CURATION, Verdicts, shifted
from syncdiff.training.latents import CROPS, MEMBERS, decode_clip
from syncdiff.training.rounds import THREADS, ahead

DECODED_FRAMES = 10_000  # crops in memory at a time while a round is encoded: 0.5 GB at 128 pixels

CPU = torch.device("cpu")
Shard = tuple[Path, ...]  # tars of the same clips: latents or crops, speech and, where sync windows are wanted, MFCC
Encoder = Callable[[np.ndarray], tuple[Tensor, Tensor]]  # crops to latents and masked latents: `latents.CropEncoder`


@dataclass(frozen=True)
class Source:
    """The clips of some shards.

    Attributes:
        tars: latent shards, with the members latents.npy, masked.npy and pose.npy, or with an `encoder` joined shards,
            each with the shard of its clips' speech beside it, with the member `feature_set`.npy, and where sync
            windows are wanted the one with the member mfcc.npy. Clips that one of them lacks are left out.
        device: where batches are wanted.
        encoder: of joined shards.
        verdicts: clips that curation has left out are none of these; the speech of others is shifted, and pictures
            that have no speech then are left out.
    """

    tars: Sequence[Shard]
    feature_set: str
    device: torch.device = CPU
    encoder: Encoder | None = None
    verdicts: Verdicts = NO_CURATION

    def clips(self, shards: Iterable[int]) -> Iterator[list[Tensor]]:
        """Yield latents, masked, pose, speech and perhaps MFCC of the clips of some shards, each of T rows.

        Raises:
            UserError: a shard is missing or damaged, lacks a member, or its clips have other frames than their speech.
        """
        for shard in shards:
            yield from self._clips(self.tars[shard])

    def _clips(self, shard: Shard) -> Iterator[list[Tensor]]:
        first, *others = shard
        members = f"{self.feature_set}.npy", "mfcc.npy"
        features = [_arrays(tar, name) for tar, name in zip(others, members, strict=False)]
        samples = (sample for sample in read_shard(first) if self._is_used(sample["__key__"], features))
        for key, arrays in _encoded(first, samples, self.encoder) if self.encoder else _stored(first, samples):
            rows_of_sound = [by_key[key] for by_key in features]
            if len({len(array) for array in (*arrays, *rows_of_sound)}) > 1:
                tars = " or ".join(map(str, others))
                raise UserError(f"{tars}: {key} has other frames than in {first}; delete them all, run again")
            pictures, rows = shifted(len(arrays[0]), self.verdicts.shift_of(key) or 0)
            yield [*(array[pictures] for array in arrays), *(array[rows] for array in rows_of_sound)]

    def _is_used(self, key: str, features: Iterable[Container[str]]) -> bool:
        return all(key in arrays for arrays in features) and self.verdicts.shift_of(key) is not None

    def first_clip(self) -> list[Tensor]:
        """Return the arrays of one clip."""
        for clip in self.clips(range(len(self.tars))):
            return clip
        raise no_clip(self.tars)

    def latent_shape(self) -> tuple[int, ...]:
        """Return (C, h, w) of the latents."""
        return tuple(self.first_clip()[0].shape[1:])

    @cached_property
    def frames(self) -> list[int]:
        """How many frames each shard has, of clips that are used, by the headers alone."""
        return [sum(map(self._used_frames, lengths, lengths.values())) for lengths in self._lengths]

    def _used_frames(self, key: str, n_frames: int) -> int:
        shift = self.verdicts.shift_of(key)
        return 0 if shift is None else max(n_frames - abs(shift), 0)

    def curated(self) -> str:
        """Say in a line what curation does to these clips; "" where there was none."""
        return self.verdicts.count(key for lengths in self._lengths for key in lengths)

    @cached_property
    def _lengths(self) -> list[dict[str, int]]:
        """The frames of each clip that all tars of a shard have, by key."""
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(self._lengths_in, self.tars))

    def _lengths_in(self, shard: Shard) -> dict[str, int]:
        lengths = frames_in(shard[0]) if self.encoder else clip_lengths(shard[0], MEMBERS[0])
        with_features = set.intersection(*map(clip_keys, shard[1:]))
        return {key: length for key, length in lengths.items() if key in with_features}


def no_clip(tars: Sequence[Shard]) -> UserError:
    """Return the error that there is nothing to train on in some shards."""
    return UserError(f"{tars[0][0]}: no clip to train on in this and {len(tars) - 1} more; see the ledgers")


def _arrays(tar: Path, name: str) -> dict[str, Tensor]:
    """Return one array of each clip of a shard, by key."""
    return {sample["__key__"]: torch.from_numpy(_member(tar, sample, name)) for sample in read_shard(tar)}


def _stored(tar: Path, samples: Iterable[Sample]) -> Iterator[tuple[str, list[Tensor]]]:
    """Yield key, and latents, masked latents and poses, as the stage `latents` wrote them."""
    for sample in samples:
        yield sample["__key__"], [torch.from_numpy(_member(tar, sample, name)) for name in MEMBERS]


def _encoded(tar: Path, samples: Iterable[Sample], encoder: Encoder) -> Iterator[tuple[str, list[Tensor]]]:
    """Yield the same of joined samples: threads decode crops, which leaves Python free, and one encodes them."""

    def decoded(sample: Sample) -> tuple[str, np.ndarray, np.ndarray]:
        with member_named(tar, sample, CROPS):
            return sample["__key__"], *decode_clip(sample)

    longest = max(frames_in(tar).values(), default=1)
    for key, crops, pose in ahead(decoded, samples, THREADS, max(1, min(THREADS, DECODED_FRAMES // longest))):
        yield key, [*encoder(crops), torch.from_numpy(pose)]


def _member(tar: Path, sample: Sample, name: str) -> np.ndarray:
    with member_named(tar, sample, name):
        return decode_npy(sample[name])
