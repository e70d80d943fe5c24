import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.prefix_tree import PrefixTree
from asr_seq2seq.decoding.word_ngrams import LookAheadScorer
from asr_seq2seq.model_file.word_ngrams import HistoryLevel, WordNgrams
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, Alphabet

Make = Callable[..., Any]
SPELLED = Alphabet(" abc")  # of the recognizers here
WORDS = ("a", "ab", "abb", "b", "ba", "bab", "d")  # no recognizer here writes a d
BOUNDARY, UNKNOWN = len(WORDS), len(WORDS) + 1
OWN = "abd"


@pytest.fixture(scope="module")
def model() -> WordNgrams:
    """Random trigrams, and random spellings of unknown words."""
    random = np.random.default_rng(1)
    size = len(WORDS) + 2
    unigrams = random.dirichlet(np.ones(size))
    levels = []
    below = size
    for share in (0.6, 0.4):
        histories = np.flatnonzero(random.random(below) < share)
        rows = [np.flatnonzero(random.random(size) < 0.4) for _ in histories]
        rows = [row if len(row) else np.array([0]) for row in rows]
        counts = np.array([len(row) for row in rows])
        rests = random.uniform(0.1, 0.9, len(histories))
        shares = np.concatenate(
            [(1 - rest) * random.dirichlet(np.ones(len(row))) for row, rest in zip(rows, rests, strict=True)]
        )
        levels.append(HistoryLevel(histories, counts, np.concatenate(rows), shares, rests))
        below = int(counts.sum())
    spelling = np.log(random.dirichlet(np.ones(len(OWN) + 1), (len(OWN) + 1,) * 2))
    return WordNgrams(WORDS, unigrams, tuple(levels), spelling, Alphabet(OWN), Normalizer.named("english-v1"))


def probability(model: WordNgrams, history: tuple[int, ...], word: int) -> float:
    """p(word | history) by the recursion, with no table."""
    if not history:
        return float(model.unigrams[word])
    shorter = probability(model, history[1:], word)
    place: int | None = history[0]
    for order, level in enumerate(model.levels[: len(history)]):
        owners = np.repeat(level.histories, level.counts)
        found = np.flatnonzero(level.histories == place)
        if not len(found):
            return shorter
        if order + 1 == len(history):
            same = np.flatnonzero((owners == place) & (level.words == word))
            share = float(level.shares[same[0]]) if len(same) else 0.0
            return share + float(level.rests[found[0]]) * shorter
        same = np.flatnonzero((owners == place) & (level.words == history[order + 1]))
        if not len(same):
            return shorter
        place = int(same[0])
    raise AssertionError


def spelled(model: WordNgrams, word: str, ends: bool) -> float:
    """log p of an unknown word, or of its beginning; characters that the model lacks cost what they do."""
    total, context = 0.0, (0, 0)
    for character in word:
        if character not in OWN:
            total += math.log(1e-6)
            context = (context[1], 0)
            continue
        symbol = OWN.index(character) + 1
        total += float(model.spelling[(*context, symbol)])
        context = (context[1], symbol)
    return total + (float(model.spelling[(*context, 0)]) if ends else 0.0)


def expected(model: WordNgrams, text: str, whole: bool) -> float:
    """log p of a text, or that a text begins so, word after word, over all words of the vocabulary."""
    *closed, last = text.split(" ")
    words = [*closed, last] if whole else closed
    history: tuple[int, ...] = (BOUNDARY,)
    total = 0.0
    for word in words:
        known = probability(model, history, WORDS.index(word)) if word in WORDS else 0.0
        unknown = probability(model, history, UNKNOWN) * math.exp(spelled(model, word, ends=True))
        total += math.log(known + unknown)
        history = (*history, WORDS.index(word) if word in WORDS else UNKNOWN)[-2:]
    if whole:
        return total + math.log(probability(model, history, BOUNDARY))
    below = sum(probability(model, history, n) for n, word in enumerate(WORDS) if word.startswith(last))
    unknown = probability(model, history, UNKNOWN) * math.exp(spelled(model, last, ends=False))
    return total + math.log(below + unknown)


def state_of(scorer: LookAheadScorer, text: str) -> Any:
    state = scorer.start(1)
    for token in SPELLED.encode(text):
        state = scorer.advance(state, np.array([[0]]), np.array([[token]]))
    return state


def test_a_tree_holds_every_beginning_once() -> None:
    tree = PrefixTree.of(WORDS, OWN)
    found = {}

    def walk(node: int, prefix: str) -> None:
        found[prefix] = WORDS[tree.first[node] : tree.last[node]]
        for child in range(tree.children[node], tree.children[node + 1]):
            walk(child, prefix + ("." + OWN)[tree.symbols[child]])

    walk(0, "")
    whole = [word + "." for word in WORDS]
    beginnings = {word[:length] for word in whole for length in range(len(word) + 1)}
    assert found == {
        one: tuple(word[:-1] for word in whole if word.startswith(one)) for one in sorted(beginnings)
    }


