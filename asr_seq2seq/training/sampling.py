"""Which utterances form a batch: similar lengths together, under a budget of seconds of sound.

The method and the order of its draws are those of lhotse's DynamicBucketingSampler and DynamicCutSampler, so
that a run whose batches these planned resumes with the same ones; a test compares them.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

BUFFERED = 20_000  # utterances in buckets at a time
_MEASURED = 10_000  # utterances from which the bounds of the buckets follow
_BUCKET_SEED = 1234


def plan_batches(
    durations: Sequence[float], budget: float, *, buckets: int, shuffle: bool, seed: int
) -> Iterator[list[int]]:
    """The indices of each batch of an epoch, for utterances of these durations (s), each once.

    A batch of one bucket is full where another utterance as long as its longest would not fit into `budget`
    seconds with padding.
    """
    chance = random.Random(seed)
    if buckets < 2:
        yield from _in_order(durations, budget, chance if shuffle else None)
        return
    bounds = _bounds(durations[:_MEASURED], buckets)
    held: list[list[int]] = [[] for _ in range(len(bounds) + 1)]
    coming = iter(range(len(durations)))
    next_bucket = random.Random(_BUCKET_SEED)

    def hold(count: int) -> None:
        for index in islice(coming, count):
            held[bisect_left(bounds, durations[index])].append(index)

    hold(BUFFERED)
    while any(held):
        bucket = _nearest(held, next_bucket.randrange(len(held)), durations, budget)
        order = list(range(len(bucket)))
        if shuffle:
            chance.shuffle(order)
        places = order[: _count((durations[bucket[place]] for place in order), budget) or len(order)]
        yield [bucket[place] for place in places]
        for place in sorted(places, reverse=True):
            del bucket[place]
        hold(len(places))


def _bounds(durations: Sequence[float], buckets: int) -> list[float]:
    """The longest duration of each bucket but the last, where all hold about the same seconds."""
    sizes = np.sort(np.array(durations))
    share = sizes.sum() / buckets
    bounds, total = [], 0.0
    for size in sizes:
        if total > share:
            bounds.append(size)
            total = 0.0
        total += size
    return bounds


def _nearest(held: list[list[int]], wanted: int, durations: Sequence[float], budget: float) -> list[int]:
    """The bucket nearest to the wanted one that holds a whole batch, or else any utterance."""
    nearest = [
        held[index] for index in sorted(range(len(held)), key=lambda index: (abs(index - wanted), index))
    ]
    for bucket in nearest:
        if _count((durations[index] for index in bucket), budget):
            return bucket
    return next(filter(None, nearest))


def _count(durations: Iterator[float], budget: float) -> int | None:
    """How many of these utterances fill a batch; None where all of them do not."""
    longest = 0.0
    for count, duration in enumerate(durations, start=1):
        longest = max(longest, duration)
        if (count + 1) * longest > budget:
            return count
    return None


def _in_order(durations: Sequence[float], budget: float, chance: random.Random | None) -> Iterator[list[int]]:
    """Batches without buckets, in the order of the utterances or mixed."""
    order = list(range(len(durations)))
    batch, longest = list[int](), 0.0
    for index in order if chance is None else _mixed(order, chance):
        batch.append(index)
        longest = max(longest, durations[index])
        if (len(batch) + 1) * longest > budget:
            yield batch
            batch, longest = [], 0.0
    if batch:
        yield batch


def _mixed(indices: list[int], chance: random.Random) -> list[int]:
    waiting: list[int] = []
    coming = iter(indices)
    for index in coming:
        waiting += islice(coming, 1)
        if waiting:
            place = chance.randrange(len(waiting))
            index, waiting[place] = waiting[place], index
        waiting.append(index)
    return waiting
