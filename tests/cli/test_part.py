import pytest

from asr_seq2seq.cli.part import Part, parse_part
from asr_seq2seq.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90.5", 90.5), ("1:30", 90), ("01:30,250", 90.25), ("1:02:03.5", 3723.5), ("100:00", 6000)],
)
def test_times_as_they_are_typed(text: str, seconds: float) -> None:
    assert parse_part(text, None) == (seconds, None)
    assert parse_part(None, text) == (0, seconds)


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "1:75", "1:60:00", "1:2:3:4", "nan", "1e3", "٣", "999999999"]
)
def test_what_is_no_time_is_said_in_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--start .*give seconds"):
        parse_part(text, None)


def test_an_end_before_the_start() -> None:
    for start, end in (("10", "5"), ("10", "0:10"), (None, "0")):
        with pytest.raises(ConfigError, match="is not after"):
            parse_part(start, end)


def test_how_much_of_a_sound_a_part_is() -> None:
    assert Part().seconds(7) == 7
    assert Part(2, 5).seconds(7) == 3
    assert Part(2, 50).seconds(7) == 5
    assert Part(20, 50).seconds(7) == 0
