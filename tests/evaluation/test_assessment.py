import json
import random
from dataclasses import replace

import pytest

from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.evaluation.assessment import assess, printable
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.normalizers import scoring_normalizer
from asr_seq2seq.text.normalizer import Normalizer

ENGLISH = Normalizer.named("english-v1")
LINES = [
    HypothesisLine("1", "One two.", "one two", speaker="a", keys={"age": 10}),
    HypothesisLine("2", "One two three four five", "one too three four five", speaker="b", keys={"age": 9}),
    HypothesisLine("3", "...", "uh", speaker="c", keys={"age": 9}),
    HypothesisLine("4", "Yes", "", speaker="d"),
]


def test_rates_with_and_without_normalization_and_intervals() -> None:
    # Three times as many speakers who say the same.
    lines = [replace(line, speaker=f"{line.speaker}{number}") for number in range(3) for line in LINES]
    found = assess(lines, ENGLISH)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["wer"] == 3 / 8 and data["raw"]["wer"] == 6 / 9
    assert (data["normalizer"], data["empty_references"]) == ("english-v1", 3)
    assert (data["interval_over"], data["interval_units"]) == ("speakers", 12)
    low, high = data["wer_interval"]
    assert low <= 3 / 8 <= high
    assert data["ser_interval"][1] <= 1.0
    text = found.describe()
    assert "95 % intervals by bootstrap over 12 speakers; texts" in text
    assert text.startswith("WER 37.50% [") and "without normalization WER 66.67%" in text
    assert "3 references are empty after normalization" in text


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 10])
def test_intervals_of_few_speakers_are_not_given_but_explained(count: int) -> None:
    chance = random.Random(1)
    texts = ["a b" + " c" * chance.randrange(3) for _ in range(90)]
    lines = [HypothesisLine(str(n), "a b c", text, speaker=str(n % count)) for n, text in enumerate(texts)]
    found = assess(lines, ENGLISH, by=["speaker"])
    text, data = found.describe(["speaker"]), found.to_dict()
    rates, _, table = text.partition("\n\n")
    given = count in (1, 10)
    assert ("[" in rates, data["wer_interval"] is not None, data["interval_trusted"]) == (given,) * 3
    assert data["interval_speakers"] == count
    basis = {
        1: "95 % intervals by bootstrap over 90 utterances of one speaker, and for that speaker alone",
        10: "95 % intervals by bootstrap over 10 speakers",
    }
    few = f"no 95 % intervals: with {count} speakers they cannot be trusted (10 or more are needed)"
    assert f"{basis.get(count, few)}; texts" in text
    assert table.count("[") == count  # of each speaker by itself there is one
    unknown = assess([replace(line, speaker=None) for line in lines], ENGLISH)
    assert "95 % intervals by bootstrap over 90 utterances; texts" in unknown.describe()
    assert unknown.to_dict()["interval_speakers"] is None


def test_groups_are_by_value_with_the_numbers_in_order() -> None:
    found = assess(LINES, ENGLISH, by=["age", "speaker", "length"])
    assert [group.name for group in found.groups["age"]] == ["9", "10", "(not given)"]
    assert [group.score.utterances for group in found.groups["age"]] == [2, 1, 1]
    assert [group.name for group in found.groups["speaker"]] == ["a", "b", "c", "d"]
    assert [(group.name, group.score.words) for group in found.groups["length"]] == [
        ("0", 0),
        ("1", 1),
        ("2", 2),
        ("4–5", 5),
    ]
    assert sum(group.score.errors for group in found.groups["age"]) == found.score.errors
    assert "(not given)" in found.describe(["age"])
    with pytest.raises(ConfigError, match='--by aeg: no utterance has this key; did you mean "age"'):
        assess(LINES, ENGLISH, by=["aeg"])


def test_long_utterances_have_groups_too() -> None:
    lines = [HypothesisLine(str(count), "a " * count, "a " * count) for count in (1, 24, 31, 64, 500)]
    assert [group.name for group in assess(lines, ENGLISH).groups["length"]] == ["1", "24–31", "64+"]


def test_hostile_names_do_not_reach_the_terminal() -> None:
    lines = [HypothesisLine("1", "a", "a", speaker="\x1b[31m\ud800שלום")] * 2
    text = assess(lines, ENGLISH, by=["speaker"]).describe(["speaker"])
    assert " [31m שלום" in text and "\x1b" not in text
    text.encode("utf-8")
    assert printable("a\x00\r\nb") == "a   b"


def test_nothing_to_score() -> None:
    with pytest.raises(CorpusError, match="no utterances"):
        assess([], ENGLISH)


def test_whisper_normalizers_carry_the_version_of_their_package() -> None:
    pytest.importorskip("whisper_normalizer", reason="whisper-normalizer is not installed")
    english, basic = scoring_normalizer("whisper-english"), scoring_normalizer("whisper-basic")
    assert english.name.startswith("whisper-english (whisper-normalizer ")
    assert english("Mr. Hill won't  pay twenty-one dollars") == "mister hill will not pay $21"
    assert basic("Hello,  World!") == "hello world"
    assert assess(LINES, english).to_dict()["normalizer"] == english.name


def test_a_mistyped_normalizer_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='did you mean "whisper-english"'):
        scoring_normalizer("wisper-english")
    assert scoring_normalizer("none").name == "none"
