"""Text -> a vocabulary, numbers of words, and counts of n-grams, by sorting in NumPy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from asr_seq2seq.errors import CorpusError

Words = npt.NDArray[np.uint16]
Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
BITS = 16  # of a word's number: four words make one key
MOST_WORDS = (1 << BITS) - 2


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows, sorted; then the boundary of a sentence, and all unknown words as one."""

    words: tuple[str, ...]

    @property
    def boundary(self) -> int:
        """The end of a sentence, and as a history its beginning."""
        return len(self.words)

    @property
    def unknown(self) -> int:
        """Any word that is not in the vocabulary."""
        return len(self.words) + 1

    def __len__(self) -> int:
        return len(self.words) + 2

    def stream(self, sentences: Iterable[str]) -> Words:
        """All words of the sentences as one sequence, with a boundary before each sentence and at the end."""
        numbers = {word: number for number, word in enumerate(self.words)}
        unknown, boundary = self.unknown, self.boundary

        def each() -> Iterator[int]:
            for sentence in sentences:
                yield boundary
                for word in sentence.split():
                    yield numbers.get(word, unknown)
            yield boundary

        return np.fromiter(each(), np.uint16)


def count_words(sentences: Iterable[str]) -> Counter[str]:
    """How often each word occurs."""
    return Counter(chain.from_iterable(sentence.split() for sentence in sentences))


def most_frequent(counts: Mapping[str, int], size: int) -> Vocabulary:
    """The `size` most frequent words, of equally frequent ones the first in the alphabet."""
    if not counts:
        raise CorpusError("the training text holds no words; give text with one sentence a line")
    order = sorted(counts, key=lambda word: (-counts[word], word))
    return Vocabulary(tuple(sorted(order[: min(size, MOST_WORDS)])))


@dataclass(frozen=True)
class Ngrams:
    """All n-grams of one order as sorted keys (n,), with their counts (n,) in the text."""

    keys: Keys
    counts: Counts


def count_ngrams(stream: Words, order: int, boundary: int) -> list[Ngrams]:
    """The n-grams of each order from 1 to `order` (at most 4); none goes beyond the boundary of a sentence.

    The boundary can be the first word, as the beginning of a sentence, or the last, as its end.
    """
    found = []
    inside = stream != boundary
    keys = stream.astype(np.uint64)
    valid = np.ones(len(stream), bool)
    for length in range(1, order + 1):
        if length > 1:
            keys = (keys[:-1] << np.uint64(BITS)) | stream[length - 1 :]
            valid = valid[:-1]
            if length > 2:
                valid = valid & inside[length - 2 : -1]
        found.append(Ngrams(*np.unique(keys[valid], return_counts=True)))
    return found


def prefix(keys: Keys) -> Keys:
    """Without the last word."""
    return keys >> np.uint64(BITS)


def suffix(keys: Keys, length: int) -> Keys:
    """Without the first of `length` words."""
    return keys & np.uint64((1 << BITS * (length - 1)) - 1)


def last_word(keys: Keys) -> npt.NDArray[np.int64]:
    """The number of the last word."""
    return (keys & np.uint64((1 << BITS) - 1)).astype(np.int64)


def first_word(keys: Keys, length: int) -> npt.NDArray[np.int64]:
    """The number of the first of `length` words."""
    return (keys >> np.uint64(BITS * (length - 1))).astype(np.int64)
