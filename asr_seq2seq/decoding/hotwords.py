"""Hot words: words and names that a search is to expect, raised as they are spelled.

An automaton of Aho and Corasick (1975) over whole words: a text gets for each hot word in it the boost times
how far the sound confirms its characters, a word that stands in another besides that one. A hot word that
has begun counts already, so that a beam keeps it, and gives that back where another character breaks it off
or the text ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr_seq2seq.decoding.automata import LARGEST_TABLE, Automaton, Float64, column_map
from asr_seq2seq.errors import ConfigError, brief
from asr_seq2seq.runtime.protocol import Integers
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import UNKNOWN, Alphabet

MOST = 1000  # hot words
LONGEST = 100  # characters of one
HIGHEST = 20.0  # weight of one
_PROMPT = 20_000  # characters of a prompt that are looked at
_WORDS_OF_PROMPT = 4  # a longer part of a prompt is a sentence and no name


@dataclass(frozen=True)
class HotWord:
    """A word or a phrase as its user writes it; `weight` multiplies the boost of others."""

    text: str
    weight: float = 1.0


def parse_hotword(given: str) -> HotWord:
    """`text` or `text:weight`; ConfigError for a weight out of its range.

    >>> parse_hotword("Anna Schmidt:2.5")
    HotWord(text='Anna Schmidt', weight=2.5)
    """
    text, colon, number = given.rpartition(":")
    try:
        weight = float(number)
    except ValueError:
        colon = ""
    if not colon:
        return HotWord(given.strip())
    if not 0 < weight <= HIGHEST:
        raise ConfigError(
            f"hot words: the weight of {brief(text.strip())} must be above 0 and at most {HIGHEST:g} "
            f"(given: {brief(number.strip(), 20)})"
        )
    return HotWord(text.strip(), weight)


def split_hotwords(text: str) -> tuple[str, ...]:
    """The hot words of a text in which commas and line ends part them."""
    return tuple(part.strip() for line in text.splitlines() for part in line.split(",") if part.strip())


def usable_hotwords(
    prompt: str, alphabet: Alphabet, normalizer: Normalizer, most: int = MOST
) -> tuple[str, ...]:
    """Parts of any text, between commas and line ends, of few words that can be hot words; `most` of them."""
    found: list[str] = []
    for part in split_hotwords(prompt[:_PROMPT])[:MOST]:
        try:
            _read(part, alphabet, normalizer)
        except ConfigError:
            continue
        if len(part.split()) <= _WORDS_OF_PROMPT:
            found.append(part)
    return tuple(found[: max(0, most)])


def _read(given: str, alphabet: Alphabet, normalizer: Normalizer) -> tuple[tuple[int, ...], float]:
    """The characters of a hot word and its weight; ConfigError for one that cannot be one."""
    long = ConfigError(f"the hot word {brief(given)!r} has more than {LONGEST} characters: shorten it")
    if len(given) > 2 * LONGEST:
        raise long
    word = parse_hotword(given)
    tokens = spelled(word.text, alphabet, normalizer, "the hot word")
    if len(tokens) > LONGEST:
        raise long
    return tokens, word.weight


def spelled(text: str, alphabet: Alphabet, normalizer: Normalizer, what: str) -> tuple[int, ...]:
    """A text as the model spells it; ConfigError where it cannot, `what` says what the text is."""
    normal = normalizer(text)
    tokens = alphabet.encode(normal)
    if not tokens:
        raise ConfigError(f"{what} {brief(text)!r} has nothing that the model could write: take it out")
    if UNKNOWN in tokens:
        lacks = brief(" ".join(dict.fromkeys(c for c in normal if UNKNOWN in alphabet.encode(c))), 20)
        raise ConfigError(
            f"{what} {brief(text)!r} has characters that the model cannot write ({lacks}): spell it as it "
            "is spoken"
        )
    return tuple(tokens)


def hotword_automaton(
    words: Sequence[str], boost: float, alphabet: Alphabet, normalizer: Normalizer
) -> Automaton:
    """Hot words, `text` or `text:weight`, as an automaton; `boost` is what a character of one adds.

    ConfigError for words that are too many, too long, or have characters that the alphabet lacks.
    """
    if len(words) > MOST:
        raise ConfigError(f"{len(words)} hot words are too many: give at most {MOST}")
    weights: dict[tuple[int, ...], float] = {}
    for given in words:
        tokens, weight = _read(given, alphabet, normalizer)
        weights[tokens] = max(weight * boost, weights.get(tokens, 0.0))
    return _Tree(weights, alphabet).automaton()


class _Tree:
    """The prefix tree of hot words: a state for each beginning of one, and where a break leads.

    Where the alphabet has a space, a hot word is read with one before it and one behind it, so that only
    whole words count, and the beginning of a text stands behind a space.
    """

    def __init__(self, weights: dict[tuple[int, ...], float], alphabet: Alphabet) -> None:
        self.vocabulary, self.space = len(alphabet), alphabet.space
        self.spaced = self.space != UNKNOWN
        self.children: list[dict[int, int]] = [{}]
        self.depth, self.weight = [0], [0.0]
        self.words: list[list[tuple[int, float]]] = [[]]  # lengths and weights of those completed
        self.first = self._child(0, self.space, 0) if self.spaced else 0
        for tokens, weight in weights.items():
            node = self.first
            for count, token in enumerate(tokens, start=1):
                node = self._child(node, token, count)
                if self.spaced or count < len(tokens):
                    self.weight[node] = max(self.weight[node], weight)
            if self.spaced:
                node = self._child(node, self.space, len(tokens) + 1)
            self.words[node].append((len(tokens), weight))
        # A character is in words that end behind it, or behind words that follow in the same hot word.
        self.overlap = max([1, *((t.count(self.space) + 1) if self.spaced else len(t) for t in weights)])
        self.characters = {token for tokens in weights for token in tokens}
        if self.spaced:
            self.characters.add(self.space)

    def _child(self, node: int, token: int, depth: int) -> int:
        if token not in self.children[node]:
            self.children[node][token] = len(self.children)
            self.children.append({})
            self.depth.append(depth)
            self.weight.append(0.0)
            self.words.append([])
        return self.children[node][token]

    def automaton(self) -> Automaton:
        """The tree with the states after a break filled in, each the longest end that begins a hot word."""
        columns = column_map(self.characters, self.vocabulary)
        width, count = len(self.characters) + 1, len(self.children)
        if count * width > LARGEST_TABLE:
            raise ConfigError("the hot words have too many different characters together: give fewer")
        following = np.zeros((count, width), np.int32)
        breaks = [0] * count
        waiting = deque([0])
        while waiting:
            node = waiting.popleft()
            if node:
                following[node] = following[breaks[node]]
                self.words[node] += self.words[breaks[node]]
            for token, child in self.children[node].items():
                breaks[child] = int(following[node, columns[token]])
                waiting.append(child)
            for token, child in self.children[node].items():
                following[node, columns[token]] = child
        # A state of no open word holds what a shorter beginning in it does.
        depth, weight = np.array(self.depth), np.array(self.weight)
        for node in self._breadth_first():
            if not weight[node]:
                depth[node], weight[node] = depth[breaks[node]], weight[breaks[node]]
        return self._ordered(columns, following, depth, weight)

    def _breadth_first(self) -> list[int]:
        found = [0]
        for node in found:
            found += self.children[node].values()
        return found

    def _ordered(
        self, columns: Integers, following: npt.NDArray[np.int32], depth: Integers, weight: Float64
    ) -> Automaton:
        """The automaton, the state of the empty text before all others."""
        count, most = len(depth), max(1, *map(len, self.words))
        lengths, weights = np.zeros((most, count), np.int64), np.zeros((most, count))
        for node, words in enumerate(self.words):
            for place, (length, of_word) in enumerate(words):
                lengths[place, node], weights[place, node] = length, of_word
        order = np.arange(count)
        order[[0, self.first]] = order[[self.first, 0]]
        following = order[following[order]].astype(np.int32)  # the exchange is its own inverse
        never = np.zeros(count, np.int64)
        return Automaton(
            columns, following, never > 0, never, depth[order], weight[order], lengths[:, order],
            weights[:, order], self.spaced, self.space, self.overlap * most,
        )  # fmt: skip
