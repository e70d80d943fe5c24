"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """One finished text: its characters' ids without start and end symbols, and its scores.

    `score` is what the search maximised; `decoder` and `ctc` are natural log-probabilities of the
    whole text, end symbol included (`ctc` is None where the search had no CTC score).
    """

    tokens: tuple[int, ...]
    score: float
    decoder: float
    ctc: float | None
