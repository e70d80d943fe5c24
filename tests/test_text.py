import json
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr_seq2seq.errors import ConfigError, CorpusError, ModelFileError
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, PADDING, START, UNKNOWN, Alphabet


def test_ids_follow_the_special_ones_in_sorted_order() -> None:
    alphabet = Alphabet.from_texts(["cab", "a d"])
    assert alphabet.characters == " abcd"
    assert len(alphabet) == FIRST_CHARACTER + 5
    assert alphabet.encode(" d") == [4, 8]


@given(st.lists(st.text(), min_size=1).filter(any))
def test_training_text_of_any_script_survives_encoding(texts: list[str]) -> None:
    alphabet = Alphabet.from_texts(texts)
    for text in texts:
        ids = alphabet.encode(text)
        assert UNKNOWN not in ids
        assert all(FIRST_CHARACTER <= id_ < len(alphabet) for id_ in ids)
        assert alphabet.decode(ids) == unicodedata.normalize("NFC", text)
    assert Alphabet.from_json(json.loads(json.dumps(alphabet.to_json()))) == alphabet


def test_composed_and_decomposed_text_have_the_same_ids() -> None:
    alphabet = Alphabet.from_texts(["cafe\u0301"])
    assert "\u00e9" in alphabet.characters and "\u0301" not in alphabet.characters
    assert alphabet.encode("e\u0301") == alphabet.encode("\u00e9")


def test_decode_composes_what_a_model_spelled_apart() -> None:
    alphabet = Alphabet("e\u0301")
    assert alphabet.decode([4, 5]) == "\u00e9"


def test_decode_skips_padding_and_start_and_stops_at_end() -> None:
    alphabet = Alphabet("ab")
    assert alphabet.decode([START, 4, PADDING, UNKNOWN, 5, END, 4]) == "a\N{REPLACEMENT CHARACTER}b"
    assert alphabet.encode("axb") == [4, UNKNOWN, 5]


@pytest.mark.parametrize("id_", [-1, -100, 6])
def test_decode_refuses_ids_that_no_model_of_this_alphabet_gives(id_: int) -> None:
    with pytest.raises(IndexError, match=str(id_)):
        Alphabet("ab").decode([4, id_])


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_no_training_text_is_an_error(texts: list[str]) -> None:
    with pytest.raises(CorpusError, match="no characters"):
        Alphabet.from_texts(texts)


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        (["a", "a"], "repeated"),
        (["b", "a"], "out of order"),
        (["a", "bc"], "'bc' is not a single character"),
        (["a", ""], "single character"),
        (["a", 5], "single character"),
        (["\u212b"], "NFC"),
        ("ab", "not a list"),
        ([], "not a list"),
        (None, "not a list"),
    ],
)
def test_a_damaged_alphabet_is_an_error(characters: object, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        Alphabet.from_json(characters)


@pytest.mark.parametrize("name", ["none", "english-v1", "english-v2"])
@given(text=st.text())
@example(text="e,\u0301")
@example(text="a',b 'a''b' \u0149 \u00b4")
@example(text="\u0130'S \uff21\u2025\u0345")
def test_normalizing_twice_changes_nothing_more(name: str, text: str) -> None:
    normalizer = Normalizer.named(name)
    once = normalizer(text)
    assert normalizer(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == " ".join(once.split())


def test_every_assigned_character_is_stable() -> None:
    normalizer = Normalizer.named("english-v1")
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character)[0] != "C":
            once = normalizer(f"x{character}y")
            assert normalizer(once) == once, ascii(character)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        (
            "DON\u2019T \u2018quote\u2019 rock 'n' roll, the dogs' tails",
            "don't quote rock n roll the dogs tails",
        ),
        ("don\u00b4t don`t", "don't don't"),
        ("a well-known fact\u2014so they say", "a well known fact so they say"),
        ("wait...what\u2026 and/or snake_case", "wait what and or snake case"),
        ("U.S.A. paid 1,000 in 1984 (3.5%)", "usa paid 1000 in 1984 35"),
        ("\ufb01ne \uff21\uff22", "fine ab"),
        (" tab\there\n\nna\u00efve cafe\u0301 ", "tab here na\u00efve caf\u00e9"),
        ("zero\u200bwidth", "zerowidth"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_english_v1(text: str, expected: str) -> None:
    assert Normalizer.named("english-v1")(text) == expected


def test_none_only_composes_and_collapses() -> None:
    assert Normalizer.named("none")(" Cafe\u0301,\t 'OK' ") == "Caf\u00e9, 'OK'"


def test_a_normalizer_describes_itself() -> None:
    normalizer = Normalizer.named("english-v1")
    assert normalizer.name == "english-v1"
    assert "lower case" in " ".join(normalizer.describe())
    assert len(normalizer.describe()) > len(Normalizer.named("none").describe())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='"english-v9": did you mean "english-v'):
        Normalizer.named("english-v9")
    with pytest.raises(ConfigError, match="available: none, english-v1"):
        Normalizer.named("")


def test_no_module_of_text_loads_torch() -> None:
    modules = "text.normalizer, files, transcript, writers, evaluation.wer, evaluation.hypotheses"
    program = "; ".join(f"import asr_seq2seq.{module}" for module in modules.split(", "))
    check = f"{program}; import sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
