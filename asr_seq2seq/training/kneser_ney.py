"""Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999), and pruning by relative entropy.

p(w | h) = a(w | h) + g(h) p(w | h'), where a is the discounted share of the n-gram (h, w), h' is h without
its first word, and g(h) = 1 - sum over w of a(w | h). Whatever is left out, its share goes to g: every model
sums to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr_seq2seq.training.word_counts import Counts, Keys, Ngrams, first_word, last_word, prefix, suffix

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Order:
    """The n-grams of one order: sorted keys (n,), their shares a(w | h) (n,), and `seen` (n,).

    `seen` is how often the history of each occurs.
    """

    keys: Keys
    shares: Floats
    seen: Counts

    def kept(self, mask: Mask) -> Order:
        """Only the n-grams where `mask` (n,) holds."""
        return Order(self.keys[mask], self.shares[mask], self.seen[mask])


@dataclass(frozen=True)
class Smoothed:
    """Probabilities of single words, (V,), and the n-grams of orders 2 and up."""

    unigrams: Floats
    orders: list[Order]

    def rests(self, order: Order) -> tuple[Keys, Floats]:
        """The histories of an order, sorted, and g of each."""
        histories, starts = np.unique(prefix(order.keys), return_index=True)
        rest = 1 - np.add.reduceat(order.shares, starts) if len(starts) else np.zeros(0)
        return histories, np.maximum(rest, 0.0)

    def probabilities(self, keys: Keys, length: int) -> Floats:
        """p(last word | words before) of n-grams (n,) of `length` words."""
        result: Floats = self.unigrams[last_word(keys)]
        for number, order in enumerate(self.orders[: length - 1], start=2):
            own = suffix(keys, number + 1) if number < length else keys
            histories, rests = self.rests(order)
            result *= _found(prefix(own), histories, rests, 1.0)
            result += _found(own, order.keys, order.shares, 0.0)
        return result


def _found(keys: Keys, table: Keys, values: Floats, default: float) -> Floats:
    """The values of `keys` in a sorted table, `default` where they are not in it."""
    if not len(table):
        return np.full(len(keys), default)
    places = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return np.where(table[places] == keys, values[places], default)


def smooth(counted: Sequence[Ngrams], size: int, boundary: int, cutoffs: Sequence[int]) -> Smoothed:
    """Counts of each order from 1 -> a model over `size` words, the boundary among them.

    N-grams of order k that occur no more than `cutoffs[k - 1]` times are left out, but for those that are the
    beginning of a longer one.
    """
    adjusted = [_adjusted(counted, order, boundary) for order in range(1, len(counted) + 1)]
    unigrams = np.zeros(size)
    shares, left = _discounted(
        adjusted[0], np.zeros(len(adjusted[0]), np.int64), np.array([adjusted[0].sum()])
    )
    unigrams[counted[0].keys.astype(np.int64)] = shares
    unigrams += left[0] / size
    orders: list[Order] = []
    for length, (ngrams, counts) in enumerate(zip(counted[1:], adjusted[1:], strict=True), start=2):
        _, starts, group = np.unique(prefix(ngrams.keys), return_index=True, return_inverse=True)
        totals = np.add.reduceat(counts, starts)
        shares, _ = _discounted(counts, group, totals)
        seen = np.add.reduceat(ngrams.counts, starts)[group]
        orders.append(Order(ngrams.keys, shares, seen).kept(ngrams.counts > cutoffs[length - 1]))
    return Smoothed(unigrams, _with_histories(orders))


def _adjusted(counted: Sequence[Ngrams], length: int, boundary: int) -> Counts:
    """Of lower orders how many words stand before; the plain count of the highest, and at a beginning."""
    ngrams = counted[length - 1]
    if length == len(counted):
        return ngrams.counts
    before = np.searchsorted(ngrams.keys, suffix(counted[length].keys, length + 1))
    result = np.bincount(before, minlength=len(ngrams.keys))
    if length > 1:  # nothing stands before the beginning of a sentence
        begins = first_word(ngrams.keys, length) == boundary
        result[begins] = ngrams.counts[begins]
    return result


def _discounted(counts: Counts, group: Counts, totals: Counts) -> tuple[Floats, Floats]:
    """Adjusted counts -> shares of the group's total, and what the discounts leave in each group."""
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    shares = (counts - discounts) / totals[group]
    return shares, np.bincount(group, discounts, len(totals)) / totals


