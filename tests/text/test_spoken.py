import sys

import pytest

pytest.importorskip("num2words")

from asr_seq2seq.extras import MissingExtraError
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.spoken import spoken
from asr_seq2seq.text.written import write


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("I have 3 dogs", "i have three dogs"),
        (
            "101, 1,234,067",
            "one hundred and one one million two hundred and thirty four thousand and sixty seven",
        ),
        ("In 1984, 1905 and 2015.", "in nineteen eighty four nineteen oh five and twenty fifteen"),
        ("2,000 of 2000", "two thousand of two thousand"),
        ("the 1990s and the 80's", "the nineteen nineties and the eighties"),
        ("the 2nd of the 21st", "the second of the twenty first"),
        ("10:30, 9:05, 12:00, 15:00", "ten thirty nine oh five twelve o'clock fifteen hundred"),
        (
            "$5.50, $1.01, £1, €20",
            "five dollars and fifty cents one dollar and one cent one pound twenty euros",
        ),
        ("$3 million, $1.5 billion", "three million dollars one point five billion dollars"),
        ("$1.50 million", "one point five zero million dollars"),
        ("50% of 2.5, 20°C", "fifty percent of two point five twenty degrees c"),
        ("-5, 3-5", "minus five three five"),
        ("version 2.0.1", "version two point zero point one"),
        ("3 [5] (7) %", "three five seven"),
        ("US$5, 10 % of 6", "us five dollars ten percent of six"),
        ("B2B 3D 4x4", "b two b three d four x four"),
        ("007 0 0.5", "zero zero seven zero zero point five"),
        (
            "12345678901234567",
            "one two three four five six seven eight nine zero one two three four five six seven",
        ),
        ("(3)! '4' \"5\" 5's", "three four five five's"),
    ],
)
def test_numbers_become_the_words_that_are_said(written: str, said: str) -> None:
    normalizer = Normalizer.named("english-v2")
    assert normalizer(written) == said
    assert normalizer(said) == said


def test_what_is_said_is_written_again_as_it_was() -> None:
    for number in [*range(10, 1100), 2_000, 12_345, 100_000, 999_999, 987_654_321]:
        assert write(spoken(f"{number:,}")).rstrip(".").replace(",", "") == str(number)


def test_texts_without_figures_stay_and_need_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "num2words", None)
    assert spoken(" No numbers,  none. ") == " No numbers,  none. "
    with pytest.raises(MissingExtraError, match=r"num2words: pip install 'asr_seq2seq\[numbers\]'"):
        spoken("3")
