"""Automata over characters that join a search: they raise hot words, or rule out what is no phrase.

An automaton reads a text character by character. What it adds to the text's score is what it kept for whole
hot words and what it holds at present for one that has begun; an end leaves only what is kept. Each utterance
has automata of its own, so that utterances of different hot words can be in one batch, and none changes the
score of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr_seq2seq.runtime.protocol import Integers

Float64 = npt.NDArray[np.float64]
LARGEST_TABLE = 20_000_000  # entries of an automaton's table: 80 MB


@dataclass(frozen=True, eq=False)
class Automaton:
    """S states, of which 0 is the first.

    `columns` (V,) is the column of each character in `following` (S, C), the state after it. A state that
    is `barred` (S,) rules its text out; after `distance` (S,) more characters, at the least, a text may end.
    In a state, `depth` (S,) characters of a hot word have been read, and `weight` (S,) is held for each;
    coming into it completes up to D words of `lengths` (D, S), for whose characters `weights` (D, S) are
    kept. A word that a space completes (`spaced`) is also completed by an end.
    """

    columns: Integers
    following: npt.NDArray[np.int32]
    barred: npt.NDArray[np.bool_]
    distance: Integers
    depth: Integers
    weight: Float64
    lengths: Integers
    weights: Float64
    spaced: bool
    space: int
    overlap: int = 0  # hot words that a character can be in at most

    @classmethod
    def of_edges(
        cls, columns: Integers, following: npt.NDArray[np.int32], barred: Integers, distance: Integers
    ) -> Automaton:
        """One without hot words."""
        count = len(following)
        nothing = np.zeros((1, count), np.int64)
        return cls(
            columns, following, barred > 0, distance, nothing[0], np.zeros(count), nothing,
            np.zeros((1, count)), False, 0,
        )  # fmt: skip


def column_map(characters: Iterable[int], vocabulary: int) -> Integers:
    """(V,): the columns 1, 2 and so on of these characters, in order; 0 for all others."""
    columns = np.zeros(vocabulary, np.int64)
    for column, character in enumerate(sorted(set(characters)), start=1):
        columns[character] = column
    return columns


@dataclass(frozen=True)
class AutomatonState:
    """Per hypothesis: the state of each automaton and what it has kept, (A, B, K).

    `gates` (B, K, U + 1) are the running sums of how far the sound confirms the characters so far.
    """

    states: Integers
    kept: Float64
    gates: Float64


class AutomatonScorer:
    """What the automata of each utterance of a batch add to its hypotheses, all in one table."""

    def __init__(self, automata: Sequence[Sequence[Automaton]], vocabulary: int, end: int) -> None:
        """`automata` has those of each utterance of the batch; `end` is the end symbol."""
        none = np.zeros(1, np.int64)
        nothing = Automaton.of_edges(np.zeros(vocabulary, np.int64), np.zeros((1, 1), np.int32), none, none)
        distinct = list({id(one): one for of_utterance in automata for one in of_utterance}.values())
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
        states = np.array([len(one.following) for one in tables])
        self.first = np.cumsum(states) - states  # of each automaton among all states
        self.offsets = np.cumsum(states * self.widths) - states * self.widths
        self._join(tables)

    def _join(self, tables: Sequence[Automaton]) -> None:
        """The tables of all automata one behind the other."""
        begins = list(zip(tables, self.first.tolist(), strict=True))
        self.following = np.concatenate([one.following.ravel() + begin for one, begin in begins])
        self.barred = np.concatenate([np.where(one.barred, -np.inf, 0.0) for one in tables])
        self.distance = np.concatenate([one.distance for one in tables])
        self.depth = np.concatenate([one.depth for one in tables])
        self.weight = np.concatenate([one.weight for one in tables])
        most = max(len(one.lengths) for one in tables)
        more = [((0, most - len(one.lengths)), (0, 0)) for one in tables]
        pairs = list(zip(tables, more, strict=True))
        self.lengths = np.concatenate([np.pad(one.lengths, wider) for one, wider in pairs], axis=1)
        self.weights = np.concatenate([np.pad(one.weights, wider) for one, wider in pairs], axis=1)
        self.spaced = np.array([one.spaced for one in tables])
        # Where a text ends: the state after a space, or the first one of all, which completes no word.
        self.at_end = np.concatenate(
            [
                one.following[:, one.columns[one.space]] + begin
                if one.spaced
                else np.zeros(len(one.depth), int)
                for one, begin in begins
            ]
        )
        rates = np.array([one.overlap * float(one.weights.max()) for one in tables])
        reach = np.array([int(one.depth.max()) for one in tables])
        self.rates: Float64 = rates[self.which].sum(0)  # (B,): the most that a character can add
        self.reach: Integers = reach[self.which].max(0)  # (B,): characters of a word that has begun

    @property
    def shortest(self) -> Integers:
        """The least number of characters of a text that is allowed, (B,)."""
        least: Integers = self.distance[self.first[self.which]].max(0)
        return least

    def start(self) -> AutomatonState:
        """The empty text, K = 1."""
        states = self.first[self.which][..., None]
        return AutomatonState(states, np.zeros(states.shape), np.zeros((states.shape[1], 1, 1)))

    def scores(self, state: AutomatonState, gates: Float64, left: Integers) -> Float64:
        """(B, K, V): what is added to each continuation; at END, to the text as it is.

        `gates` (B, K, V) say how far the sound confirms each character, at most 1; what a hot word gets for
        it is multiplied by that. Minus infinity also for a character after which the `left` (B,)
        characters that may then still come are too few to end the text.
        """
        columns = self.columns[self.which][:, :, None]  # (A, B, 1, V)
        following = self.following[self._rows(state)[..., None] + columns]
        now = state.gates[..., -1:]  # (B, K, 1)
        added = state.kept[..., None] + self._completed(state, following, gates) + self.barred[following]
        added += self.weight[following] * _since(state.gates, self.depth[following] - 1, now + gates)
        added[self.distance[following] > left[:, None, None]] = -np.inf
        ended = (
            state.kept + self._completed(state, self.at_end[state.states][..., None], gates[..., :1])[..., 0]
        )
        added[..., self.end] = np.where(self.distance[state.states] > 0, -np.inf, ended)
        total: Float64 = added.sum(0)
        return total

    def advance(
        self, state: AutomatonState, parents: Integers, tokens: Integers, gates: Float64
    ) -> AutomatonState:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added.

        `gates` are those that were scored with.
        """
        utterances = np.arange(len(parents))[:, None]
        columns = self.columns[self.which[..., None], tokens]  # (A, B, K')
        states = self.following[self._rows(state)[:, utterances, parents] + columns]
        before = AutomatonState(states, state.kept[:, utterances, parents], state.gates[utterances, parents])
        gate = gates[utterances, parents, tokens][..., None]  # (B, K', 1)
        kept = before.kept + self._completed(before, states[..., None], gate)[..., 0]
        sums = np.concatenate([before.gates, before.gates[..., -1:] + gate], axis=-1)
        return AutomatonState(states, kept, sums)

    def keep(self, state: AutomatonState, utterances: Integers) -> tuple[AutomatonScorer, AutomatonState]:
        """A scorer, and the state, of only these utterances, (B',)."""
        rest = object.__new__(AutomatonScorer)
        rest.__dict__.update(self.__dict__)
        rest.which, rest.rates = self.which[:, utterances], self.rates[utterances]
        rest.reach = self.reach[utterances]
        kept = state.states[:, utterances], state.kept[:, utterances], state.gates[utterances]
        return rest, AutomatonState(*kept)

    def _completed(self, state: AutomatonState, following: Integers, gates: Float64) -> Float64:
        """What is kept for the words that are completed on the way to the states `following` (A, B, K, X).

        A space that completes a word is no part of it.
        """
        now = state.gates[..., -1:]
        spaced = self.spaced[self.which][..., None, None]  # (A, B, 1, 1)
        until, back = np.where(spaced, now, now + gates), np.where(spaced, 0, 1)
        found = np.zeros(following.shape)
        for lengths, weights in zip(self.lengths, self.weights, strict=True):
            found += weights[following] * _since(state.gates, lengths[following] - back, until)
        return found

    def _rows(self, state: AutomatonState) -> Integers:
        """Where the rows of states begin in the table."""
        which = self.which[..., None]
        rows: Integers = self.offsets[which] + (state.states - self.first[which]) * self.widths[which]
        return rows


def _since(sums: Float64, back: Integers, until: Float64) -> Float64:
    """The sums of the gates of the last characters, (A, B, K, X), at least 0.

    `sums` (B, K, U + 1) are running sums, `until` is the one now, and the characters begin `back` before the
    last of `sums`; below 0 or beyond the beginning there are none.
    """
    last = sums.shape[-1] - 1
    places = np.clip(last - back, 0, last)
    begin = np.take_along_axis(np.broadcast_to(sums, (*back.shape[:-1], last + 1)), places, axis=-1)
    result: Float64 = np.maximum(until - begin, 0.0)
    return result
