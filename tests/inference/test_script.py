from asr_seq2seq.inference.script import paragraphs, read_script
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import UNKNOWN, Alphabet

ENGLISH = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
NORMALIZER = Normalizer.named("english-v1")


def _read(*lines: str, alphabet: Alphabet = ENGLISH, normalizer: Normalizer = NORMALIZER):
    script = read_script(lines, alphabet, normalizer)
    return script, [alphabet.decode(word.characters) for word in script.words]


def test_words_keep_their_spelling_and_are_spelled_for_the_model() -> None:
    script, spelled = _read("“It’s a well-known fact,” she said…", "", "Yes — no!")
    assert [word.text for word in script.words] == [
        "“It’s", "a", "well-known", "fact,”", "she", "said…", "Yes —", "no!",
    ]  # fmt: skip
    assert spelled == ["it's", "a", "well known", "fact", "she", "said", "yes", "no"]
    assert script.ends == (6, 8)
    assert [word.ends_sentence for word in script.words] == [False] * 5 + [True, False, True]
    assert not script.dropped


def test_what_the_model_does_not_know_is_dropped_and_counted() -> None:
    script, spelled = _read("In 1984 the naïve — & 7th 猫")
    assert spelled == ["in", "", "the", "nave", "th", ""]
    assert script.dropped == {"1": 1, "9": 1, "8": 1, "4": 1, "ï": 1, "7": 1, "猫": 1}
    assert script.words[3].text == "naïve — &"


def test_the_other_case_stands_in() -> None:
    _, spelled = _read("Abc", alphabet=Alphabet(" ABC"), normalizer=Normalizer.named("none"))
    assert spelled == ["ABC"]


def test_gaps_and_breaks_are_beside_spaces() -> None:
    script, _ = _read("a b. 12", "c")
    text, gaps, breaks, places = script.spelled(ENGLISH.space)
    assert ENGLISH.decode(text) == "a b c"
    assert (gaps, breaks) == ([1, 2, 3, 4], [3, 4])
    assert places == [(0, 1), (2, 3), (3, 3), (4, 5)]


def test_a_model_without_a_space() -> None:
    alphabet = Alphabet("abc")
    script, _ = _read("a b", "c", alphabet=alphabet, normalizer=Normalizer.named("none"))
    text, gaps, breaks, places = script.spelled(UNKNOWN)
    assert (alphabet.decode(text), gaps, breaks, places) == ("abc", [1, 2], [2], [(0, 1), (1, 2), (2, 3)])


def test_paragraphs_stand_between_empty_lines() -> None:
    assert paragraphs(["", "one", " two ", " ", "", "three"]) == ["one two", "three"]
    assert paragraphs([]) == []
