"""How unknown words are spelled: character trigrams with Witten-Bell smoothing (Chen and Goodman 1999)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def spelling(words: Sequence[str], characters: str) -> Floats:
    """log p of a character given the two before it, (A + 1, A + 1, A + 1); 0 is both ends of a word."""
    width = len(characters) + 1
    number = {character: place for place, character in enumerate(characters, start=1)}
    flat = [symbol for word in words for symbol in (0, 0, *(number[character] for character in word))]
    symbols = np.array([*flat, 0, 0])
    triples = np.stack([symbols[:-2], symbols[1:-1], symbols[2:]])
    # What begins in one word and ends in the next: an end of a word has been seen already.
    triples = triples[:, ~((triples[0] != 0) & (triples[1] == 0))]
    triples = triples[:, ~((triples[0] == 0) & (triples[1] == 0) & (triples[2] == 0))]
    counts = np.zeros((width, width, width))
    np.add.at(counts, tuple(triples), 1)
    p: Floats = np.full(width, 1 / width)
    for table in (counts.sum((0, 1)), counts.sum(0), counts):
        total = table.sum(-1, keepdims=True)
        kinds = np.maximum(np.count_nonzero(table, axis=-1, keepdims=True), 1)
        p = (table + kinds * p) / (total + kinds)
    return np.log(p)
