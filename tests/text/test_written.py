import re

import pytest

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.text.written import check_style, tokens, write


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("", ""),
        ("i said that i'll come", "I said that I'll come."),
        ("it is in indiana", "It is in indiana."),
        ("seven seven seven", "777."),
        ("zero zero seven", "007."),
        ("one apple and two pears", "One apple and two pears."),
        ("ten", "10."),
        ("twenty five people", "25 people."),
        ("one hundred and five", "105."),
        ("nine hundred ninety nine thousand nine hundred ninety nine", "999,999."),
        ("two million three hundred thousand and one", "2,300,001."),
        ("three thousand four hundred", "3400."),
        ("fifteen hundred", "1500."),
        ("nineteen eighty four", "1984."),
        ("in nineteen oh five", "In 1905."),
        ("twenty twenty", "2020."),
        ("two thousand and six", "2006."),
        ("zero point five", "0.5."),
        ("three point one four one", "3.141."),
        ("five percent", "5%."),
        ("twelve point five per cent", "12.5%."),
        ("what is the point", "What is the point."),
        ("the first and the second", "The first and the second."),
        ("the tenth", "The 10th."),
        ("the eleventh hour", "The 11th hour."),
        ("twenty first century", "21st century."),
        ("one hundred and third", "103rd."),
        ("the two hundredth", "The 200th."),
        ("wait a second", "Wait a second."),
        ("hundred", "Hundred."),
        ("bread and butter and", "Bread and butter and."),
        ("twenty and thirty", "20 and 30."),
        ("one million one", "1,000,001."),
        ("a thousand and one nights", "A thousand and one nights."),
    ],
)
def test_english_is_written_as_people_read_it(spoken: str, written: str) -> None:
    assert write(spoken) == written


def test_numbers_are_read_back_from_a_spelling() -> None:
    num2words = pytest.importorskip("num2words").num2words
    for number in [*range(10, 1200), 1999, 2001, 12_345, 100_000, 999_999, 1_000_001, 987_654_321]:
        words = re.sub(r"[-,]", " ", num2words(number))
        assert write(" ".join(words.split())).rstrip(".").replace(",", "") == str(number), words
        ordinal = re.sub(r"[-,]", " ", num2words(number, to="ordinal"))
        if not ordinal.startswith(("one hundredth", "one thousandth")):
            text = write(" ".join(ordinal.split()))
            assert text.rstrip(".").replace(",", "") == num2words(number, to="ordinal_num"), ordinal


def test_every_word_is_in_one_written_word() -> None:
    text = "on the twenty first of may nineteen ninety nine we paid five point five percent"
    words = text.split()
    found = tokens(words)
    assert [place for token in found for place in range(token.first, token.stop)] == list(range(len(words)))
    assert [(token.text, token.first, token.stop) for token in found][2] == ("21st", 2, 4)


def test_another_style_is_refused() -> None:
    assert check_style("written") == "written"
    with pytest.raises(ConfigError, match="plain or written"):
        check_style("fancy")


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("between one hundred and two hundred", "Between 100 and 200."),
        ("one hundred two hundred three hundred", "100 200 300."),
        ("one hundred and five", "105."),
        ("fifty fifty", "Fifty fifty."),
        ("ten twenty thirty", "Ten twenty thirty."),
        ("ten eleven twelve thirteen fourteen", "Ten eleven twelve thirteen fourteen."),
    ],
)
def test_runs_of_numbers_are_kept_apart(spoken: str, written: str) -> None:
    assert write(spoken) == written
