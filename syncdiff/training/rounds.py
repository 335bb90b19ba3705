"""Rounds: which shards are in memory in which steps, where not all of them fit, and how the next ones are read.

An epoch goes through all shards in a new order, in rounds of about equal size. A round lasts as many steps as it has
frames, so that over an epoch each frame is drawn as often as the others. Two rounds are in memory at a time: the one
that is used, and the one that is being read. Which shards step k draws from follows from (shards, seed, k) alone.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice, repeat
from typing import TypeVar

import numpy as np

log = logging.getLogger(__name__)

THREADS = 8  # that decode crops, or look at headers: neither takes much of Python's own time

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Round:
    """Steps `first` to `stop`, which draw from `shards` (indices); `number` counts rounds over all epochs."""

    number: int
    shards: tuple[int, ...]
    first: int
    stop: float

    def drawn(self, n: int, step: int, plan: RoundPlan) -> np.ndarray:
        """Return which of the `n` units of the round a step draws: (per_step,) int64, epoch after shuffled epoch."""
        return shuffled(n, (plan.seed, self.number), (step - self.first) * plan.per_step, plan.per_step)


@dataclass(frozen=True)
class RoundPlan:
    """The rounds of a training.

    Attributes:
        sizes: bytes that each shard takes in memory; 0: it has nothing to draw.
        units: how much there is to draw in each: frames, or clips.
        room: bytes for all that is in memory.
        per_step: units that a step draws.
        round_steps: steps of a round, about: each unit is drawn a whole number of times in a round.
        seed: of the order.
    """

    sizes: Sequence[int]
    units: Sequence[int]
    room: int
    per_step: int
    round_steps: int
    seed: int

    @property
    def single(self) -> bool:
        """Whether all shards fit in memory: then one round has no end."""
        return sum(self.sizes) <= self.room

    def rounds(self, start_step: int = 0) -> Iterator[Round]:
        """Yield rounds without end, from the one that `start_step` is in."""
        if self.single:
            yield Round(0, tuple(range(len(self.sizes))), 0, math.inf)
            return
        parts = len(_balanced(self._filled(), self.sizes, self.room // 2))
        draws = max(1, round(self.round_steps * self.per_step * parts / sum(self.units)))
        steps = max(parts, round(draws * sum(self.units) / self.per_step))
        for epoch in count(start_step // steps):
            yield from (part for part in self._epoch(epoch, steps) if part.stop > max(start_step, part.first))

    def _filled(self) -> list[int]:
        return [shard for shard, size in enumerate(self.sizes) if size]

    def _epoch(self, epoch: int, steps: int) -> Iterator[Round]:
        random = np.random.default_rng([self.seed, epoch])
        parts = _balanced(random.permutation(self._filled()).tolist(), self.sizes, self.room // 2)
        share = np.cumsum([0, *(sum(self.units[shard] for shard in part) for part in parts)]) / sum(self.units)
        ends = epoch * steps + np.floor(steps * share + random.random()).astype(int)  # rounded up as often as is fair
        ends[-1] = (epoch + 1) * steps
        for place, part in enumerate(parts):
            yield Round(epoch * len(parts) + place, tuple(part), int(ends[place]), int(ends[place + 1]))

    def warn(self, names: Sequence[object]) -> None:
        """Warn of the shard, if there is one, that takes more memory than it should."""
        largest = max(self.sizes)
        if not self.single and largest > self.room // 2:
            log.warning(
                f"{names[self.sizes.index(largest)]}: takes {largest / 1e9:.3g} GB of memory, and as much again while"
                f" another is read, instead of {self.room / 2e9:.3g} GB; for less, lower plan.frames_per_shard"
            )


def _balanced(shards: Sequence[int], sizes: Sequence[int], room: int) -> list[list[int]]:
    """Return `shards` in the fewest groups that fit `room`, the largest first, each to the group that is smallest.

    A shard that is larger than `room` makes room for groups as large as itself.
    """
    room = max(room, *(sizes[shard] for shard in shards))
    ordered = sorted(shards, key=lambda shard: -sizes[shard])
    for n_groups in count(max(1, math.ceil(sum(sizes[shard] for shard in shards) / room))):
        groups: list[list[int]] = [[] for _ in range(n_groups)]
        held = np.zeros(n_groups, dtype=np.int64)
        for shard in ordered:
            smallest = int(held.argmin())
            groups[smallest].append(shard)
            held[smallest] += sizes[shard]
        if held.max() <= room:
            return groups
    raise AssertionError


def held_in_turn(plan: RoundPlan, read: Callable[[Round], T], start_step: int) -> Iterator[tuple[Round, int, T]]:
    """Yield for each step without end, from `start_step` on, its round, the step, and what `read` made of the round."""
    made: Iterator[tuple[Round, T]] = ((part, read(part)) for part in plan.rounds(start_step))
    if not plan.single:
        made = next_ahead(made)
    while True:
        part, held = next(made)
        for step in count(max(start_step, part.first)):
            if step >= part.stop:
                break
            yield part, step, held
        del held  # before another one is read


def ahead(work: Callable[[T], R], items: Iterable[T], workers: int = 1, depth: int = 1) -> Iterator[R]:
    """Yield `work(item)` in order, the next `depth` of them under way in threads while one is used.

    A new item is begun when the one before is asked for: who has let go of it by then holds two at a time.
    """
    items = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead") as threads:
        coming = deque(threads.submit(work, item) for item in islice(items, depth))
        while coming:
            ready = [coming.popleft().result()]
            coming.extend(threads.submit(work, item) for item in islice(items, 1))
            yield ready.pop()


def next_ahead(stream: Iterator[R], depth: int = 1) -> Iterator[R]:
    """Yield from an endless stream, whose next `depth` items are made in a thread while one is used."""
    return ahead(next, repeat(stream), depth=depth)


def shuffled(n: int, seed: tuple[int, int], first: int, length: int) -> np.ndarray:
    """Return places `first` to `first + length` of an endless stream of shuffled epochs over n: (length,) int64."""
    epochs, places = np.divmod(np.arange(first, first + length), n)
    return np.concatenate([_permutation(n, (*seed, epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])


@lru_cache(maxsize=2)
def _permutation(n: int, seed: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)
