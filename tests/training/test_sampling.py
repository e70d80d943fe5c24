import random
import warnings
from collections.abc import Iterator

import pytest

from asr_seq2seq.training.sampling import plan_batches


def lengths(count: int, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [round(chance.uniform(0.1, 20.0), chance.choice((0, 2))) + 0.1 for _ in range(count)]


def of_lhotse(
    durations: list[float], budget: float, *, buckets: int, shuffle: bool, seed: int
) -> Iterator[list[int]]:
    """What lhotse's samplers make of cuts of these durations."""
    lhotse = pytest.importorskip("lhotse", reason="the extra `train` is not installed")
    from lhotse.dataset.sampling import DynamicBucketingSampler, DynamicCutSampler

    cuts = lhotse.CutSet.from_cuts(
        lhotse.MonoCut(str(number), 0.0, seconds, 0) for number, seconds in enumerate(durations)
    )
    settings = {"max_duration": budget, "shuffle": shuffle, "seed": seed, "rank": 0, "world_size": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for batch in (
            DynamicBucketingSampler(cuts, num_buckets=buckets, **settings)
            if buckets > 1
            else DynamicCutSampler(cuts, **settings)
        ):
            yield [int(cut.id) for cut in batch]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("count", "buckets", "budget"),
    [(1, 1, 60), (2, 1, 60), (7, 1, 5), (300, 1, 60), (8, 2, 30), (500, 10, 60), (500, 30, 600), (90, 9, 1)],
)
def test_batches_are_those_that_runs_were_begun_with(
    count: int, buckets: int, budget: float, shuffle: bool
) -> None:
    for seed in range(3):
        durations = lengths(count, seed)
        found = list(plan_batches(durations, budget, buckets=buckets, shuffle=shuffle, seed=seed))
        expected = list(of_lhotse(durations, budget, buckets=buckets, shuffle=shuffle, seed=seed))
        assert found == expected


def test_a_corpus_larger_than_the_buckets_hold() -> None:
    durations = lengths(25_000)
    found = list(plan_batches(durations, 300.0, buckets=20, shuffle=True, seed=4))
    assert sorted(index for batch in found for index in batch) == list(range(25_000))
    assert found == list(of_lhotse(durations, 300.0, buckets=20, shuffle=True, seed=4))


def test_utterances_of_one_length_and_of_none() -> None:
    assert list(plan_batches([1.0] * 9, 3.5, buckets=2, shuffle=False, seed=0)) == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
    ]
    assert not list(plan_batches([], 3.5, buckets=2, shuffle=True, seed=0))
    assert not list(plan_batches([], 3.5, buckets=1, shuffle=True, seed=0))


def test_a_batch_keeps_to_the_budget_and_to_one_bucket() -> None:
    durations = lengths(2000)
    spreads = []
    for batch in plan_batches(durations, 100.0, buckets=10, shuffle=True, seed=0):
        seconds = [durations[index] for index in batch]
        assert len(batch) * max(seconds[:-1], default=0.0) <= 100.0
        spreads.append(max(seconds) - min(seconds))
    assert sorted(spreads)[len(spreads) // 2] < 2.5
