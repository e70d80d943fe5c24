import json
import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.edits import DELETE, EQUAL, INSERT, align
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.text.normalizer import Normalizer

Sclite = Callable[[list[tuple[str, str]]], list[tuple[int, ...]]]
NONE = Normalizer.named("none")
ENGLISH = Normalizer.named("english-v1")


def edits(reference: Sequence[str], hypothesis: Sequence[str], substitution: int = 1, gap: int = 1) -> int:
    """Return the least cost of edits, by the recursive definition of edit distance."""

    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return gap * (i + j)
        different = substitution * (reference[i - 1] != hypothesis[j - 1])
        return min(distance(i - 1, j - 1) + different, distance(i - 1, j) + gap, distance(i, j - 1) + gap)

    return distance(len(reference), len(hypothesis))


utterances = st.lists(st.sampled_from(["a", "b", "cd", "dc", "é"]), max_size=8).map(" ".join)


@given(st.lists(st.tuples(utterances, utterances), min_size=1, max_size=5))
def test_counts_agree_with_the_definition_of_edit_distance(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = zip(*pairs, strict=True)
    result = score(references, hypotheses, NONE)
    word_errors = result.substitutions + result.insertions + result.deletions
    assert word_errors >= sum(edits(r.split(), h.split()) for r, h in pairs)
    cost = 4 * result.substitutions + 3 * (result.insertions + result.deletions)
    assert cost == sum(edits(r.split(), h.split(), substitution=4, gap=3) for r, h in pairs)
    assert result.hits + result.substitutions + result.deletions == result.words
    assert result.hits + result.substitutions + result.insertions == sum(len(h.split()) for h in hypotheses)
    assert result.words == sum(len(r.split()) for r in references)
    assert result.character_edits == sum(edits(r, h) for r, h in pairs)
    assert result.characters == sum(map(len, references))
    assert result.sentence_errors == sum(r != h for r, h in pairs)
    assert result.empty_references == references.count("")
    assert result.utterances == len(pairs)
    if result.words:
        assert result.wer == word_errors / result.words
        assert result.cer == result.character_edits / result.characters


def test_a_score_worked_by_hand() -> None:
    result = score(["The cat sat.", "Good day!", "Yes"], ["the bat sat", "good", "yes it is"], ENGLISH)
    assert (result.substitutions, result.insertions, result.deletions, result.hits) == (1, 2, 1, 4)
    assert (result.words, result.wer) == (6, 4 / 6)
    assert (result.character_edits, result.characters) == (1 + 4 + 6, 11 + 8 + 3)
    assert result.ser == 1.0


def test_empty_references_and_hypotheses_stay_in_the_score() -> None:
    result = score(["...", "a b", ""], ["uh huh", "", ""], ENGLISH)
    assert (result.insertions, result.deletions, result.words) == (2, 2, 2)
    assert (result.empty_references, result.utterances, result.sentence_errors) == (2, 3, 2)
    assert result.wer == 2.0


def test_without_reference_words_the_rate_is_zero_or_infinite() -> None:
    assert score([""], [""], NONE).wer == 0.0
    invented = score([""], ["uh"], NONE)
    assert invented.wer == math.inf and invented.cer == math.inf and invented.insertions == 1
    assert invented.to_dict()["wer"] is None


def test_the_dictionary_is_json_with_rates_as_fractions() -> None:
    data = json.loads(json.dumps(score(["a b c d"], ["a b c"], NONE).to_dict(), allow_nan=False))
    assert data["wer"] == 0.25
    assert {"cer", "ser", "utterances", "words", "substitutions", "insertions", "deletions"} <= set(data)


def test_a_word_is_never_joined_across_utterances() -> None:
    assert score(["a b", "c"], ["a", "b c"], NONE).wer == 2 / 3


def test_lists_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(CorpusError, match="2 references but 1 hypotheses"):
        score(["a", "b"], ["a"], NONE)
    with pytest.raises(CorpusError, match="no utterances"):
        score([], [], NONE)


def test_counts_agree_with_sclite(sclite: Sclite) -> None:
    """Sparse errors, errors after errors, and text so garbled that several alignments cost the same."""
    chance = random.Random(1)
    pairs = [("", "uh"), ("a b", "")]
    for _ in range(300):
        words = [f"w{chance.randrange(10_000)}" for _ in range(chance.randrange(1, 25))]
        pairs.append((" ".join(words), " ".join(_misheard(words, chance))))
    for letters in ("abcd", "abcdefghij", "قلعéß"):
        for _ in range(300):
            pairs.append(
                (
                    " ".join(chance.choices(letters, k=chance.randrange(1, 14))),
                    " ".join(chance.choices(letters, k=chance.randrange(14))),
                )
            )
    _check_against_sclite(sclite, pairs)


def test_counts_agree_with_sclite_on_real_hypotheses(sclite: Sclite) -> None:
    """What the bundled model and two models of AN4 heard; jiwer splits the errors of some otherwise."""
    lines = (Path(__file__).parent / "real_hypotheses.tsv").read_text(encoding="utf-8").splitlines()
    pairs = [(reference, heard) for reference, _, heard in (line.partition("\t") for line in lines)]
    _check_against_sclite(sclite, pairs)
    splits = [jiwer.process_words(*pair) for pair in pairs]
    ours = [score([reference], [heard], NONE) for reference, heard in pairs]
    assert any(one.hits != split.hits for one, split in zip(ours, splits, strict=True))
    for one, split in zip(ours, splits, strict=True):
        assert one.errors == split.substitutions + split.insertions + split.deletions


def _misheard(words: list[str], chance: random.Random) -> list[str]:
    heard: list[str] = []
    for word in words:
        if chance.random() < 0.25:
            heard += chance.choice([["élan"], ["um", "er"], [], ["so", "um"]])
            heard += chance.choice([[], [word]])
        else:
            heard.append(word)
    return heard


def _check_against_sclite(sclite: Sclite, pairs: list[tuple[str, str]]) -> None:
    for counts, (reference, hypothesis) in zip(sclite(pairs), pairs, strict=True):
        ours = score([reference], [hypothesis], NONE)
        assert (ours.hits, ours.substitutions, ours.deletions, ours.insertions) == counts, (
            reference,
            hypothesis,
        )


@given(st.lists(st.tuples(utterances, utterances), min_size=1, max_size=5))
def test_where_the_splits_agree_the_rates_are_those_of_jiwer(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = zip(*[("a", "a"), *pairs], strict=True)
    ours, theirs = score(references, hypotheses, NONE), jiwer.process_words([*references], [*hypotheses])
    assert ours.errors >= theirs.substitutions + theirs.insertions + theirs.deletions
    assert ours.hits >= theirs.hits
    if (ours.hits, ours.insertions) == (theirs.hits, theirs.insertions):
        assert ours.wer == pytest.approx(theirs.wer)
        assert ours.mer == pytest.approx(theirs.mer)
        assert ours.wil == pytest.approx(theirs.wil)


@given(utterances, utterances)
def test_edits_turn_the_reference_into_the_hypothesis(reference: str, hypothesis: str) -> None:
    edits = align(reference.split(), hypothesis.split())
    assert [edit.reference for edit in edits if edit.kind != INSERT] == reference.split()
    assert [edit.hypothesis for edit in edits if edit.kind != DELETE] == hypothesis.split()
    assert all((edit.kind == EQUAL) == (edit.reference == edit.hypothesis) for edit in edits)
