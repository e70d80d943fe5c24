import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from asr_seq2seq.decoding import beam
from asr_seq2seq.decoding.automata import Automaton, AutomatonScorer
from asr_seq2seq.decoding.guides import hotwords_of
from asr_seq2seq.decoding.hotwords import (
    LONGEST,
    MOST,
    HotWord,
    hotword_automaton,
    parse_hotword,
    split_hotwords,
    usable_hotwords,
)
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, Alphabet

Make = Callable[..., Any]
SPACED, UNSPACED = Alphabet(" ab"), Alphabet("abc")
PLAIN = Normalizer.named("none")
WORDS = ["a", "ab", "ab b", "b a:2", "abba", "b ab b:0.5"]
UNSPACED_WORDS = ["a", "ab", "bc:2", "abca"]


def automaton_of(words: list[str], alphabet: Alphabet, boost: float = 1.0) -> Automaton:
    return hotword_automaton(words, boost, alphabet, PLAIN)


def boost_of(text: str, words: list[str], spaced: bool, gates: list[float] | None = None) -> float:
    """What the hot words in a text add, found by looking at every place of it."""
    total = 0.0
    gates = gates or [1.0] * len(text)
    for given in words:
        word = parse_hotword(given)
        for start in range(len(text)):
            end = start + len(word.text)
            whole = not spaced or (
                (start == 0 or text[start - 1] == " ") and text[end : end + 1] in ("", " ")
            )
            if text[start:end] == word.text and whole:
                total += word.weight * max(0.0, sum(gates[start:end]))
    return total


def trace(scorer: AutomatonScorer, tokens: list[int], gates: list[float] | None = None) -> list[float]:
    """The added score of each beginning of a text, and of the text with its end."""
    state, found = scorer.start(), []
    zero, left = np.zeros((1, 1), np.int64), np.array([100])
    vocabulary = scorer.columns.shape[1]
    for token, gate in zip(tokens, gates or [1.0] * len(tokens), strict=True):
        confirmed = np.full((1, 1, vocabulary), gate)
        found.append(float(scorer.scores(state, confirmed, left)[0, 0, token]))
        state = scorer.advance(state, zero, zero + token, confirmed)
    return [*found, float(scorer.scores(state, np.ones((1, 1, vocabulary)), left)[0, 0, END])]


@pytest.mark.parametrize(
    ("alphabet", "words", "spaced"), [(SPACED, WORDS, True), (UNSPACED, UNSPACED_WORDS, False)]
)
def test_a_text_gets_what_its_whole_hot_words_add(alphabet: Alphabet, words: list[str], spaced: bool) -> None:
    automaton = automaton_of(words, alphabet)
    scorer = AutomatonScorer([[automaton]], len(alphabet), END)
    raised, rng = 0, np.random.default_rng(0)
    for length in range(6):
        for text in map("".join, product(alphabet.characters, repeat=length)):
            expected = boost_of(text, words, spaced)
            tokens = alphabet.encode(text)
            found = trace(scorer, tokens)
            assert found[-1] == expected
            raised += expected > 0
            assert found[-1] <= scorer.rates[0] * length
            gates = [float(gate) for gate in rng.uniform(-1, 1, length)]
            found = trace(scorer, tokens, gates)
            assert found[-1] == pytest.approx(boost_of(text, words, spaced, gates))
    assert raised > 50


def test_a_hot_word_counts_as_it_is_spelled_and_is_taken_back_where_it_breaks() -> None:
    alphabet = Alphabet(" abnst")
    scorer = AutomatonScorer([[automaton_of(["anna"], alphabet, 1.5)]], len(alphabet), END)
    assert trace(scorer, alphabet.encode("anna")) == [1.5, 3.0, 4.5, 6.0, 6.0]
    assert trace(scorer, alphabet.encode("annas")) == [1.5, 3.0, 4.5, 6.0, 0.0, 0.0]
    assert trace(scorer, alphabet.encode("anb")) == [1.5, 3.0, 0.0, 0.0]
    assert trace(scorer, alphabet.encode("ann")) == [1.5, 3.0, 4.5, 0.0]
    assert trace(scorer, alphabet.encode("banna")) == [0.0] * 6


