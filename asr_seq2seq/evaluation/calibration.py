"""Confidence that means what it says: a scaling that is fitted on dev and kept only where it helps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr_seq2seq.decoding.confidence import PlattScaling, expected_calibration_error, fit_scaling
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.wer import correct_words
from asr_seq2seq.text.normalizer import Normalizer

_LEAST = 1e-12  # a probability whose logarithm is taken


@dataclass(frozen=True)
class Calibration:
    """The scaling of the words' confidences to use, and whether it is the fitted one (`helps`).

    `before` and `after` are the expected calibration errors on speech that was not fitted on, with the
    scaling that was there and with a fitted one.
    """

    scaling: PlattScaling
    before: float
    after: float
    helps: bool

    def describe(self) -> str:
        """One line about confidence on the held-out speech."""
        off = f"confidence of words on dev: {self.before:.2%} off on average"
        line = f"temperature {self.scaling.temperature:.2f} and offset {self.scaling.offset:.2f}"
        if self.helps:
            return f"{off}, {self.after:.2%} with {line}, fitted on other utterances"
        return f"{off}; fitting does not help on held-out speech ({self.after:.2%}), so it stays {line}"


def judged_words(lines: Iterable[HypothesisLine], normalizer: Normalizer) -> tuple[list[float], list[bool]]:
    """The confidence of every recognized word and whether it is right.

    Utterances whose words the normalizer parts or joins are passed over.
    """
    sure: list[float] = []
    right: list[bool] = []
    for line in lines:
        correct = correct_words(line.reference, line.hypothesis, normalizer)
        if len(correct) == len(line.confidences):
            sure += line.confidences
            right += correct
    return sure, right


def calibrate(
    lines: Iterable[HypothesisLine], normalizer: Normalizer, present: PlattScaling | None = None
) -> Calibration:
    """Fit the scaling of the words' confidences on utterances decoded with one that changes nothing.

    It is tried on one half of the speakers (of the utterances, where fewer than two are known) after being
    fitted on the other half, and the other way round. Where that brings confidence and truth nearer together
    than the `present` scaling, by the expected calibration error and by the cross-entropy, the one fitted
    on all is used, and the present one otherwise.
    """
    halves = [judged_words(half, normalizer) for half in _halves(list(lines))]
    sure, right = (halves[0][0] + halves[1][0]), (halves[0][1] + halves[1][1])
    present = present or PlattScaling()
    unfitted = [present(p) for p in sure]
    fitted = [fit_scaling(*half) for half in halves]
    held_out = [fitted[1 - number](p) for number, half in enumerate(halves) for p in half[0]]
    before, after = (expected_calibration_error(found, right) for found in (unfitted, held_out))
    helps = (
        bool(sure) and after < before and _cross_entropy(held_out, right) < _cross_entropy(unfitted, right)
    )
    return Calibration(fit_scaling(sure, right) if helps else present, before, after, helps)


def _halves(lines: list[HypothesisLine]) -> list[list[HypothesisLine]]:
    """Two halves that share no speaker, the same ones for every model."""
    speakers = {line.speaker for line in lines} - {None}
    names = [line.speaker if len(speakers) > 1 and line.speaker is not None else line.id for line in lines]
    order = sorted(set(names), key=lambda name: hashlib.md5(name.encode("utf-8", "surrogatepass")).digest())
    second = set(order[1::2])
    return [
        [line for line, name in zip(lines, names, strict=True) if (name in second) == which]
        for which in (False, True)
    ]


def _cross_entropy(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    if not right:
        return 0.0
    sure = np.array(probabilities, dtype=float)
    return float(-np.log(np.maximum(_LEAST, np.where(right, sure, 1 - sure))).mean())
