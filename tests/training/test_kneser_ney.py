import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from asr_seq2seq.training.kneser_ney import Smoothed, perplexity, prune, smooth
from asr_seq2seq.training.spelling import spelling
from asr_seq2seq.training.word_counts import Vocabulary, count_ngrams, count_words, most_frequent
from asr_seq2seq.training.word_lm import levels

Ngram = tuple[int, ...]


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """Drawn by chance, so that some words, pairs and triples are frequent and some stand once."""
    random = np.random.default_rng(3)
    words = ["a", "bc", "d", "ef", "g", "hi", "j", "k", "lm", "n"]
    p = 1 / np.arange(1, 11)
    found = []
    for _ in range(120):
        line = [str(random.choice(words, p=p / p.sum()))]
        while random.random() < 0.75:
            line.append(words[(words.index(line[-1]) + int(random.choice([1, 1, 1, 2, 3, 7]))) % 10])
        found.append(" ".join(line))
    return found


def ngrams_of(sentences: list[str], vocabulary: Vocabulary, order: int) -> list[Counter[Ngram]]:
    """Counts by loops: of sentences with the boundary at both ends, none that begins within the ends."""
    numbers = {word: number for number, word in enumerate(vocabulary.words)}
    found: list[Counter[Ngram]] = [Counter() for _ in range(order + 1)]
    for sentence in sentences:
        words = [numbers.get(word, vocabulary.unknown) for word in sentence.split()]
        padded = [vocabulary.boundary, *words, vocabulary.boundary]
        for length in range(1, order + 1):
            for place in range(len(padded) - length + 1):
                if length > 1 or place:  # a boundary alone is an end
                    found[length][tuple(padded[place : place + length])] += 1
    return found


class Reference:
    """Interpolated modified Kneser-Ney, written as the formulas of Chen and Goodman (1999) are."""

    def __init__(self, found: list[Counter[Ngram]], vocabulary: Vocabulary) -> None:
        self.size, self.counts = len(vocabulary), found[:]
        order = len(found) - 1
        for length in range(1, order):
            before = Counter(ngram[1:] for ngram in found[length + 1])
            beginnings = {
                g: c for g, c in found[length].items() if g[0] == vocabulary.boundary and length > 1
            }
            self.counts[length] = Counter(before | Counter(beginnings))
        self.discounts = [[0.0] * 4] + [self.discounts_of(counts) for counts in self.counts[1:]]
        self.following: list[dict[Ngram, Counter[int]]] = [defaultdict(Counter) for _ in range(order + 1)]
        for length, counts in enumerate(self.counts):
            for ngram, count in counts.items():
                self.following[length][ngram[:-1]][ngram[-1]] += count

    @staticmethod
    def discounts_of(counts: Counter[Ngram]) -> list[float]:
        n = [sum(count == k for count in counts.values()) for k in range(5)]
        if not all(n[1:]):
            return [0.0, 0.5, 1.0, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        found = [0.0, *(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))]
        return found if all(0 < d <= k for k, d in enumerate(found) if k) else [0.0, 0.5, 1.0, 1.5]

    def p(self, ngram: Ngram) -> float:
        if not ngram:
            return 1 / self.size
        following = self.following[len(ngram)].get(ngram[:-1])
        shorter = self.p(ngram[1:])
        if following is None:
            return shorter
        discounts, total = self.discounts[len(ngram)], sum(following.values())
        count = following[ngram[-1]]
        left = sum(discounts[min(one, 3)] for one in following.values())
        return (max(count - discounts[min(count, 3)], 0) + left * shorter) / total


