"""How sure the recognizer is of a word, in a number that means what it says.

A word is as probable as the choices that spelled it: those of its characters and of the space or the
end behind it. Such probabilities are too high or too low by a model's habit, and a product of many is too
low: a straight line through their log odds, fitted where the truth is known, mends that (Platt 1999).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr_seq2seq.config import DecodingConfig
from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.options import DecodingOptions

_LARGEST = 30.0  # log odds of one in ten million millions; beyond, float64 rounds to 1
_LOWEST, _HIGHEST = 0.05, 20.0  # temperatures
_STEPS = 100  # of Newton's method, which needs about ten


@dataclass(frozen=True)
class PlattScaling:
    """What turns a word's probability into an honest one: log odds / temperature + offset (Platt 1999).

    >>> round(PlattScaling(2.0)(0.9), 6), round(PlattScaling(1.0, 1.0)(0.5), 6)
    (0.75, 0.731059)
    """

    temperature: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, options: DecodingConfig | DecodingOptions) -> PlattScaling:
        """The scaling that a model's or a search's options have."""
        return cls(options.confidence_temperature, options.confidence_offset)

    def options(self) -> dict[str, float]:
        """The options that `of` reads it from."""
        return {"confidence_temperature": self.temperature, "confidence_offset": self.offset}

    def __call__(self, probability: float) -> float:
        """The probability that such a word is right."""
        odds = _log_odds(probability) / self.temperature + self.offset
        return 1 / (1 + math.exp(-max(-_LARGEST, min(_LARGEST, odds))))


def word_places(tokens: Sequence[int], space: int) -> list[list[int]]:
    """The positions of each word's characters, words being what spaces part.

    >>> word_places([5, 6, 4, 4, 7], space=4)
    [[0, 1], [4]]
    """
    places: list[list[int]] = [[]]
    for position, token in enumerate(tokens):
        if token == space:
            places.append([])
        else:
            places[-1].append(position)
    return [word for word in places if word]


def word_confidences(hypothesis: Hypothesis, space: int, scaling: PlattScaling) -> list[float]:
    """For each word of a hypothesis the probability that it is right."""
    return [
        scaling(math.exp(min(0.0, sum(hypothesis.chosen[word[0] : word[-1] + 2]))))
        for word in word_places(hypothesis.tokens, space)
    ]


def _log_odds(probability: float) -> float:
    if not 0 < probability < 1:
        return _LARGEST if probability else -_LARGEST
    return max(-_LARGEST, min(_LARGEST, math.log(probability) - math.log1p(-probability)))


def fit_scaling(probabilities: Sequence[float], correct: Sequence[bool]) -> PlattScaling:
    """The scaling of least cross-entropy on words known to be right or wrong.

    One that changes nothing where all are right or all wrong, and where the probabilities tell nothing: a
    temperature outside 0.05 to 20, or an offset beyond 30. Targets are a little off 0 and 1, as Platt (1999)
    has them, so that words which a threshold parts have a finite best; Newton's method with halved steps
    finds it, since the cross-entropy is convex (Lin, Lin and Weng 2007).
    """
    right = np.array(correct, bool)
    if right.all() or not right.any():
        return PlattScaling()
    count = right.sum()
    target = np.where(right, (count + 1) / (count + 2), 1 / (len(right) - count + 2))
    inputs = np.stack([[_log_odds(p) for p in probabilities], np.ones(len(right))], axis=1)

    def loss(line: npt.NDArray[np.float64]) -> float:
        odds = inputs @ line
        return float((np.logaddexp(0, odds) - target * odds).mean())

    line = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        found = 1 / (1 + np.exp(-np.clip(inputs @ line, -_LARGEST, _LARGEST)))
        slope = inputs.T @ (found - target) / len(target)
        curvature = (inputs.T * (found * (1 - found))) @ inputs / len(target) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        while loss(line - step) > loss(line) and np.abs(step).max() > 1e-9:
            step /= 2
        line = line - step
        if np.abs(step).max() < 1e-9:
            break
    if not 1 / _HIGHEST <= line[0] <= 1 / _LOWEST or abs(line[1]) > _LARGEST:
        return PlattScaling()
    return PlattScaling(1 / float(line[0]), float(line[1]))


def expected_calibration_error(
    confidences: Sequence[float], correct: Sequence[bool], bins: int = 15
) -> float:
    """How far confidence and the part that is right lie apart, on average over words.

    Words are put into `bins` equal ranges of confidence (Naeini et al. 2015; Guo et al. 2017, section 2).
    """
    sure, right = np.array(confidences, dtype=float), np.array(correct, dtype=float)
    which = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(which, sure, bins) - np.bincount(which, right, bins))
    return float(gaps.sum() / max(1, len(sure)))