def test_what_the_sound_does_not_confirm_adds_less_and_never_takes_away() -> None:
    alphabet = Alphabet(" abnst")
    scorer = AutomatonScorer([[automaton_of(["anna"], alphabet)]], len(alphabet), END)
    text = alphabet.encode("anna")
    assert trace(scorer, text, [1.0, 0.5, 0.25, 1.0])[-1] == 2.75
    assert trace(scorer, text, [1.0, -1.0, -1.0, 0.5]) == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_each_utterance_has_hot_words_of_its_own() -> None:
    first, second = automaton_of(["ab"], SPACED), automaton_of(["b a", "bb"], SPACED, 2.0)
    scorer = AutomatonScorer([[first], [], [second], [first, second]], len(SPACED), END)
    state = scorer.start()
    left, ones = np.full(4, 100), np.ones((4, 1, len(SPACED)))
    for text in ("ab", "bb a"):
        state = scorer.start()
        for token in SPACED.encode(text):
            state = scorer.advance(state, np.zeros((4, 1), np.int64), np.full((4, 1), token), ones)
        alone = [
            trace(AutomatonScorer([[one]], len(SPACED), END), SPACED.encode(text))[-1]
            for one in (first, second)
        ]
        assert scorer.scores(state, ones, left)[:, 0, END].tolist() == [alone[0], 0.0, alone[1], sum(alone)]
        kept, rest = scorer.keep(state, np.array([2, 3]))
        assert kept.scores(rest, ones[:2], left[:2])[:, 0, END].tolist() == [alone[1], sum(alone)]


def test_words_pass_the_normalizer_of_the_model() -> None:
    alphabet = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
    english = Normalizer.named("english-v1")
    scorer = AutomatonScorer(
        [[hotword_automaton(["O’Neil-Smith!", "Weiß"][:1], 1.0, alphabet, english)]], len(alphabet), END
    )
    assert trace(scorer, alphabet.encode("o'neil smith"))[-1] == 12.0


def test_of_a_prompt_only_what_can_be_hot_is_taken() -> None:
    """A prompt may be any text: sentences, numbers, wrong weights."""
    alphabet, english = Alphabet(" abcdefghijklmnopqrstuvwxyz"), Normalizer.named("english-v1")
    prompt = (
        "Anna Schmidt:2, on 29 June, a sentence of more words, !, x:0\nKubernetes, "
        + "y" * 101
        + ",z"
        + "!" * 300
    )
    assert usable_hotwords(prompt, alphabet, english) == ("Anna Schmidt:2", "Kubernetes")
    assert len(usable_hotwords("a," * 10_000, alphabet, english)) == MOST
    assert usable_hotwords("a, b, c", alphabet, english, 2) == ("a", "b")