def keys_of(ngrams: list[Ngram]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    keys = [sum(word << 16 * place for place, word in enumerate(reversed(ngram))) for ngram in ngrams]
    return np.array(keys, np.uint64)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("size", [6, 100])
def test_smoothing_is_that_of_the_formulas(sentences: list[str], order: int, size: int) -> None:
    vocabulary = most_frequent(count_words(sentences), size)
    counted = count_ngrams(vocabulary.stream(sentences), order, vocabulary.boundary)
    found = ngrams_of(sentences, vocabulary, order)
    for length, ngrams in enumerate(counted[1:], start=2):
        assert len(ngrams.keys) == len(found[length])
        assert list(ngrams.keys) == sorted(keys_of(list(found[length])))
    model = smooth(counted, len(vocabulary), vocabulary.boundary, [0] * order)
    reference = Reference(found, vocabulary)
    for length in range(1, order + 1):
        seen = list(found[length])
        random = np.random.default_rng(1)
        others = [tuple(random.integers(0, len(vocabulary), length).tolist()) for _ in range(50)]
        others = [one for one in others if vocabulary.boundary not in one[1:-1]]
        expected = [reference.p(ngram) for ngram in seen + others]
        np.testing.assert_allclose(model.probabilities(keys_of(seen + others), length), expected, rtol=1e-9)


def every_sum(model: Smoothed, vocabulary: Vocabulary) -> list[float]:
    """The sum of all words after histories of two words."""
    size = len(vocabulary)
    histories = [(vocabulary.boundary, 0), (0, 1), (1, 2), (2, 3), (vocabulary.unknown, 1)]
    return [float(model.probabilities(keys_of([(*h, w) for w in range(size)]), 3).sum()) for h in histories]


def test_what_is_left_out_goes_to_shorter_histories(sentences: list[str]) -> None:
    vocabulary = most_frequent(count_words(sentences), 100)
    stream = vocabulary.stream(sentences)
    counted = count_ngrams(stream, 3, vocabulary.boundary)
    whole = smooth(counted, len(vocabulary), vocabulary.boundary, [0, 0, 0])
    cut = smooth(counted, len(vocabulary), vocabulary.boundary, [0, 1, 2])
    pruned = prune(whole, 1e-3, len(stream))
    for model in (cut, pruned):
        assert len(model.orders[1].keys) < len(whole.orders[1].keys)
        for history in np.unique(model.orders[1].keys >> np.uint64(16)):
            assert history in model.orders[0].keys  # what a search walks through
    for model in (whole, cut, pruned):
        assert every_sum(model, vocabulary) == pytest.approx([1.0] * 5)
    assert np.array_equal(prune(whole, 0.0, len(stream)).unigrams, whole.unigrams)


def test_perplexity_counts_words_and_ends(sentences: list[str]) -> None:
    vocabulary = most_frequent(count_words(sentences), 8)
    model = smooth(
        count_ngrams(vocabulary.stream(sentences), 3, vocabulary.boundary), len(vocabulary), 8, [0] * 3
    )
    text = ["a bc d", "n", "what is a"]
    total, count = 0.0, 0
    for sentence in text:
        words = vocabulary.stream([sentence]).tolist()
        for place in range(1, len(words)):
            ngram = tuple(words[max(0, place - 2) : place + 1])
            total += math.log(float(model.probabilities(keys_of([ngram]), len(ngram))[0]))
            count += 1
    found, words_and_ends = perplexity(model, vocabulary.stream(text), vocabulary.boundary)
    assert words_and_ends == count == 10
    assert found == pytest.approx(math.exp(-total / count))


def test_kenlm_reads_the_same_probabilities(sentences: list[str], tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    vocabulary = most_frequent(count_words(sentences), 100)
    counted = count_ngrams(vocabulary.stream(sentences), 3, vocabulary.boundary)
    model = smooth(counted, len(vocabulary), vocabulary.boundary, [0, 0, 1])
    path = tmp_path / "words.arpa"
    path.write_text(arpa(model, vocabulary))
    theirs = kenlm.Model(str(path))
    for sentence in sentences[:40]:
        found, count = perplexity(model, vocabulary.stream([sentence]), vocabulary.boundary)
        assert -count * math.log(found) == pytest.approx(theirs.score(sentence) * math.log(10), rel=1e-4)


def arpa(model: Smoothed, vocabulary: Vocabulary) -> str:
    """The model as an ARPA file: p in place of the shares, g as the weight of backing off."""
    lists = [[(number,) for number in range(len(vocabulary))]]
    for length, order in enumerate(model.orders, start=2):
        lists.append(
            [tuple(int(key) >> 16 * (length - 1 - k) & 0xFFFF for k in range(length)) for key in order.keys]
        )
    weights = [dict(zip(map(int, h), r, strict=True)) for h, r in map(model.rests, model.orders)] + [{}]
    lines = ["\\data\\", *(f"ngram {n}={len(one) + (n == 1)}" for n, one in enumerate(lists, start=1))]
    for length, ngrams in enumerate(lists, start=1):
        lines += ["", f"\\{length}-grams:"]
        keys = keys_of(ngrams)
        for ngram, key, p in zip(ngrams, map(int, keys), model.probabilities(keys, length), strict=True):
            words = [[*vocabulary.words, "</s>", "<unk>"][word] for word in ngram]
            if ngram[0] == vocabulary.boundary and length > 1:
                words[0] = "<s>"
            weight = math.log10(max(weights[length - 1].get(key, 1.0), 1e-9))
            if ngram == (vocabulary.boundary,):
                lines.append(f"-99\t<s>\t{weight:.7f}")
                weight = 0.0
            lines.append(f"{math.log10(p):.7f}\t{' '.join(words)}\t{weight:.7f}")
    return "\n".join([*lines, "", "\\end\\", ""])


def test_levels_hold_the_same_ngrams(sentences: list[str]) -> None:
    vocabulary = most_frequent(count_words(sentences), 100)
    counted = count_ngrams(vocabulary.stream(sentences), 3, vocabulary.boundary)
    model = smooth(counted, len(vocabulary), vocabulary.boundary, [0, 1, 1])
    first, second = levels(model)
    pairs = list(zip(np.repeat(first.histories, first.counts), first.words, strict=True))
    assert list(keys_of(pairs)) == list(model.orders[0].keys)
    triples = [
        (*pairs[place], word)
        for place, word in zip(np.repeat(second.histories, second.counts), second.words, strict=True)
    ]
    assert list(keys_of(triples)) == list(model.orders[1].keys)


def test_spellings_sum_to_one_and_follow_what_was_seen() -> None:
    table = spelling(["abab", "ab", "b"], "ab")
    np.testing.assert_allclose(np.exp(table).sum(-1), 1.0)
    assert table[0, 1, 2] > table[0, 1, 1]  # "ab" was seen, "aa" never
    assert table[1, 2, 0] > table[2, 1, 0]  # "ab" ends words, "ba" never
