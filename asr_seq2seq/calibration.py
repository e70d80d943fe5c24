"""How sure the recognizer is of a word, in a number that means what it says.

A word is as probable as the choices that spelled it: those of its characters and of the space or the
end behind it. Such probabilities are too high or too low by a model's habit; one temperature, fitted
where the truth is known, mends that (Platt 1999 without the offset; Guo et al. 2017, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from asr_seq2seq.search import Hypothesis

_LARGEST = 30.0  # log odds of one in ten million millions; beyond, float64 rounds to 1


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


def word_confidences(hypothesis: Hypothesis, space: int, temperature: float) -> list[float]:
    """For each word of a hypothesis the probability that it is right."""
    return [
        soften(math.exp(min(0.0, sum(hypothesis.chosen[word[0] : word[-1] + 2]))), temperature)
        for word in word_places(hypothesis.tokens, space)
    ]


def soften(probability: float, temperature: float) -> float:
    """The probability whose log odds are those of the given one, divided by the temperature.

    >>> round(soften(0.9, 1.0), 6), round(soften(0.9, 2.0), 6)
    (0.9, 0.75)
    """
    return 1 / (1 + math.exp(-_log_odds(probability) / temperature))


def _log_odds(probability: float) -> float:
    if not 0 < probability < 1:
        return _LARGEST if probability else -_LARGEST
    return max(-_LARGEST, min(_LARGEST, math.log(probability) - math.log1p(-probability)))


def fit_temperature(probabilities: Sequence[float], correct: Sequence[bool]) -> float:
    """The temperature of least cross-entropy on words known to be right or wrong, from 0.05 to 20.

    1, which changes nothing, where all are right or all wrong: these would be believed too much.
    """
    from scipy.optimize import minimize_scalar

    if all(correct) or not any(correct):
        return 1.0
    signed = np.where(np.array(correct), 1.0, -1.0) * np.array([_log_odds(p) for p in probabilities])

    def cross_entropy(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / math.exp(log_temperature)).mean())

    bounds = (math.log(0.05), math.log(20))
    return math.exp(float(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


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
