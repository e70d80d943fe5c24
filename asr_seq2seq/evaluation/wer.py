"""Count errors: WER, CER and sentence error rate of hypotheses against references.

Words are counted along the alignment of NIST's ``sclite`` (:mod:`asr_seq2seq.evaluation.edits`), characters
by jiwer, whose alignment is the least number of edits.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import jiwer

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.edits import DELETE, EQUAL, INSERT, SUBSTITUTE, Edit, align
from asr_seq2seq.evaluation.normalizers import TextNormalizer


@dataclass(frozen=True)
class Score:
    """Counts over utterances, and the error rates that follow from them, as fractions.

    ``substitutions``, ``insertions``, ``deletions`` and ``hits`` count words; ``character_edits`` is the
    three kinds of error together, over characters with spaces among them. ``words`` and ``characters``
    are those of the references. ``empty_references`` had no words after normalization: they stay in the
    score, and each word recognized there is an insertion.
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
    def errors(self) -> int:
        """Wrong words: substitutions, insertions and deletions."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def wer(self) -> float:
        """Word errors per reference word; see :func:`score` for references without words."""
        return _rate(self.errors, self.words)

    @property
    def mer(self) -> float:
        """Match error rate: word errors per pair of the alignment (Morris, Maier and Green 2004)."""
        return _rate(self.errors, self.errors + self.hits)

    @property
    def wil(self) -> float:
        """Word information lost: 1 - hits² / (reference words · hypothesis words) (the same paper)."""
        recognized = self.hits + self.substitutions + self.insertions
        if not self.words or not recognized:
            return 1.0 if self.words or recognized else 0.0
        return 1 - self.hits**2 / (self.words * recognized)

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
        rates = {"wer": self.wer, "cer": self.cer, "ser": self.ser, "mer": self.mer, "wil": self.wil}
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


@dataclass(frozen=True)
class Judged:
    """One utterance after normalization: its edits, and its score alone."""

    reference: str
    hypothesis: str
    edits: list[Edit]
    score: Score


def _rate(errors: int, total: int) -> float:
    if total == 0:
        return math.inf if errors else 0.0
    return errors / total


def correct_words(reference: str, hypothesis: str, normalizer: TextNormalizer) -> list[bool]:
    """Of each word of the hypothesis, whether the alignment finds it in the reference.

    >>> from asr_seq2seq.text.normalizer import Normalizer
    >>> correct_words("one two three", "one too three four", Normalizer.named("english-v1"))
    [True, False, True, False]
    """
    edits = align(normalizer(reference).split(), normalizer(hypothesis).split())
    return [edit.kind == EQUAL for edit in edits if edit.kind != DELETE]


def judge(references: Sequence[str], hypotheses: Sequence[str], normalizer: TextNormalizer) -> list[Judged]:
    """Return each of ``hypotheses`` beside its reference, both normalized, with the edits between them.

    ``CorpusError`` if the two lists differ in length or are empty.
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
    characters = jiwer.process_characters(normal_references, normal_hypotheses).alignments
    judged = []
    for reference, hypothesis, chunks in zip(normal_references, normal_hypotheses, characters, strict=True):
        edits = align(reference.split(), hypothesis.split())
        kinds = Counter(edit.kind for edit in edits)
        judged.append(
            Judged(
                reference,
                hypothesis,
                edits,
                Score(
                    substitutions=kinds[SUBSTITUTE],
                    insertions=kinds[INSERT],
                    deletions=kinds[DELETE],
                    hits=kinds[EQUAL],
                    words=kinds[SUBSTITUTE] + kinds[DELETE] + kinds[EQUAL],
                    character_edits=sum(
                        max(
                            chunk.ref_end_idx - chunk.ref_start_idx,
                            chunk.hyp_end_idx - chunk.hyp_start_idx,
                        )
                        for chunk in chunks
                        if chunk.type != "equal"
                    ),
                    characters=len(reference),
                    utterances=1,
                    sentence_errors=int(reference != hypothesis),
                    empty_references=int(not reference),
                ),
            )
        )
    return judged


def total(scores: Iterable[Score]) -> Score:
    """Return the score of all utterances together."""
    scores = list(scores)
    return Score(*(sum(getattr(score, field.name) for score in scores) for field in fields(Score)))


def score(references: Sequence[str], hypotheses: Sequence[str], normalizer: TextNormalizer) -> Score:
    """Return the score of ``hypotheses[i]`` against ``references[i]``, both normalized first.

    If no reference has a word, the rates are 0.0 when nothing was recognized either and infinite
    otherwise. ``CorpusError`` if the two lists differ in length or are empty.

    >>> from asr_seq2seq.text.normalizer import Normalizer
    >>> result = score(["The cat sat.", ""], ["the cat sat down", "uh"], Normalizer.named("english-v1"))
    >>> result.insertions, result.words, round(result.wer, 3), result.empty_references
    (2, 3, 0.667, 1)
    """
    return total(one.score for one in judge(references, hypotheses, normalizer))
