"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """One finished text: its characters' ids without start and end symbols, and its scores.

    `score` is what the search maximised: the weighted sum of `decoder`, `ctc` and `lm` (natural
    log-probabilities of the whole text, end symbol included; None where they had no part in it) and
    the reward of its length.
    """

    tokens: tuple[int, ...]
    score: float
    decoder: float
    ctc: float | None = None
    lm: float | None = None

    @property
    def length(self) -> int:
        """The number of characters, which the length reward counts."""
        return len(self.tokens)
