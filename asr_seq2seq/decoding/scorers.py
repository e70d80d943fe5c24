"""Scores that join the decoder's in a search."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asr_seq2seq.runtime.protocol import Floats, Integers, LanguageModel, rows_of
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, PADDING, START, Alphabet

Float64 = npt.NDArray[np.float64]

# Stands for the logarithm of zero. Finite, so that hypotheses CTC rules out still compare by the decoder.
IMPOSSIBLE = -1e10
_BLOCK = 32  # frames whose probabilities are summed as such, and not as logarithms
_FEW = 1500  # numbers whose sums are not worth blocks
_SMALLEST = 1e-280  # the least sum that is trusted


class Scorer(Protocol):
    """What joins a search beside the decoder: log-probabilities that never rise as a text grows."""

    def scores(self, state: Any) -> Float64:
        """(B, K, V): the log-probability of each hypothesis with each symbol added; END completes it."""

    def advance(self, state: Any, parents: Integers, tokens: Integers) -> Any:
        """The state of hypotheses (B, K'): parent row within the utterance, and the character added."""

    def keep(self, state: Any, utterances: Integers) -> tuple[Scorer, Any]:
        """A scorer, and the state, of only these utterances, (B',)."""


class TextScorer(Scorer, Protocol):
    """A scorer of text alone, so that one serves every batch.

    `cost` is what a character costs on average, -log p, on text it had not seen; 0 where not known. `suits`
    has the decoding options that go with it where the user gives none.
    """

    cost: float
    suits: Mapping[str, float]

    def start(self, batch: int) -> Any:
        """The empty text, K = 1, of each utterance."""


@dataclass(frozen=True)
class CtcState:
    """Per hypothesis: log-probability that the first t frames are an alignment of its text, t = 0 .. T.

    `forward` (2, B, K, T + 1) counts all alignments, and those that end in a blank or hold no character;
    `last` (B, K) is the last character, PADDING where there is none yet.
    """

    forward: Float64
    last: Integers


class CtcPrefixScorer:
    """log p(text begins with this prefix | x) by CTC (Watanabe et al. 2017, section II-C, algorithm 2).

    The recursion over frames is linear: with X the running sum of log p(character), the forward
    variable is X_t + logcumsumexp_t(phi_t - X_{t-1}), so no loop over time is needed; and the score
    of every possible next character is one batched matrix product of exp(phi) with the frame
    probabilities. A character can follow any alignment of the text before it, but one that repeats the last
    character must come after a blank. All in float64, so that the running sums keep their precision.
    """

    def __init__(self, log_probabilities: Floats, lengths: Integers) -> None:
        """The CTC head's log-probabilities (B, T, V) and true lengths (B,)."""
        log_p = log_probabilities.astype(np.float64)
        batch, time, self.vocabulary = log_p.shape
        mask = np.arange(time) < lengths[:, None]  # (B, T)
        self.p = np.exp(log_p) * mask[..., None]
        self.padding = np.where(mask, 0.0, IMPOSSIBLE)[:, None]  # (B, 1, T)
        self.sums = np.zeros((batch, self.vocabulary, time + 1))  # of log p of each character
        np.cumsum(log_p.transpose(0, 2, 1), axis=2, out=self.sums[..., 1:])
        self.lengths = lengths
        self.utterances = np.arange(batch)[:, None]  # (B, 1)

    def start(self) -> CtcState:
        """The empty text, K = 1."""
        blanks = self.sums[:, PADDING, None]  # (B, 1, T + 1)
        return CtcState(np.stack((blanks, blanks)), np.full((len(self.lengths), 1), PADDING))

    def scores(self, state: CtcState) -> Float64:
        """(B, K, V): the prefix score of each continuation; at END, the score of the text as it is."""
        batch, count = state.last.shape
        arrivals = state.forward[..., :-1].transpose(1, 0, 2, 3).reshape(batch, 2 * count, -1)
        arrivals = arrivals + self.padding  # (B, 2 K, T)
        top = arrivals.max(-1, keepdims=True)
        arrivals -= top
        psi: Float64 = np.exp(arrivals, out=arrivals) @ self.p  # (B, 2 K, V)
        with np.errstate(divide="ignore"):
            np.log(psi, out=psi)
        psi += top
        np.maximum(psi, IMPOSSIBLE, out=psi)
        scores, after_blank = psi[:, :count], psi[:, count:]
        repeated = (self.utterances, np.arange(count), state.last)
        scores[repeated] = after_blank[repeated]
        scores[..., END] = state.forward[0, self.utterances, np.arange(count), self.lengths[:, None]]
        return scores

    def advance(self, state: CtcState, parents: Integers, tokens: Integers) -> CtcState:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        repeats = (tokens == state.last[self.utterances, parents]).astype(np.intp)
        arrivals = state.forward[repeats, self.utterances, parents]  # after any alignment, or after a blank
        label = _recur(arrivals, self.sums[self.utterances, tokens])
        blank = _recur(label, self.sums[:, PADDING, None])
        forward = np.empty((2, *blank.shape))
        # logaddexp, which NumPy computes one by one.
        apart = np.subtract(label, blank, out=forward[0])
        np.exp(np.negative(np.abs(apart, out=apart), out=apart), out=apart)
        np.log(np.add(apart, 1.0, out=apart), out=apart)
        apart += np.maximum(label, blank)
        forward[1] = blank
        return CtcState(forward, tokens)

    def keep(self, state: CtcState, utterances: Integers) -> tuple[CtcPrefixScorer, CtcState]:
        """A scorer, and the state, of only these utterances, (B',)."""
        rest = copy(self)
        for name in ("p", "padding", "sums", "lengths"):
            setattr(rest, name, getattr(self, name)[utterances])
        rest.utterances = self.utterances[: len(utterances)]
        return rest, CtcState(state.forward[:, utterances], state.last[utterances])


def _recur(arrivals: Float64, sums: Float64) -> Float64:
    """log a, a_0 = 0 and a_{t+1} = (a_t + arrivals_t) p_{t+1} for all t; sums are those of log p."""
    after = np.empty(arrivals.shape)
    after[..., 0] = IMPOSSIBLE
    np.add(log_cumulative_sum(arrivals[..., :-1] - sums[..., :-1]), sums[..., 1:], out=after[..., 1:])
    return np.maximum(after, IMPOSSIBLE, out=after)


def log_cumulative_sum(logs: Float64) -> Float64:
    """log of the running sums of exp(logs) along the last axis, (.., T).

    Numbers of `_BLOCK` frames are summed as such, relative to the larger of the block's ends, and the blocks'
    sums as logarithms: half the time of `logaddexp.accumulate` where there are many, twice its time where
    there are few. Rows with numbers so far apart in one block that a sum vanishes or is infinite are summed
    as logarithms throughout.
    """
    if logs.size <= _FEW:
        few: Float64 = np.logaddexp.accumulate(logs, axis=-1)
        return few
    *rows, time = logs.shape
    count = -(-time // _BLOCK)
    padded = np.empty((*rows, count * _BLOCK))
    padded[..., :time] = logs
    padded[..., time:] = logs[..., -1:]
    sums = padded.reshape(*rows, count, _BLOCK)
    top = np.maximum(sums[..., :1], sums[..., -1:])  # (.., count, 1)
    sums -= top
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        np.cumsum(np.exp(sums, out=sums), axis=-1, out=sums)
        lost = padded[..., :time] < _SMALLEST
        far = (sums[..., -1].max(-1) == np.inf) | (lost & (logs > IMPOSSIBLE / 2)).any(-1)
        if count > 1:
            totals = top[..., :-1, 0] + np.log(sums[..., :-1, -1])
            before = np.logaddexp.accumulate(totals, axis=-1)[..., None]
            larger = np.maximum(top[..., 1:, :], before)
            sums[..., 1:, :] *= np.exp(top[..., 1:, :] - larger)
            sums[..., 1:, :] += np.exp(before - larger)
            top[..., 1:, :] = larger
        np.log(sums, out=sums)
    sums += top
    result: Float64 = padded[..., :time]
    if far.any():
        result[far] = np.logaddexp.accumulate(logs[far], axis=-1)
    return result


@dataclass(frozen=True)
class LanguageModelScores:
    """Per hypothesis: log p(text) (B, K), log p(next character | text) (B, K, V), and the model's state."""

    text: Float64
    following: Float64
    model: Any


class LanguageModelScorer:
    """log p(text) by a character language model with an alphabet of its own (shallow fusion).

    What its alphabet lacks scores as its unknown symbol.
    """

    def __init__(self, model: LanguageModel, own: Alphabet, alphabet: Alphabet, cost: float = 0.0) -> None:
        """`own` is the language model's alphabet, `alphabet` the one of the decoder."""
        self.model = model
        self.cost = cost
        self.suits: Mapping[str, float] = {}
        self.ids = np.array([*range(FIRST_CHARACTER), *(own.encode(c)[0] for c in alphabet.characters)])
        self._same = bool(np.array_equal(self.ids, np.arange(len(own))))

    def start(self, batch: int) -> LanguageModelScores:
        """The empty text, K = 1."""
        return self._after(np.full((batch, 1), START), np.zeros((batch, 1)), self.model.start(batch))

    def scores(self, state: LanguageModelScores) -> Float64:
        """(B, K, V): log p of each continuation; at END, of the whole text."""
        scores: Float64 = state.text[..., None] + state.following
        return scores

    def advance(self, state: LanguageModelScores, parents: Integers, tokens: Integers) -> LanguageModelScores:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        utterances = np.arange(len(parents))[:, None]
        text = state.text[utterances, parents] + state.following[utterances, parents, tokens]
        rows = (parents + utterances * state.text.shape[1]).ravel()
        return self._after(tokens, text, state.model.select(rows))

    def keep(
        self, state: LanguageModelScores, utterances: Integers
    ) -> tuple[LanguageModelScorer, LanguageModelScores]:
        """The scorer itself, and the state of only these utterances, (B',)."""
        rows = rows_of(utterances, state.text.shape[1])
        kept = state.text[utterances], state.following[utterances], state.model.select(rows)
        return self, LanguageModelScores(*kept)

    def _after(self, tokens: Integers, text: Float64, before: Any) -> LanguageModelScores:
        own = tokens if self._same else self.ids[tokens]
        log_p, after = self.model.step(before, own.ravel())
        following = log_p if self._same else log_p[:, self.ids]
        return LanguageModelScores(text, following.astype(np.float64).reshape(*tokens.shape, -1), after)