@pytest.mark.parametrize(
    "text", ["a", "ab", "ba", "bba", "a ab", "a ab ba", "bb ca ab", "ab ab ab abb", "c c"]
)
def test_characters_and_end_sum_to_the_probability_of_the_text(model: WordNgrams, text: str) -> None:
    scorer = LookAheadScorer(model, SPELLED)
    for length in range(len(text) + 1):
        scores = scorer.scores(state_of(scorer, text[:length]))[0, 0]
        if not text[:length].endswith(" ") and length:
            assert scores[END] == pytest.approx(expected(model, text[:length], whole=True), abs=1e-9)
            assert scores[SPELLED.space] == pytest.approx(expected(model, text[:length] + " ", whole=False))
        for character in "abc":
            score = scores[SPELLED.encode(character)[0]]
            assert score == pytest.approx(expected(model, text[:length] + character, whole=False), abs=1e-9)


@pytest.mark.parametrize("text", ["", "a", "ab", "abb", "abba", "a b", "bbb b"])
def test_all_that_may_follow_sums_to_one(model: WordNgrams, text: str) -> None:
    spells = Alphabet(" abd")  # as the model does
    scorer = LookAheadScorer(model, spells)
    state = scorer.start(1)
    before = 0.0
    for token in spells.encode(text):
        before = float(scorer.scores(state)[0, 0, token])
        state = scorer.advance(state, np.array([[0]]), np.array([[token]]))
    scores = scorer.scores(state)[0, 0]
    follows = [spells.encode(character)[0] for character in "abd"]
    if text:
        follows += [END, spells.space]
        assert np.exp(scores[follows] - before).sum() == pytest.approx(1)
    else:  # a text that is empty, and one that begins with a space
        assert np.exp(scores[[*follows, END, spells.space]]).sum() == pytest.approx(1)


def test_a_space_behind_a_space_is_a_word_that_nobody_writes(model: WordNgrams) -> None:
    scorer = LookAheadScorer(model, SPELLED)
    once, twice = (scorer.scores(state_of(scorer, text))[0, 0] for text in ("a", "a "))
    assert twice[END] <= once[END]
    assert twice[SPELLED.space] < once[SPELLED.space]


def test_hypotheses_advance_from_the_parents_they_name(model: WordNgrams) -> None:
    scorer = LookAheadScorer(model, SPELLED)
    a, b, space = SPELLED.encode("ab ")
    state = scorer.advance(scorer.start(2), np.zeros((2, 2), int), np.array([[a, b]] * 2))
    state = scorer.advance(state, np.array([[1, 0], [0, 0]]), np.array([[b, space], [a, b]]))
    state = scorer.advance(state, np.array([[1, 0], [0, 1]]), np.array([[b, a], [b, a]]))
    for row, texts in enumerate((("a b", "bba"), ("aab", "aba"))):
        for column, text in enumerate(texts):
            alone = scorer.scores(state_of(scorer, text))[0, 0]
            assert np.array_equal(scorer.scores(state)[row, column], alone)
    same, kept = scorer.keep(state, np.array([1]))
    assert same is scorer
    assert np.array_equal(scorer.scores(kept), scorer.scores(state)[1:])


def test_a_recognizer_of_single_words_has_no_space(model: WordNgrams) -> None:
    scorer = LookAheadScorer(model, Alphabet("ab"))
    state = scorer.advance(scorer.start(1), np.array([[0]]), np.array([[FIRST_CHARACTER]]))
    assert scorer.scores(state)[0, 0, END] == pytest.approx(expected(model, "a", whole=True))


def test_a_search_sums_its_parts_alone_and_in_a_batch(
    model: WordNgrams, make_case: Make, make_sounds: Make
) -> None:
    scorer = LookAheadScorer(model, SPELLED)
    options = DecodingOptions(ctc_weight=0.4, lm_weight=0.6, length_reward=2.5)
    spaces = 0
    for seed in range(4):
        case = make_case(None, make_sounds(2400, 900, 1), vocabulary=len(SPELLED), seed=seed, scale=3.0)
        together = case.search(options, scorer)
        for hypotheses, alone in zip(together, case.alone(options, scorer), strict=True):
            assert [one.tokens for one in alone] == [one.tokens for one in hypotheses]
            for one in hypotheses:
                text = SPELLED.decode(one.tokens)
                parts = 0.6 * one.decoder + 0.4 * one.ctc + 0.6 * one.lm + 2.5 * one.length
                assert one.score == pytest.approx(parts)
                if text and text == " ".join(text.split()):
                    spaces += " " in text
                    assert one.lm == pytest.approx(expected(model, text, whole=True), abs=1e-6)
    assert spaces  # otherwise no text had two words


def test_a_score_never_rises_as_a_text_grows(model: WordNgrams) -> None:
    scorer = LookAheadScorer(model, SPELLED)
    for text in map("".join, product("ab c", repeat=4)):
        before = 0.0
        state = scorer.start(1)
        for token in SPELLED.encode(text):
            scores = scorer.scores(state)[0, 0]
            assert (scores[[END, *range(FIRST_CHARACTER, len(SPELLED))]] <= before + 1e-12).all()
            before = float(scores[token])
            state = scorer.advance(state, np.array([[0]]), np.array([[token]]))
