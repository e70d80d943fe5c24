import json
import math
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.scoring.wer import score
from asr_seq2seq.text import Normalizer

NONE = Normalizer.named("none")
ENGLISH = Normalizer.named("english-v1")


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the least number of edits, by the recursive definition of edit distance."""

    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        different = reference[i - 1] != hypothesis[j - 1]
        return min(distance(i - 1, j - 1) + different, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(reference), len(hypothesis))


utterances = st.lists(st.sampled_from(["a", "b", "cd", "dc", "é"]), max_size=8).map(" ".join)


@given(st.lists(st.tuples(utterances, utterances), min_size=1, max_size=5))
def test_counts_agree_with_the_definition_of_edit_distance(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = zip(*pairs, strict=True)
    result = score(references, hypotheses, NONE)
    word_errors = sum(edits(r.split(), h.split()) for r, h in pairs)
    assert result.substitutions + result.insertions + result.deletions == word_errors
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


def sclite_counts(folder: Path, references: list[str], hypotheses: list[str]) -> list[tuple[int, ...]]:
    """Return NIST sclite's (hits, substitutions, deletions, insertions) of every utterance."""
    if direct := shutil.which("sclite"):
        command = [direct]
    elif wrapper := shutil.which("sctk"):
        command = [wrapper, "sclite"]
    else:
        pytest.skip("sclite is not installed (Debian: sctk)")
    for name, texts in (("reference", references), ("hypothesis", hypotheses)):
        lines = [f"{text} (speaker_{i:04d})\n" for i, text in enumerate(texts)]
        (folder / name).write_text("".join(lines), encoding="utf-8")
    command += ["-r", "reference", "trn", "-h", "hypothesis", "trn", "-i", "rm", "-s", "-e", "utf-8"]
    report = subprocess.run(
        [*command, "-o", "pralign", "stdout"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    found = re.findall(r"\(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", report)
    assert len(found) == len(references)
    return [tuple(map(int, counts)) for counts in found]


def test_counts_agree_with_sclite(tmp_path: Path) -> None:
    # As a recogniser errs: sparsely, with words that do not occur nearby, so that one alignment is best.
    chance = random.Random(1)
    references, hypotheses = [""], ["uh"]
    for _ in range(200):
        words = [f"w{chance.randrange(10_000)}" for _ in range(chance.randrange(1, 25))]
        heard: list[str] = []
        for position, word in enumerate(words):
            errors = [["élan"], [word, "um"], []]  # substitution, insertion, deletion
            heard += chance.choice(errors) if position % 4 == 3 else [word]
        references.append(" ".join(words))
        hypotheses.append(" ".join(heard))
    for counts, reference, hypothesis in zip(
        sclite_counts(tmp_path, references, hypotheses), references, hypotheses, strict=True
    ):
        ours = score([reference], [hypothesis], NONE)
        assert (ours.hits, ours.substitutions, ours.deletions, ours.insertions) == counts


def test_sclite_never_finds_fewer_errors_in_garbled_text(tmp_path: Path) -> None:
    chance = random.Random(2)
    texts = [" ".join(chance.choices("abcd", k=chance.randrange(1, 12))) for _ in range(400)]
    references, hypotheses = texts[:200], texts[200:]
    for counts, reference, hypothesis in zip(
        sclite_counts(tmp_path, references, hypotheses), references, hypotheses, strict=True
    ):
        ours = score([reference], [hypothesis], NONE)
        assert ours.substitutions + ours.deletions + ours.insertions <= sum(counts[1:])
        assert ours.words == sum(counts[:3])
