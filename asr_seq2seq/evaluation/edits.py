"""Which word became which: reference and hypothesis aligned as by NIST's ``sclite``; `wer` counts from it.

A substitution costs 4, an insertion or a deletion 3. So two insertions beside a deletion are preferred to
three substitutions, which leaves more words right, and the split of the errors is that of ``sclite``.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

EQUAL: Literal["equal"] = "equal"
SUBSTITUTE: Literal["substitute"] = "substitute"
INSERT: Literal["insert"] = "insert"
DELETE: Literal["delete"] = "delete"
Kind = Literal["equal", "substitute", "insert", "delete"]

_SUBSTITUTION, _GAP = 4, 3
_DIAGONAL, _LEFT, _UP = 0, 1, 2  # where the best way to a cell comes from


class Edit(NamedTuple):
    """One step from the reference to the hypothesis; the side that has no word here is ""."""

    kind: Kind
    reference: str
    hypothesis: str


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Edit]:
    """Return the cheapest edits that turn the words ``reference`` into ``hypothesis``, in order.

    Of ways that cost the same it is the one that ``sclite`` takes: read from the end, a pair of words goes
    before an insertion and that before a deletion.

    >>> [edit.kind for edit in align("six seven eight nine".split(), "seven eight five nine".split())]
    ['delete', 'equal', 'equal', 'insert', 'equal']
    """
    if list(reference) == list(hypothesis):
        return [Edit(EQUAL, word, word) for word in reference]
    numbers: dict[str, int] = {}
    hypothesis_ids = np.array([numbers.setdefault(word, len(numbers)) for word in hypothesis], dtype=np.int64)
    steps = _GAP * np.arange(len(hypothesis_ids) + 1, dtype=np.int64)
    cost = steps.copy()
    came = np.full((len(reference) + 1, len(hypothesis_ids) + 1), _LEFT, dtype=np.uint8)
    for row, word in enumerate(reference, start=1):
        paired = cost[:-1] + _SUBSTITUTION * (hypothesis_ids != numbers.get(word, -1))
        best = cost + _GAP
        np.minimum(best[1:], paired, out=best[1:])
        # What a run of insertions costs from any cell to the left, for all cells at once.
        cost = np.minimum.accumulate(best - steps) + steps
        came[row, 0] = _UP
        came[row, 1:] = np.where(
            cost[1:] == paired, _DIAGONAL, np.where(cost[1:] == cost[:-1] + _GAP, _LEFT, _UP)
        )
    edits: list[Edit] = []
    i, j = len(reference), len(hypothesis_ids)
    while i or j:
        way = came[i, j]
        i, j = i - (way != _LEFT), j - (way != _UP)
        if way == _LEFT:
            edits.append(Edit(INSERT, "", hypothesis[j]))
        elif way == _UP:
            edits.append(Edit(DELETE, reference[i], ""))
        else:
            kind: Kind = EQUAL if reference[i] == hypothesis[j] else SUBSTITUTE
            edits.append(Edit(kind, reference[i], hypothesis[j]))
    return edits[::-1]
