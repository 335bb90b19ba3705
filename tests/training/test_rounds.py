"""Rounds: of equal size, all shards in each epoch, and no more in memory than there is room for."""

from collections import Counter
from itertools import islice

import pytest

from syncdiff.training.rounds import RoundPlan, ahead, shuffled

pytestmark = pytest.mark.quick


def plan(sizes: list[int], room: int, per_step: int = 4) -> RoundPlan:
    return RoundPlan(sizes, sizes, room, per_step, round_steps=10, seed=1)


@pytest.mark.parametrize(
    ("n", "fit", "expected"),
    [(8, 14, {4}), (8, 7, {2, 3}), (813, 232, {101, 102}), (9, 6, {3}), (7, 2, {1})],
    ids=["7 of 8 beside as many", "7 of 8", "LRS2's", "a third", "one by one"],
)
def test_rounds_are_of_equal_size(n: int, fit: int, expected: set[int]) -> None:
    shards = plan([10] * n, 10 * fit + 5)
    sizes = [len(part.shards) for part in islice(shards.rounds(), 40)] if not shards.single else []
    assert set(sizes) == expected if fit < n else shards.single


def test_an_epoch_goes_through_all_shards_once_in_an_order_of_its_own() -> None:
    stream = plan([10] * 8, 45).rounds()
    epochs = [[shard for part in islice(stream, 4) for shard in part.shards] for _ in range(6)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_a_round_lasts_as_long_as_it_has_frames() -> None:
    """Each of them is drawn a whole number of times in an epoch, give or take the end of a step."""
    sizes = [70, 10, 30, 30, 20, 50]
    parts = list(islice(plan(sizes, 160, per_step=5).rounds(), 9))
    assert [part.first for part in parts[1:]] == [part.stop for part in parts[:-1]]
    draws = [5 * (part.stop - part.first) / sum(sizes[shard] for shard in part.shards) for part in parts]
    assert max(draws) - min(draws) < 0.2
    assert all(sum(sizes[shard] for shard in part.shards) <= 80 for part in parts)


def test_the_rounds_from_a_step_on_are_those_of_the_whole_stream() -> None:
    shards = plan([70, 10, 30, 30, 20, 50], 160)
    whole = list(islice(shards.rounds(), 30))
    for start in (0, 1, 17, 40, int(whole[10].stop), int(whole[10].stop) - 1):
        expected = [part for part in whole if part.stop > start]
        assert list(islice(shards.rounds(start), 5)) == expected[:5]


def test_a_giant_shard_is_alone_and_the_others_keep_their_company() -> None:
    parts = list(islice(plan([1000] + [10] * 40, 400).rounds(), 20))
    assert {len(part.shards) for part in parts} == {1, 40}


def test_a_tiny_shard_s_steps_are_fair_over_epochs() -> None:
    stream = RoundPlan([4000, 3], [4000, 3], 10, per_step=8, round_steps=10, seed=0).rounds()
    steps: Counter[tuple[int, ...]] = Counter()
    for part in islice(stream, 400):
        steps[part.shards] += int(part.stop) - part.first
    assert steps[(1,)] / steps[(0,)] == pytest.approx(3 / 4000, rel=0.5)


def test_places_in_shuffled_epochs() -> None:
    drawn = shuffled(5, (0, 0), 3, 12)
    assert sorted(drawn[2:7].tolist()) == sorted(drawn[7:].tolist()) == [0, 1, 2, 3, 4]


def test_what_fails_in_a_thread_fails_where_it_is_wanted() -> None:
    stream = ahead(lambda n: 1 // n, [1, 1, 0, 1], workers=2, depth=2)
    assert [next(stream), next(stream)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(stream)
