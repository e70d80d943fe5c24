"""What decoding asks of a model, whichever library computes it.

A batch has B utterances with K hypotheses each, the same K for all: R = B * K rows, utterance-major. The
encoded frames and the decoder's state stay where the backend keeps them; what crosses in each step is NumPy.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


class Encoded(Protocol):
    """Encoded utterances, kept by the backend."""

    @property
    def lengths(self) -> Integers:
        """The number of encoded frames of each utterance, (B,)."""

    @property
    def ctc(self) -> Floats | None:
        """CTC log-probabilities (B, T', V); None where the model has no CTC head."""

    def keep(self, utterances: Integers) -> Self:
        """Only the utterances with these numbers, (B',)."""


class DecoderState(Protocol):
    """What the decoder carries from step to step, kept by the backend."""

    def select(self, rows: Integers) -> Self:
        """The rows with these numbers, (R',): hypotheses reordered within their utterances."""

    def keep(self, utterances: Integers) -> Self:
        """Only the utterances with these numbers, (B',), each with all its rows."""


class AcousticModel(Protocol):
    """An encoder and a decoder over characters: p(y | x) one step at a time."""

    @property
    def vocabulary(self) -> int:
        """V, the number of symbols."""

    @property
    def has_attention(self) -> bool:
        """Whether `step` can give attention weights."""

    @property
    def seconds_per_frame(self) -> float:
        """Seconds from one encoded frame to the next."""

    def features(self, inputs: Floats, lengths: Integers) -> tuple[Any, Integers]:
        """Padded sound (B, N), or frames of another program (B, T, S), and lengths (B,).

        Returns normalized features (B, T, F), an array of the backend's own, and their lengths (B,).
        """

    def encode(self, features: Any, lengths: Integers) -> Any:
        """Features (B, T, F) and their lengths (B,) -> an `Encoded`."""

    def start(self, encoded: Any) -> Any:
        """The `DecoderState` before the start symbol, with B x 1 rows."""

    def step(
        self, state: Any, tokens: Integers, *, attention: bool = False
    ) -> tuple[Floats, Floats | None, Any]:
        """The last tokens (R,) -> logits (R, V), attention weights, and the state after the tokens.

        The weights (R, T') are the mean over heads; None where not asked for, or without attention.
        """


class LanguageModel(Protocol):
    """A language model over characters, one step at a time."""

    def start(self, batch: int) -> Any:
        """The state of `batch` empty texts, which has `select` as a `DecoderState` has."""

    def step(self, state: Any, tokens: Integers) -> tuple[Floats, Any]:
        """The last tokens (R,) -> log-probabilities (R, V) of the next ones, and the state after them."""


def rows_of(utterances: Integers, count: int) -> Integers:
    """The row numbers (B' * count,) of utterances (B',), each of which has `count` rows."""
    rows: Integers = (utterances[:, None] * count + np.arange(count)).ravel()
    return rows
