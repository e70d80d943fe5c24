"""Word, character and sentence error rates of hypotheses against references.

Counts come from jiwer's alignment, which is the least number of edits, every edit costing the same.
NIST's ``sclite`` weighs a substitution 4 and an insertion or deletion 3, so on a badly garbled sentence
it may report another split, or even one error more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.text import Normalizer


@dataclass(frozen=True)
class Score:
    """Counts over all utterances, and the error rates that follow from them, as fractions.

    ``substitutions``, ``insertions``, ``deletions`` and ``hits`` count words; ``character_edits`` is the
    three kinds of error together, over characters with spaces among them. ``words`` and ``characters``
    are those of the references. ``empty_references`` had no words after normalisation: they stay in the
    score, and each word recognised there is an insertion.
    """

    substitutions: int
    insertions: int
    deletions: int
    hits: int
    words: int
    character_edits: int
    characters: int
    utterances: int
    sentence_errors: int
    empty_references: int

    @property
    def wer(self) -> float:
        """Word errors per reference word; see :func:`score` for references without words."""
        return _rate(self.substitutions + self.insertions + self.deletions, self.words)

    @property
    def cer(self) -> float:
        """Character errors per reference character, spaces counted."""
        return _rate(self.character_edits, self.characters)

    @property
    def ser(self) -> float:
        """Utterances with at least one error per utterance."""
        return _rate(self.sentence_errors, self.utterances)

    def to_dict(self) -> dict[str, float | int | None]:
        """Return rates and counts for JSON, which knows no infinity: such a rate becomes ``None``."""
        rates = {"wer": self.wer, "cer": self.cer, "ser": self.ser}
        return {
            **{name: rate if math.isfinite(rate) else None for name, rate in rates.items()},
            "utterances": self.utterances,
            "words": self.words,
            "substitutions": self.substitutions,
            "insertions": self.insertions,
            "deletions": self.deletions,
            "hits": self.hits,
            "characters": self.characters,
            "character_edits": self.character_edits,
            "sentence_errors": self.sentence_errors,
            "empty_references": self.empty_references,
        }


def _rate(errors: int, total: int) -> float:
    if total == 0:
        return math.inf if errors else 0.0
    return errors / total


def correct_words(reference: str, hypothesis: str, normalizer: Normalizer) -> list[bool]:
    """Of each word of the hypothesis, whether the alignment finds it in the reference.

    >>> correct_words("one two three", "one too three four", Normalizer.named("english-v1"))
    [True, False, True, False]
    """
    reference, hypothesis = normalizer(reference), normalizer(hypothesis)
    correct = [False] * len(hypothesis.split())
    for chunk in jiwer.process_words(reference, hypothesis).alignments[0]:
        if chunk.type == "equal":
            for place in range(chunk.hyp_start_idx, chunk.hyp_end_idx):
                correct[place] = True
    return correct


def score(references: Sequence[str], hypotheses: Sequence[str], normalizer: Normalizer) -> Score:
    """Return the score of ``hypotheses[i]`` against ``references[i]``, both normalised first.

    If no reference has a word, the rates are 0.0 when nothing was recognised either and infinite
    otherwise. ``CorpusError`` if the two lists differ in length or are empty.

    >>> result = score(["The cat sat.", ""], ["the cat sat down", "uh"], Normalizer.named("english-v1"))
    >>> result.insertions, result.words, round(result.wer, 3), result.empty_references
    (2, 3, 0.667, 1)
    """
    if len(references) != len(hypotheses):
        raise CorpusError(
            f"there are {len(references)} references but {len(hypotheses)} hypotheses: "
            "give one hypothesis, which may be empty, for each reference"
        )
    if not references:
        raise CorpusError("there are no utterances to score: give at least one reference")
    normal_references = [normalizer(text) for text in references]
    normal_hypotheses = [normalizer(text) for text in hypotheses]
    words = jiwer.process_words(normal_references, normal_hypotheses)
    characters = jiwer.process_characters(normal_references, normal_hypotheses)
    return Score(
        substitutions=words.substitutions,
        insertions=words.insertions,
        deletions=words.deletions,
        hits=words.hits,
        words=sum(len(text.split()) for text in normal_references),
        character_edits=characters.substitutions + characters.insertions + characters.deletions,
        characters=sum(len(text) for text in normal_references),
        utterances=len(references),
        sentence_errors=sum(r != h for r, h in zip(normal_references, normal_hypotheses, strict=True)),
        empty_references=normal_references.count(""),
    )