def test_how_hot_words_are_written() -> None:
    assert split_hotwords(" Kubernetes, Anna Schmidt:2,\nx ,") == ("Kubernetes", "Anna Schmidt:2", "x")
    assert parse_hotword("a:b") == HotWord("a:b")
    assert parse_hotword("a : 2.5") == HotWord("a", 2.5)
    assert hotwords_of(None) == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a1c"], "hot word 'a1c' has characters that the model cannot write (1"),
        (["!"], "nothing that the model could write"),
        (["a" * (LONGEST + 1)], "more than 100 characters"),
        (["a"] * (MOST + 1), "1001 hot words are too many"),
        (["a:0"], "must be above 0"),
        (["a:-1"], "must be above 0"),
        (["a:nan"], "must be above 0"),
        (["a:1e9"], "at most 20"),
    ],
)
def test_hot_words_that_cannot_be_used(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        hotword_automaton(words, 1.0, Alphabet(" a"), Normalizer.named("english-v1"))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_hot_words_need_a_beam() -> None:
    with pytest.raises(ConfigError, match="beam size of 2 or more"):
        DecodingOptions(beam_size=1, hotwords=("a",))


def test_a_file_of_hot_words(tmp_path: Any) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeffAnna, Berta\r\n\nX:2\n".encode())
    assert hotwords_of(f"@{file}") == ("Anna, Berta", "X:2")
    file.write_bytes(b"\xff\xff")
    with pytest.raises(ConfigError, match="no text in UTF-8"):
        hotwords_of(f"@{file}")
    file.write_bytes(b"\n")
    with pytest.raises(ConfigError, match="is empty"):
        hotwords_of(f"@{file}")
    with pytest.raises(ConfigError, match="cannot read"):
        hotwords_of(f"@{tmp_path}")
    with pytest.raises(ConfigError, match="cannot read"):
        hotwords_of("@\0")


def hotwords_for(alphabet: Alphabet, words: list[str], boost: float) -> Automaton:
    return hotword_automaton(words, boost, alphabet, PLAIN)


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_a_huge_beam_finds_the_best_of_all_texts(
    weight: float, make_case: Make, make_sounds: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hot words the best text is the best sum of score and boost of whole hot words."""
    monkeypatch.setattr(beam, "_SHORTEST_LIMIT", 4)
    monkeypatch.setattr(beam, "_CHECK_EVERY", 1)
    words = ["ab", "b a", "a:0.7"]
    automaton = hotwords_for(SPACED, words, 4.0)
    # Adds nothing, and lets no text go untried.
    patient = replace(hotwords_for(SPACED, ["a" * 50], 1e6), overlap=1)
    options = DecodingOptions(
        beam_size=400, ctc_weight=weight, length_reward=0.0, tokens_per_frame=0.01, hotword_evidence=1e300
    )
    changed = 0
    for seed in range(4):
        sounds = make_sounds(1500, seed=seed)
        case = make_case({"model.decoder.attention": "dot"}, sounds, vocabulary=7, seed=seed, scale=3.0)
        encoded = case.encode(sounds)
        [plain] = beam.search(case.model, encoded, options, automata=[[patient]])
        assert len(plain) == sum(3**length for length in range(5))
        [raised] = beam.search(case.model, encoded, options, automata=[[automaton]])
        scores = {
            one.tokens: one.score + 4.0 * boost_of(SPACED.decode(one.tokens), words, True) for one in plain
        }
        assert raised[0].tokens == max(scores, key=lambda tokens: scores[tokens])
        for one in raised:
            if one.tokens in scores:
                assert one.score == pytest.approx(scores[one.tokens], abs=1e-9)
                boost = 4.0 * boost_of(SPACED.decode(one.tokens), words, True)
                assert one.boost == pytest.approx(boost)
        changed += raised[0].tokens != plain[0].tokens
    assert changed


def test_requests_with_and_without_hot_words_share_a_batch(make_case: Make, make_sounds: Make) -> None:
    """Each utterance comes out as alone; those without hot words bit by bit as without any in the batch."""
    first, second = hotwords_for(SPACED, ["ab", "ba b"], 2.0), hotwords_for(SPACED, ["bb"], 3.0)
    sounds = make_sounds(2400, 900, 1, 3300, 1200)
    case = make_case({"model.decoder.attention": "dot"}, sounds, vocabulary=7, scale=3.0)
    automata: list[list[Automaton]] = [[first], [], [second], [first, second], []]
    options = DecodingOptions(beam_size=4, length_reward=0.0)
    together = beam.search(case.model, case.encode(sounds), options, automata=automata)
    plain = beam.search(case.model, case.encode(sounds), options)
    changed = 0
    for place, (sound, own) in enumerate(zip(sounds, automata, strict=True)):
        [alone] = beam.search(case.model, case.encode([sound]), options, automata=[own])
        assert [one.tokens for one in together[place]] == [one.tokens for one in alone]
        assert [one.score for one in together[place]] == pytest.approx([one.score for one in alone], abs=1e-4)
        same = [(one.tokens, one.score, one.chosen) for one in plain[place]]
        if not own:
            assert [(one.tokens, one.score, one.chosen) for one in together[place]] == same
        changed += [one.tokens for one in together[place]] != [one.tokens for one in plain[place]]
    assert changed
    backwards = beam.search(case.model, case.encode(sounds[::-1]), options, automata=automata[::-1])
    for there, back in zip(together, backwards[::-1], strict=True):
        assert [one.tokens for one in there] == [one.tokens for one in back]


def test_no_hot_words_change_nothing(make_case: Make, make_sounds: Make) -> None:
    sounds = make_sounds(2400, 900, 3300)
    case = make_case({"model.decoder.attention": "dot"}, sounds, scale=3.0)
    options = DecodingOptions(length_reward=0.5)
    encoded = case.encode(sounds)
    assert beam.search(case.model, encoded, options, automata=[(), (), ()]) == beam.search(
        case.model, encoded, options
    )


def test_confidence_is_that_of_the_model_without_boost(make_case: Make, make_sounds: Make) -> None:
    sounds = make_sounds(2400)
    case = make_case(None, sounds, vocabulary=7, scale=3.0)
    options = DecodingOptions(beam_size=50, length_reward=0.0)
    encoded = case.encode(sounds)
    [plain] = beam.search(case.model, encoded, options)
    [raised] = beam.search(case.model, encoded, options, automata=[[hotwords_for(SPACED, ["ab"], 3.0)]])
    known = {one.tokens: one.chosen for one in plain}
    shared = [one for one in raised if one.tokens in known]
    assert any(one.boost for one in shared)
    for one in shared:
        assert one.chosen == pytest.approx(known[one.tokens])
        assert all(token >= FIRST_CHARACTER for token in one.tokens) and math.isfinite(one.score)
