from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from asr_seq2seq.decoding import beam
from asr_seq2seq.decoding.automata import Automaton
from asr_seq2seq.decoding.guides import Guide, is_rejected
from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.phrases import MOST, phrase_automaton, prefix_automaton, read_phrases
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

Make = Callable[..., Any]
SPACED, UNSPACED = Alphabet(" ab"), Alphabet("abc")
PLAIN = Normalizer.named("none")
PHRASES = ["ab", "ab b", "b", "bba ab"]


def automaton_of(phrases: list[str], alphabet: Alphabet = SPACED) -> Automaton:
    return phrase_automaton(read_phrases(phrases, alphabet, PLAIN), alphabet)


def accepts(automaton: Automaton, tokens: list[int]) -> bool:
    state = 0
    for token in tokens:
        state = int(automaton.following[state, automaton.columns[token]])
    return bool(not automaton.barred[state] and automaton.distance[state] == 0)


@pytest.mark.parametrize("alphabet", [SPACED, UNSPACED])
@pytest.mark.parametrize("repeated", [False, True])
def test_texts_of_phrases_pass_and_no_others(alphabet: Alphabet, repeated: bool) -> None:
    phrases = PHRASES if alphabet is SPACED else ["ab", "abc", "c", "ca"]
    automaton = automaton_of([*phrases, *["[repeat]"] * repeated], alphabet)
    joint = " " if alphabet is SPACED else ""
    allowed = {joint.join(some) for count in (1, 2, 3, 4) for some in product(phrases, repeat=count)}
    for length in range(8):
        for text in map("".join, product(alphabet.characters, repeat=length)):
            expected = text in allowed if repeated else text in phrases
            if repeated and alphabet is UNSPACED:  # up to seven of one character
                expected = text in {"".join(s) for n in range(1, 8) for s in _parts(text, phrases, n)}
            assert accepts(automaton, alphabet.encode(text)) is expected, text


def _parts(text: str, phrases: list[str], most: int) -> list[tuple[str, ...]]:
    """The ways to write a text as at most so many phrases."""
    if not most:
        return []
    found: list[tuple[str, ...]] = [(one,) for one in phrases if one == text]
    for one in phrases:
        if text.startswith(one):
            found += [(one, *rest) for rest in _parts(text[len(one) :], phrases, most - 1)]
    return found


def test_a_beginning_is_held_to() -> None:
    automaton = prefix_automaton(SPACED.encode("ab"), SPACED)
    for length in range(6):
        for text in map("".join, product(SPACED.characters, repeat=length)):
            assert accepts(automaton, SPACED.encode(text)) is (text == "ab" or text.startswith("ab "))


@pytest.mark.parametrize("weight", [0.0, 0.4])
@pytest.mark.parametrize("beam_size", [1, 8])
def test_a_search_comes_out_with_a_phrase(
    weight: float, beam_size: int, make_case: Make, make_sounds: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beam, "_SHORTEST_LIMIT", 2)
    sounds = make_sounds(1, 900, 3300, 2400)
    case = make_case({"model.decoder.attention": "dot"}, sounds, vocabulary=7, scale=3.0)
    encoded = case.encode(sounds)
    options = DecodingOptions(beam_size=beam_size, ctc_weight=weight, length_reward=0.0, tokens_per_frame=0.2)
    for phrases in (PHRASES, [*PHRASES, "[repeat]"], ["bba ab ab bb", "[repeat]"], ["a"], ["a" * 40]):
        automaton = automaton_of(phrases)
        found = beam.search(case.model, encoded, options, automata=[[automaton]] * 4)
        for sound, hypotheses in zip(sounds, found, strict=True):
            assert hypotheses
            assert all(accepts(automaton, list(one.tokens)) for one in hypotheses)
            [alone] = beam.search(case.model, case.encode([sound]), options, automata=[[automaton]])
            assert [one.tokens for one in alone] == [one.tokens for one in hypotheses]


def test_the_best_phrase_is_the_one_of_the_best_score(make_case: Make, make_sounds: Make) -> None:
    options = DecodingOptions(beam_size=50, length_reward=0.0)
    for seed in range(5):
        sounds = make_sounds(2400, seed=seed)
        case = make_case({"model.decoder.attention": "dot"}, sounds, vocabulary=7, seed=seed, scale=3.0)
        encoded = case.encode(sounds)
        scores = {}
        for phrase in PHRASES:
            [[one]] = beam.search(case.model, encoded, options, automata=[[automaton_of([phrase])]])
            assert SPACED.decode(one.tokens) == phrase
            scores[phrase] = one.score
        [found] = beam.search(case.model, encoded, options, automata=[[automaton_of(PHRASES)]])
        texts = sorted(scores, key=lambda one: -scores[one])[: len(found)]
        assert [SPACED.decode(one.tokens) for one in found] == texts
        assert [one.score for one in found] == pytest.approx([scores[text] for text in texts])


def test_lines_of_other_meaning() -> None:
    phrases = read_phrases(["a", "", " [unk] ", "a", "b"], SPACED, PLAIN)
    assert (len(phrases.texts), phrases.rejects, phrases.repeated) == (2, True, False)
    options = DecodingOptions(phrases=("a", "[unk]"))
    assert Guide.of(options, SPACED, PLAIN).rejects


def test_what_no_phrase_fits_is_rejected_by_the_mean_of_its_characters() -> None:
    phrase, free = Hypothesis((4,) * 9, -20.0, -20.0, boost=5.0), Hypothesis((5,) * 3, -10.0, -10.0)
    assert is_rejected(phrase, free, 1.4)  # 15 more for ten characters, with the end
    assert not is_rejected(phrase, free, 1.5)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "there are no phrases"),
        (["[unk]"], "there are no phrases"),
        (["a", "x"], "the phrase 'x' has characters that the model cannot write (x)"),
        (["a" * 301], "more than 300 characters"),
        ([f"{'a' * (n % 150 + 1)} {'b' * (n // 150 + 1)}" for n in range(MOST + 1)], "too many"),
    ],
)
def test_phrases_that_cannot_be_used(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_phrases(lines, SPACED, PLAIN)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
