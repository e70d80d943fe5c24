"""Automata over characters that join a search: they raise hot words, or rule out what is no phrase.

An automaton reads a text character by character. What it adds to the text's score is the sum of what it kept
on the way (whole hot words) and of what it holds at present (a hot word that has begun); an end leaves only
what is kept. Each utterance has automata of its own, so that utterances of different hot words can be in one
batch, and none changes the score of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.runtime.protocol import Integers

Float64 = npt.NDArray[np.float64]
LARGEST_TABLE = 20_000_000  # entries of an automaton's table: 80 MB


@dataclass(frozen=True, eq=False)
class Automaton:
    """S states, of which 0 is the first; natural logarithms, minus infinity where a text is ruled out.

    `columns` (V,) is the column of each character in `following` (S, C), the state after it. Coming into a
    state adds `kept` (S,) for good, while the text is there `held` (S,), and ending there `end` (S,). No
    character, nor the end, raises a score by more than `rate`. `distance` (S,) is the least number of
    characters after which the text may end.
    """

    columns: Integers
    following: npt.NDArray[np.int32]
    kept: Float64
    held: Float64
    end: Float64
    distance: Integers
    rate: float = 0.0


def column_map(characters: Iterable[int], vocabulary: int) -> Integers:
    """(V,): the columns 1, 2 and so on of these characters, in order; 0 for all others."""
    columns = np.zeros(vocabulary, np.int64)
    for column, character in enumerate(sorted(set(characters)), start=1):
        columns[character] = column
    return columns


@dataclass(frozen=True)
class AutomatonState:
    """Per hypothesis (A, B, K): the state of each automaton, and what it has kept."""

    states: Integers
    kept: Float64


class AutomatonScorer:
    """What the automata of each utterance of a batch add to its hypotheses, all in one table."""

    def __init__(self, automata: Sequence[Sequence[Automaton]], vocabulary: int, end: int) -> None:
        """`automata` has those of each utterance of the batch; `end` is the end symbol."""
        distinct = list({id(one): one for of_utterance in automata for one in of_utterance}.values())
        zero, one_column = np.zeros(1), np.zeros(vocabulary, np.int64)
        nothing = Automaton(one_column, np.zeros((1, 1), np.int32), zero, zero, zero, np.zeros(1, np.int64))
        tables = [nothing, *distinct]
        number = {id(one): place for place, one in enumerate(tables)}
        depth = max(1, *(len(of_utterance) for of_utterance in automata))
        self.which = np.zeros((depth, len(automata)), np.int64)  # (A, B)
        for row, of_utterance in enumerate(automata):
            for place, one in enumerate(of_utterance):
                self.which[place, row] = number[id(one)]
        self.end = end
        self.columns = np.stack([one.columns for one in tables])  # (N, V)
        self.widths = np.array([one.following.shape[1] for one in tables])
        states = np.array([len(one.kept) for one in tables])
        self.first = np.cumsum(states) - states  # of each automaton among all states
        self.offsets = np.cumsum(states * self.widths) - states * self.widths
        self.following = np.concatenate(
            [one.following.ravel() + begin for one, begin in zip(tables, self.first, strict=True)]
        )
        self.kept = np.concatenate([one.kept for one in tables])
        self.reached = self.kept + np.concatenate([one.held for one in tables])
        self.ends = np.concatenate([one.end for one in tables])
        self.distance = np.concatenate([one.distance for one in tables])
        rates = np.array([one.rate for one in tables])
        self.rates: Float64 = rates[self.which].sum(0)  # (B,)

    @property
    def shortest(self) -> Integers:
        """The least number of characters of a text that is allowed, (B,)."""
        least: Integers = self.distance[self.first[self.which]].max(0)
        return least

    def start(self) -> AutomatonState:
        """The empty text, K = 1."""
        states = self.first[self.which][..., None]
        return AutomatonState(states, np.zeros(states.shape))

    def scores(self, state: AutomatonState, left: Integers) -> Float64:
        """(B, K, V): what is added to each continuation; at END, to the text as it is.

        Minus infinity also for a character after which the `left` (B,) characters that may then still come
        are too few to end the text.
        """
        columns = self.columns[self.which][:, :, None]  # (A, B, 1, V)
        following = self.following[self._rows(state)[..., None] + columns]
        added = state.kept[..., None] + self.reached[following]
        added[self.distance[following] > left[:, None, None]] = -np.inf
        added[..., self.end] = state.kept + self.ends[state.states]
        total: Float64 = added.sum(0)
        return total

    def advance(self, state: AutomatonState, parents: Integers, tokens: Integers) -> AutomatonState:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        utterances = np.arange(len(parents))[:, None]
        columns = self.columns[self.which[..., None], tokens]  # (A, B, K')
        states = self.following[self._rows(state)[:, utterances, parents] + columns]
        return AutomatonState(states, state.kept[:, utterances, parents] + self.kept[states])

    def keep(self, state: AutomatonState, utterances: Integers) -> tuple[AutomatonScorer, AutomatonState]:
        """A scorer, and the state, of only these utterances, (B',)."""
        rest = object.__new__(AutomatonScorer)
        rest.__dict__.update(self.__dict__)
        rest.which, rest.rates = self.which[:, utterances], self.rates[utterances]
        return rest, AutomatonState(state.states[:, utterances], state.kept[:, utterances])

    def _rows(self, state: AutomatonState) -> Integers:
        """Where the rows of states begin in the table."""
        which = self.which[..., None]
        rows: Any = self.offsets[which] + (state.states - self.first[which]) * self.widths[which]
        return rows  # type: ignore[no-any-return]
