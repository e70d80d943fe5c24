import random
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.comparison import compare, segments
from asr_seq2seq.evaluation.edits import align
from asr_seq2seq.text.normalizer import Normalizer

NONE = Normalizer.named("none")


def _noisy(words: list[str], rate: float, vocabulary: list[str], chance: random.Random) -> str:
    heard: list[str] = []
    for word in words:
        if chance.random() > rate:
            heard.append(word)
        else:
            heard += chance.choice([[], [chance.choice(vocabulary)], [word, chance.choice(vocabulary)]])
    return " ".join(heard)


def _systems(seed: int, rates: tuple[float, float], size: int, count: int = 300) -> list[list[str]]:
    chance = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(size)]
    references = [chance.choices(vocabulary, k=chance.randrange(1, 20)) for _ in range(count)]
    systems = [[_noisy(words, rate, vocabulary, chance) for words in references] for rate in rates]
    return [[" ".join(words) for words in references], *systems]


@pytest.mark.parametrize(
    ("seed", "rates", "size"),
    [(0, (0.15, 0.2), 500), (1, (0.15, 0.15), 5), (2, (0.4, 0.5), 3), (3, (0, 0.02), 50)],
)
def test_the_matched_pairs_test_is_that_of_sc_stats(
    sc_stats: Callable[..., dict[str, float]], seed: int, rates: tuple[float, float], size: int
) -> None:
    texts = _systems(seed, rates, size)
    theirs = sc_stats(*texts)
    ours = compare(*texts, NONE, resamples=100)
    assert ours.matched_pairs.segments == theirs["segments"]
    assert (ours.scores[0].errors, ours.scores[1].errors) == theirs["errors"]
    assert ours.matched_pairs.mean == pytest.approx(theirs["mean"], abs=6e-4)
    assert ours.matched_pairs.deviation == pytest.approx(theirs["deviation"], abs=6e-4)
    assert ours.matched_pairs.z == pytest.approx(theirs["z"], abs=6e-4)
    assert (ours.matched_pairs.p < 0.05) == theirs["differ"]


def test_the_matched_pairs_test_is_that_of_sc_stats_on_real_hypotheses(
    sc_stats: Callable[..., dict[str, float]],
) -> None:
    lines = (Path(__file__).parent / "real_hypotheses.tsv").read_text(encoding="utf-8").splitlines()
    pairs = [(reference, heard) for reference, _, heard in (line.partition("\t") for line in lines)]
    references = [reference for reference, _ in pairs]
    half = [heard if number % 3 else reference for number, (reference, heard) in enumerate(pairs)]
    theirs = sc_stats(references, half, [heard for _, heard in pairs])
    ours = compare(references, half, [heard for _, heard in pairs], NONE, resamples=100).matched_pairs
    assert ours.segments == theirs["segments"]
    assert ours.z == pytest.approx(theirs["z"], abs=6e-4)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a b c d e f", "a b c d e f", []),
        ("a X c d e f", "a b c d e Y", [(1, 0), (0, 1)]),
        ("a X c Y e f", "a b c d e f", [(2, 0)]),  # one right word between does not part them
        ("a X c U d e f", "a b c d e Y", [(2, 0), (0, 1)]),  # nor do two with a word inserted between
        ("U a b c d e f", "a b c d e f V", [(1, 0), (0, 1)]),
        ("", "", [(6, 6)]),
    ],
)
def test_segments_worked_by_hand(first: str, second: str, expected: list[tuple[int, int]]) -> None:
    reference = ["a", "b", "c", "d", "e", "f"]
    assert segments(align(reference, first.split()), align(reference, second.split())) == expected


def test_a_verdict_in_words() -> None:
    references, good, bad = _systems(5, (0.05, 0.3), 100)
    found = compare(references, good, bad, NONE, names=("new", "old"), resamples=1000)
    assert found.better == 0
    assert found.verdict().startswith("new is better than old: its WER is ")
    assert found.interval.high < 0 and found.difference < 0
    assert compare(references, bad, good, NONE, resamples=1000).better == 1
    same = compare(references, good, good, NONE, resamples=1000)
    assert same.better is None and same.p == 1.0 and same.matched_pairs.p == 1.0
    assert same.verdict().startswith("The data cannot tell A and B apart: they make equally many errors")
    alike = compare(*_systems(6, (0.2, 0.2), 100), NONE, resamples=1000)
    assert alike.better is None
    assert "cannot tell" in alike.describe()


def test_equal_systems_are_told_apart_as_rarely_as_p_says() -> None:
    wrong = 0
    for seed in range(100):
        references, one, other = _systems(seed, (0.2, 0.2), 50, count=30)
        wrong += compare(references, one, other, NONE, resamples=200).p < 0.05
    assert wrong <= 12  # 5 expected, 3 standard deviations of room


def test_too_little_to_compare() -> None:
    with pytest.raises(CorpusError, match="two utterances"):
        compare(["a"], ["a"], ["b"], NONE)
    with pytest.raises(CorpusError, match="two utterances"):
        compare(["", ""], ["a", ""], ["", ""], NONE)


@pytest.mark.parametrize("wrong", [1, 2, 3, 5])
def test_a_few_errors_do_not_make_a_system_better(wrong: int) -> None:
    references = ["a b c d e f"] * 100
    bad = ["a b X d e f"] * wrong + references[wrong:]
    found = compare(references, bad, references, NONE, resamples=1000)
    # As many signs in one direction are met by chance this often.
    assert min(found.p, found.matched_pairs.p) >= 2 * 0.5**wrong
    assert found.better is None and found.interval.low <= 0 <= found.interval.high
    more = ["a b X d e f"] * 20 + references[20:]
    assert compare(references, more, references, NONE, resamples=1000).better == 1


@pytest.mark.parametrize("count", [2, 40])
def test_a_difference_that_is_the_same_everywhere(count: int) -> None:
    found = compare(["a"] * count, [""] * count, ["a"] * count, NONE, resamples=100)
    assert found.p == found.matched_pairs.p == 2.0 ** (1 - count)
    assert found.better == (1 if count == 40 else None)
    assert (found.interval.low, found.interval.high) == ((1, 1) if count == 40 else (0, 1))


@pytest.mark.parametrize("speakers", [3, 4, 5, 8])
def test_a_few_speakers_tell_what_all_their_utterances_say(speakers: int) -> None:
    chance = random.Random(1)
    references = ["a b c d e f"] * 200
    bad = [chance.choice(["a b X d e f", "a X X d e f", "a b c d e f"]) for _ in references]
    of = [str(number % speakers) for number in range(200)]
    found = compare(references, bad, references, NONE, speakers=of, resamples=1000)
    assert found.better == 1 and found.interval.low > 0
    few = f"no 95 % intervals: with {speakers} speakers they cannot be trusted"
    assert few in found.describe() and found.to_dict()["wer_difference_interval"] is None