def _discounts(counts: Counts) -> Floats:
    """D(0), D(1), D(2), D(3 and more); 0, 0.5, 1, 1.5 where there are too few counts to tell."""
    number = [int(np.count_nonzero(counts == count)) for count in range(1, 5)]
    fallback = np.array([0.0, 0.5, 1.0, 1.5])
    if not all(number):
        return fallback
    y = number[0] / (number[0] + 2 * number[1])
    found = np.array([0.0, *(k - (k + 1) * y * number[k] / number[k - 1] for k in (1, 2, 3))])
    valid = (found[1:] > 0).all() and (found <= [0, 1, 2, 3]).all()
    return found if valid else fallback


def _with_histories(orders: list[Order]) -> list[Order]:
    """The n-grams that longer ones begin with are put back, with no share of their own."""
    result = list(orders)
    for number in range(len(orders) - 1, 0, -1):
        needed = np.unique(prefix(result[number].keys))
        lower = result[number - 1]
        missing = needed[~np.isin(needed, lower.keys)]
        if not len(missing):
            continue
        keys = np.concatenate([lower.keys, missing])
        order = np.argsort(keys)
        zeros = np.zeros(len(missing))
        result[number - 1] = Order(
            keys[order],
            np.concatenate([lower.shares, zeros])[order],
            np.concatenate([lower.seen, zeros.astype(np.int64)])[order],
        )
    return result


def prune(model: Smoothed, threshold: float, words: int) -> Smoothed:
    """Without the n-grams that lower the relative entropy by less than `threshold` (after Stolcke 1998).

    `words` is the length of the text. Those that longer n-grams begin with stay.
    """
    orders = list(model.orders)
    for number in range(len(orders) - 1, -1, -1):
        order, length = orders[number], number + 2
        smaller = Smoothed(model.unigrams, orders[:number])
        shorter = smaller.probabilities(suffix(order.keys, length), length - 1)
        histories, rests = model.rests(order)
        rest = _found(prefix(order.keys), histories, rests, 1.0)
        with_it = order.shares + rest * shorter
        without = (order.shares + rest) * shorter
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(rest > 0, rest * np.log1p(order.shares / rest), 0.0)
            loss = order.seen / words * (with_it * np.log(with_it / without) - gain)
        keep = loss > threshold
        if number + 1 < len(orders):
            keep |= np.isin(order.keys, prefix(orders[number + 1].keys))
        orders[number] = order.kept(keep)
    return Smoothed(model.unigrams, orders)


def perplexity(model: Smoothed, stream: npt.NDArray[np.uint16], boundary: int) -> tuple[float, int]:
    """Of a text, ends of sentences and unknown words (as one word) included; and how many words that are."""
    total, count = 0.0, 0
    most = len(model.orders) + 1
    since = np.arange(len(stream)) - np.maximum.accumulate(
        np.where(stream == boundary, np.arange(len(stream)), -1)
    )
    since[stream == boundary] = np.diff(np.flatnonzero(stream == boundary), prepend=-1)  # from the one before
    for length in range(1, most + 1):
        places = np.flatnonzero(since + 1 >= most if length == most else since + 1 == length)
        places = places[places >= length - 1]
        places = places[places > 0]
        if not len(places):
            continue
        keys = np.zeros(len(places), np.uint64)
        for back in range(length - 1, -1, -1):
            keys = (keys << np.uint64(16)) | stream[places - back]
        total += float(np.log(model.probabilities(keys, length)).sum())
        count += len(places)
    return float(np.exp(-total / count)), count
