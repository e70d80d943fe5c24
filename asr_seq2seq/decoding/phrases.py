"""Phrases: a search that can come out with nothing but the lines of a list.

A prefix tree of all phrases rules out every character with which none of them continues.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr_seq2seq.decoding.automata import LARGEST_TABLE, Automaton, column_map
from asr_seq2seq.decoding.hotwords import spelled
from asr_seq2seq.errors import ConfigError, brief
from asr_seq2seq.runtime.protocol import Integers
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import UNKNOWN, Alphabet

UNKNOWN_PHRASE = "[unk]"  # a line of this name: what comes out for speech that is no phrase
REPEATED = "[repeat]"  # a line of this name: several phrases may follow one another
MOST = 10_000
LONGEST = 300  # characters of one


@dataclass(frozen=True)
class Phrases:
    """The phrases of a list as ids of characters, and what its lines of other meaning say."""

    texts: tuple[tuple[int, ...], ...]
    rejects: bool  # what is none of them is [unk]
    repeated: bool  # several of them may follow one another


def read_phrases(lines: Iterable[str], alphabet: Alphabet, normalizer: Normalizer) -> Phrases:
    """A phrase of each line that is not empty; ConfigError for what the model cannot write, or too many."""
    texts: dict[tuple[int, ...], None] = {}
    special = set()
    for line in lines:
        text = line.strip()
        if text in (UNKNOWN_PHRASE, REPEATED):
            special.add(text)
        elif text:
            tokens = spelled(text, alphabet, normalizer, "the phrase") if len(text) <= 2 * LONGEST else ()
            if not 0 < len(tokens) <= LONGEST:
                raise ConfigError(
                    f"the phrase {brief(text)!r} has more than {LONGEST} characters: shorten it"
                )
            texts[tokens] = None
    if not texts:
        raise ConfigError("there are no phrases: give at least one, a line each")
    if len(texts) > MOST:
        raise ConfigError(f"{len(texts)} phrases are too many: give at most {MOST}")
    return Phrases(tuple(texts), UNKNOWN_PHRASE in special, REPEATED in special)


def phrase_automaton(phrases: Phrases, alphabet: Alphabet) -> Automaton:
    """The phrases as an automaton that lets nothing else pass."""
    tree = _Tree(phrases, alphabet)
    characters = {token for text in phrases.texts for token in text}
    if phrases.repeated and alphabet.space != UNKNOWN:
        characters.add(alphabet.space)
    columns = column_map(characters, len(alphabet))
    width = len(characters) + 1
    start = frozenset((0,))
    number, waiting = {start: 0}, [start]
    edges: list[tuple[int, int, int]] = []
    ends: list[bool] = []
    while len(ends) < len(waiting):
        nodes = waiting[len(ends)]
        for token, after in tree.after(nodes).items():
            if after not in number:
                number[after] = len(number)
                waiting.append(after)
            edges.append((number[nodes], int(columns[token]), number[after]))
        ends.append(not tree.ends.isdisjoint(nodes))
        if len(number) * width > LARGEST_TABLE:
            raise ConfigError("the phrases have too many characters together: give fewer")
    return _closed(columns, width, edges, ends)


def prefix_automaton(tokens: Sequence[int], alphabet: Alphabet) -> Automaton:
    """Only texts that begin with these characters, and a space or the end behind them."""
    columns = column_map({*tokens, *([alphabet.space] if alphabet.space != UNKNOWN else [])}, len(alphabet))
    width, free = int(columns.max()) + 1, len(tokens) + 1
    edges = [(place, int(columns[token]), place + 1) for place, token in enumerate(tokens)]
    space = columns[alphabet.space] if alphabet.space != UNKNOWN else None
    behind = range(width) if space is None or not tokens else [int(space)]
    edges += [(len(tokens), column, free) for column in behind]
    edges += [(free, column, free) for column in range(width)]
    return _closed(columns, width, edges, [False] * len(tokens) + [True, True])


def _closed(
    columns: Integers,
    width: int,
    edges: Sequence[tuple[int, int, int]],
    ends: Sequence[bool],
) -> Automaton:
    """An automaton of these edges (state, column, state) and states in which a text may end."""
    count = len(ends)  # the last state is of what is ruled out
    following = np.full((count + 1, width), count, np.int32)
    for state, column, after in edges:
        following[state, column] = after
    barred = np.zeros(count + 1, np.int64)
    barred[count] = 1
    return Automaton.of_edges(columns, following, barred, np.array([*_distances(edges, ends), 0]))


def _distances(edges: Sequence[tuple[int, int, int]], ends: Sequence[bool]) -> list[int]:
    """From each state the least number of edges to one in which a text may end; there is one."""
    found = [0 if end else len(ends) for end in ends]
    changed = True
    while changed:
        changed = False
        for state, _, after in reversed(edges):
            if found[after] + 1 < found[state]:
                found[state], changed = found[after] + 1, True
    return found


class _Tree:
    """The prefix tree of phrases; where phrases are repeated, a space behind one leads to its root."""

    def __init__(self, phrases: Phrases, alphabet: Alphabet) -> None:
        self.children: list[dict[int, int]] = [{}]
        self.ends = set()
        self.space = alphabet.space
        self.repeated = phrases.repeated
        for text in phrases.texts:
            node = 0
            for token in text:
                if token not in self.children[node]:
                    self.children[node][token] = len(self.children)
                    self.children.append({})
                node = self.children[node][token]
            self.ends.add(node)

    def after(self, nodes: frozenset[int]) -> dict[int, frozenset[int]]:
        """The characters with which these nodes continue, one of which the text is at, and the next nodes."""
        found: dict[int, set[int]] = {}
        for node in nodes:
            for token, child in self.children[node].items():
                found.setdefault(token, set()).add(child)
            if self.repeated and node in self.ends and self.space != UNKNOWN:
                found.setdefault(self.space, set()).add(0)
        if self.repeated and self.space == UNKNOWN:
            for after in found.values():
                if not self.ends.isdisjoint(after):
                    after.add(0)
        return {token: frozenset(after) for token, after in found.items()}
