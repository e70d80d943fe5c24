"""Cut what a decoder repeats without end and without support in the sound.

A decoder that has lost its place in the sound writes the same words again and again until the length limit.
Whoever says "one one one one" gives CTC a frame for every character; what is repeated without end has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asr_seq2seq.decoding.confidence import word_places
from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.runtime.protocol import Floats

_LONGEST = 10  # words that are repeated together
_USUAL = 3  # times that they may follow one another, whatever CTC says
_LEAST = 0.1  # mean `character_evidence` of what is repeated and was said; real repeats have 0.27 or more


def endless(words: Sequence[Sequence[int]]) -> tuple[int, int, int] | None:
    """The longest run of more than three repeats among words: its begin, its end, and the words repeated.

    >>> endless([[4], [5], [6], [5], [6], [5], [6], [5], [6], [5]])
    (1, 10, 2)
    >>> endless([[5], [5], [5]])
    """
    best: tuple[int, int, int] | None = None
    for size in range(1, _LONGEST + 1):
        begin = 0
        while begin + size < len(words):
            end = begin + size
            while end < len(words) and words[end] == words[end - size]:
                end += 1
            if end - begin > _USUAL * size and (best is None or end - begin > best[1] - best[0]):
                best = (begin, end, size)
            begin = max(begin + 1, end - size)
    return best


def without_repeats(hypothesis: Hypothesis, space: int, evidence: Floats) -> Hypothesis:
    """The hypothesis without those repeats of a run of more than three that lack `character_evidence` (U,).

    Its scores stay those of the whole text. The first of the words that are repeated stay.
    """
    places = word_places(hypothesis.tokens, space)
    found = endless([[hypothesis.tokens[place] for place in word] for word in places])
    if found is None:
        return hypothesis
    begin, end, size = found
    said = begin + size
    while said < end:
        again = [place for word in places[said : min(said + size, end)] for place in word]
        if evidence[again].mean() < _LEAST:
            break
        said += size
    if said >= end:
        return hypothesis
    first, stop = places[said - 1][-1] + 1, places[end - 1][-1] + 1
    tokens, chosen = hypothesis.tokens, hypothesis.chosen
    return replace(hypothesis, tokens=tokens[:first] + tokens[stop:], chosen=chosen[:first] + chosen[stop:])
