"""A tree of the beginnings of words, in which each node stands for a range of a sorted vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr_seq2seq.runtime.protocol import Integers

END_OF_WORD = 0  # the symbol of a node behind a whole word; characters follow from 1


@dataclass(frozen=True)
class PrefixTree:
    """Nodes by depth, then by words; the root is node 0.

    The words that begin as node n says are the numbers `first[n]` up to, not with, `last[n]`. Its children
    are the nodes `children[n]` up to `children[n + 1]`, and their ranges together are its own; `symbols[n]`
    leads to it.
    """

    first: Integers
    last: Integers
    symbols: Integers
    children: Integers

    @classmethod
    def of(cls, words: Sequence[str], characters: str) -> PrefixTree:
        """The tree of `words`, which are sorted and not empty; a character's symbol is its place, from 1."""
        spelled = _spelled(words, characters)  # (V, L)
        new = np.zeros(len(words), bool)
        new[0] = True
        first, last = [np.zeros(1, np.int64)], [np.full(1, len(words))]
        symbols, counts = [np.zeros(1, np.int64)], []
        open_ = np.ones(len(words), bool)  # words that the nodes of this depth have not ended
        for column in spelled.T:
            new[1:] |= column[1:] != column[:-1]
            begins = np.flatnonzero(new & open_)
            parents = np.searchsorted(first[-1], begins, side="right") - 1
            counts.append(np.bincount(parents, minlength=len(first[-1])))
            # A range ends where the next one begins, or its parent ends.
            ends = np.minimum(np.append(begins[1:], len(words)), last[-1][parents])
            first.append(begins)
            last.append(ends)
            symbols.append(column[begins])
            open_ &= column != END_OF_WORD
        counts.append(np.zeros(len(first[-1]), np.int64))
        children = 1 + np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        return cls(np.concatenate(first), np.concatenate(last), np.concatenate(symbols), children)


def _spelled(words: Sequence[str], characters: str) -> Integers:
    """The symbols of each word, END_OF_WORD behind them, (V, longest + 1)."""
    lengths = np.array([len(word) for word in words])
    codes = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
    known = np.array([ord(character) for character in characters], np.uint32)
    spelled = np.full((len(words), lengths.max() + 1), END_OF_WORD)
    spelled[np.arange(spelled.shape[1]) < lengths[:, None]] = 1 + np.searchsorted(known, codes)
    return spelled
