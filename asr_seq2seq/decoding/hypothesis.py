"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """One finished text: its characters' ids without start and end symbols, and its scores.

    `score` is what the search maximized: the weighted sum of `decoder`, `ctc` and `lm` (natural
    log-probabilities of the whole text, end symbol included), `coverage` (encoded frames that
    attention has looked at; each is None where it had no part), plus the `reward` of its length and the
    `boost` of its hot words.
    `chosen` tells how sure each choice was, the end symbol last: its log-probability among all
    symbols that could have stood there, by all scores together.
    """

    tokens: tuple[int, ...]
    score: float
    decoder: float
    ctc: float | None = None
    lm: float | None = None
    coverage: float | None = None
    boost: float | None = None
    reward: float = 0.0
    chosen: tuple[float, ...] = ()

    @property
    def length(self) -> int:
        """The number of characters, which the length reward counts."""
        return len(self.tokens)
