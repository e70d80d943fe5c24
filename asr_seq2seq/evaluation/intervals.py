"""How far a rate may be off: intervals by the bootstrap, for a system and for the difference of two.

Utterances of one speaker err alike, so whole speakers are drawn where they are known. The rate is a ratio of
sums, its standard error the linearised one (Cochran 1977, section 6.3), and the interval the bootstrap-t
(Efron and Tibshirani 1993, chapter 12): the plain percentile interval is too narrow with few speakers.
``docs/results.md`` says how often each covers the truth.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
RESAMPLES = 2000
SEED = 1
FEWEST_SPEAKERS = 4  # with fewer there is nothing to learn about speakers that are not in it
TRUSTED_SPEAKERS = 10  # with fewer, but more than one, an interval is either too narrow or says nothing
_FEW = 10  # errors; with more of them the bootstrap needs no help
_CELLS = 2_000_000  # drawn numbers held at a time

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Where the true rate lies, at a confidence of 95 %."""

    low: float
    high: float

    def to_list(self) -> list[float]:
        """Return the two ends for JSON."""
        return [round(self.low, 6), round(self.high, 6)]


@dataclass(frozen=True)
class Sampling:
    """What is drawn in a bootstrap: ``unit`` is its name, ``of`` the number of each utterance's unit.

    ``speakers`` is how many there are, 0 where that is not known.
    """

    unit: str
    of: npt.NDArray[np.int64]
    count: int
    speakers: int = 0

    @property
    def trusted(self) -> bool:
        """Whether an interval can be trusted: enough speakers, one (whom it is about), or none known."""
        return self.speakers < 2 or self.speakers >= TRUSTED_SPEAKERS

    def describe(self) -> str:
        """Return in words what the intervals rest on, or why there are none."""
        if not self.trusted:
            return (
                f"no 95 % intervals: with {self.speakers} speakers they cannot be trusted "
                f"({TRUSTED_SPEAKERS} or more are needed)"
            )
        whose = " of one speaker, and for that speaker alone" if self.speakers == 1 else ""
        return f"95 % intervals by bootstrap over {self.count:,} {self.unit}{whose}"

    def sums(self, values: Sequence[float]) -> Numbers:
        """Return the sum of an utterance's value over each unit, (count,)."""
        return np.bincount(self.of, np.asarray(values, dtype=float), self.count).astype(float)


def sampling(speakers: Sequence[str | None]) -> Sampling:
    """Return what to draw: speakers where every utterance has one and there are enough, or else utterances.

    >>> sampling(["a", "b", "a", None]).unit, sampling(["a", "b", "c", "d"]).unit
    ('utterances', 'speakers')
    """
    numbers: dict[Hashable, int] = {}
    of = [numbers.setdefault(speaker, len(numbers)) for speaker in speakers]
    known = 0 if None in numbers else len(numbers)
    if known < FEWEST_SPEAKERS:
        return Sampling("utterances", np.arange(len(speakers)), len(speakers), known)
    return Sampling("speakers", np.array(of, dtype=np.int64), known, known)


def ratio_interval(
    errors: Numbers, totals: Numbers, *, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval | None:
    """Errors and totals of each drawn unit, (G,) -> the 95 % interval of sum(errors) / sum(totals).

    Where nothing or too little is wrong to draw from, the bound above is at least that of the exact test of
    as many independent errors (Garwood 1936). None if there is nothing to count, or nothing to learn from:
    fewer than three units, or units that are all wrong at one rate.
    """
    if len(errors) < 3 or not totals.sum():
        return None
    estimate, deviation, drawn = _studentised(errors, totals, resamples, seed)
    if errors.any() and not deviation:
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (0.0, 0.0)
    return Interval(
        max(0.0, estimate - float(high) * deviation),
        max(estimate - float(low) * deviation, _exact_bound(errors.sum(), totals.sum(), tail)),
    )


def difference_interval(
    differences: Numbers, totals: Numbers, differing: int, *, resamples: int
) -> tuple[Interval, float]:
    """Differences of two systems' errors in each drawn unit -> the interval of their rate, and p.

    p is two-sided, of the hypothesis that there is no difference; it comes from the very draws of the
    interval, so the two agree. Where a few utterances differ a bootstrap is too sure: with `differing` of
    them p is never below the least of a sign test, and where that is not significant the interval holds 0.
    """
    least = least_p(differing)
    estimate, deviation, drawn = _studentised(differences, totals, resamples, SEED)
    low = high = estimate
    p = least
    if deviation and len(drawn):
        tail = (1 - LEVEL) / 2
        ends = np.quantile(drawn, [tail, 1 - tail])
        low, high = estimate - float(ends[1]) * deviation, estimate - float(ends[0]) * deviation
        seen = estimate / deviation
        beyond = min((drawn >= seen).sum(), (drawn <= seen).sum())
        p = max(least, min(1.0, 2 * (1 + int(beyond)) / (1 + len(drawn))))
    if least > 1 - LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    return Interval(low, high), p


def least_p(differing: int) -> float:
    """The least two-sided p of a test by signs, where so many differ: all of them in one direction.

    >>> least_p(0), least_p(2), least_p(6)
    (1.0, 0.5, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - differing))


def _studentised(errors: Numbers, totals: Numbers, resamples: int, seed: int) -> tuple[float, float, Numbers]:
    """The rate, its standard error, and (rate* - rate) / error* of each draw that has an error*."""
    count = len(errors)
    estimate = float(errors.sum() / totals.sum())
    # Of a draw only these five sums are needed: a product with how often each unit was drawn.
    parts = np.stack([errors, totals, errors**2, errors * totals, totals**2], 1)  # (G, 5)
    deviation = float(_deviation(parts.sum(0), count))
    chance = np.random.default_rng(seed)
    drawn = []
    block = max(1, _CELLS // count)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        rows = chance.integers(0, count, (size, count), dtype=np.int32) + count * np.arange(size)[:, None]
        times = np.bincount(rows.ravel(), minlength=size * count).reshape(size, count)
        sums = times.astype(float) @ parts
        sums = sums[sums[:, 1] > 0]
        deviations = _deviation(sums, count)
        usable = deviations > 1e-9 * deviation
        rates = sums[usable, 0] / sums[usable, 1]
        drawn.append((rates - estimate) / deviations[usable])
    return estimate, deviation, np.concatenate(drawn)


def _deviation(sums: Numbers, count: int) -> Numbers:
    """Standard errors of the ratio of sums by its linearisation, from the five sums (..., 5) of each draw."""
    errors, totals, squares, products, squared_totals = np.moveaxis(sums, -1, 0)
    rates = errors / totals
    residuals = squares - 2 * rates * products + rates**2 * squared_totals
    residuals = np.where(residuals > 1e-9 * squares, residuals, 0.0)  # what rounding leaves of nothing
    deviation: Numbers = np.sqrt(residuals * count / (count - 1)) / totals
    return deviation


def _exact_bound(errors: float, total: float, tail: float) -> float:
    """The largest rate of a Poisson count with a probability above `tail` of so few errors, by bisection."""
    if errors >= _FEW:
        return 0.0
    low, high = 0.0, errors + 2 - 4 * math.log(tail)
    for _ in range(60):
        mean = (low + high) / 2
        probability = sum(
            mean**count * math.exp(-mean) / math.factorial(count) for count in range(int(errors) + 1)
        )
        low, high = (mean, high) if probability > tail else (low, mean)
    return low / total
