"""Which of two systems is better, or that the data cannot tell: paired tests on the same utterances."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.edits import EQUAL, INSERT, Edit
from asr_seq2seq.evaluation.intervals import Interval, Sampling, difference_interval, least_p, sampling
from asr_seq2seq.evaluation.normalizers import TextNormalizer
from asr_seq2seq.evaluation.wer import Judged, Score, judge, total

SIGNIFICANT = 0.05
RESAMPLES = 10_000  # p has steps of a fifth of a thousandth
_BOUNDARY = 2  # words that both systems have right part two segments, as in NIST's sc_stats


@dataclass(frozen=True)
class MatchedPairs:
    """The matched-pairs sentence-segment word error test, MAPSSWE (Gillick and Cox 1989, section 4).

    ``mean`` and ``deviation`` are those of the first system's errors less the second's in a segment, and
    ``differing`` segments have a difference.
    """

    segments: int
    mean: float
    deviation: float
    differing: int

    @property
    def z(self) -> float:
        """The test statistic, normal where there is no difference; 0 where no segment differs."""
        if not self.deviation:
            return math.copysign(math.inf, self.mean) if self.mean and self.segments > 1 else 0.0
        return self.mean / (self.deviation / math.sqrt(self.segments))

    @property
    def p(self) -> float:
        """Two-sided p of the hypothesis that there is no difference, never below the least of a sign test."""
        return max(math.erfc(abs(self.z) / math.sqrt(2)), least_p(self.differing))


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same references; ``difference`` is the WER of the first less that of the second."""

    names: tuple[str, str]
    scores: tuple[Score, Score]
    difference: float
    interval: Interval
    p: float
    matched_pairs: MatchedPairs
    units: Sampling
    normalizer: str

    @property
    def better(self) -> int | None:
        """0 or 1, the system that both tests find better; None where the data cannot tell."""
        if max(self.p, self.matched_pairs.p) >= SIGNIFICANT:
            return None
        return int(self.difference > 0)

    def verdict(self) -> str:
        """Return in words which is better, or that it cannot be told."""
        points = f"{100 * abs(self.difference):.2f} points"
        if self.better is not None:
            winner, loser = self.names[self.better], self.names[1 - self.better]
            return f"{winner} is better than {loser}: its WER is {points} lower"
        first, second = self.names
        seen = f"they differ by {points}" if self.difference else "they make equally many errors"
        if min(self.p, self.matched_pairs.p) < SIGNIFICANT:
            return f"The data cannot tell {first} and {second} apart: {seen}, and the two tests do not agree"
        return f"The data cannot tell {first} and {second} apart: {seen}, and chance alone does that too"

    def describe(self) -> str:
        """Return the comparison as lines to read."""
        rows = [
            f"{name}: WER {score.wer:.2%}  ({score.errors:,} errors in {score.words:,} words)"
            for name, score in zip(self.names, self.scores, strict=True)
        ]
        test, low, high = self.matched_pairs, 100 * self.interval.low, 100 * self.interval.high
        interval = f"95 % interval {low:+.2f} to {high:+.2f}" if self.units.trusted else self.units.describe()
        return "\n".join(
            [
                *rows,
                f"difference {100 * self.difference:+.2f} points, {interval}",
                f"paired bootstrap over {self.units.count:,} {self.units.unit}: p = {_p(self.p)}",
                f"matched pairs (MAPSSWE), {test.segments:,} segments: Z = {test.z:.3f}, p = {_p(test.p)}",
                f"{self.verdict()}.",
                f"texts normalized by {self.normalizer}",
            ]
        )

    def to_dict(self) -> dict[str, object]:
        """Return everything for JSON; rates and differences are fractions."""
        test = self.matched_pairs
        return {
            "systems": [
                {"name": name, **score.to_dict()} for name, score in zip(self.names, self.scores, strict=True)
            ],
            "wer_difference": self.difference,
            "wer_difference_interval": self.interval.to_list() if self.units.trusted else None,
            "bootstrap": {"p": self.p, "unit": self.units.unit, "units": self.units.count},
            "mapsswe": {
                "p": test.p,
                "z": test.z if math.isfinite(test.z) else None,
                "segments": test.segments,
                "mean": test.mean,
                "standard_deviation": test.deviation,
            },
            "better": None if self.better is None else self.names[self.better],
            "verdict": self.verdict(),
            "normalizer": self.normalizer,
        }


def compare(
    references: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    normalizer: TextNormalizer,
    *,
    speakers: Sequence[str | None] = (),
    names: tuple[str, str] = ("A", "B"),
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two systems' hypotheses of the same references.

    ``CorpusError`` if the lists differ in length, or hold fewer than two utterances or no word.
    """
    judged = judge(references, first, normalizer), judge(references, second, normalizer)
    scores = total(one.score for one in judged[0]), total(one.score for one in judged[1])
    if len(references) < 2 or not scores[0].words:
        raise CorpusError("two systems are compared on two utterances with words at least: give more")
    units = sampling(speakers or [None] * len(references))
    errors = [units.sums([one.score.errors for one in system]) for system in judged]
    words = units.sums([one.score.words for one in judged[0]])
    differing = sum(one.score.errors != other.score.errors for one, other in zip(*judged, strict=True))
    interval, p = difference_interval(errors[0] - errors[1], words, differing, resamples=resamples)
    return Comparison(
        names=names,
        scores=scores,
        difference=(scores[0].errors - scores[1].errors) / scores[0].words,
        interval=interval,
        p=p,
        matched_pairs=matched_pairs(*judged),
        units=units,
        normalizer=normalizer.name,
    )


def matched_pairs(first: Iterable[Judged], second: Iterable[Judged]) -> MatchedPairs:
    """Return the matched-pairs test of two systems' alignments with the same references."""
    differences = np.array(
        [
            ours - theirs
            for one, other in zip(first, second, strict=True)
            for ours, theirs in segments(one.edits, other.edits)
        ],
        dtype=float,
    )
    count, differing = len(differences), int(np.count_nonzero(differences))
    if count < 2:
        return MatchedPairs(count, float(differences.sum()), 0.0, differing)
    return MatchedPairs(count, float(differences.mean()), float(differences.std(ddof=1)), differing)


def segments(first: Sequence[Edit], second: Sequence[Edit]) -> list[tuple[int, int]]:
    """Return the errors of both systems in each segment of an utterance that has any.

    Two reference words in a row that both have right, with nothing inserted between, end a segment.
    """
    found: list[tuple[int, int]] = []
    errors = [0, 0]
    right = 0
    for places in zip(_by_word(first), _by_word(second), strict=True):
        inserted, wrong = [place[0] for place in places], [place[1] for place in places]
        if any(inserted):
            right = 0
        errors = [sum(parts) for parts in zip(errors, inserted, strict=True)]
        if any(wrong):
            right = 0
        else:
            right += 1
        if right >= _BOUNDARY and any(errors):
            found.append((errors[0], errors[1]))
            errors = [0, 0]
        errors = [sum(parts) for parts in zip(errors, wrong, strict=True)]
    return [*found, (errors[0], errors[1])] if any(errors) else found


def _by_word(edits: Sequence[Edit]) -> list[tuple[int, int]]:
    """For each reference word, and the end: words inserted before it, and 1 if it is wrong itself."""
    places: list[tuple[int, int]] = []
    inserted = 0
    for edit in edits:
        if edit.kind == INSERT:
            inserted += 1
        else:
            places.append((inserted, int(edit.kind != EQUAL)))
            inserted = 0
    return [*places, (inserted, 0)]


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "less than 0.0001"
