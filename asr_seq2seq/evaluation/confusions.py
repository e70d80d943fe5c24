"""What is most often taken for what, of words and of characters."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import jiwer

from asr_seq2seq.evaluation.edits import EQUAL
from asr_seq2seq.evaluation.wer import Judged


@dataclass(frozen=True)
class Confusion:
    """Part of a reference, what the hypothesis has in its place ("" is nothing), and how often."""

    reference: str
    hypothesis: str
    count: int


def word_confusions(judged: Iterable[Judged], most: int) -> list[Confusion]:
    """Return the ``most`` frequent errors of words, the most frequent first."""
    found = Counter(
        (edit.reference, edit.hypothesis) for one in judged for edit in one.edits if edit.kind != EQUAL
    )
    return _most_common(found, most)


def character_confusions(judged: Iterable[Judged], most: int) -> list[Confusion]:
    """Return the ``most`` frequent errors of characters, along the least number of edits."""
    wrong = [one for one in judged if one.score.character_edits]
    if not wrong:
        return []
    references, hypotheses = [one.reference for one in wrong], [one.hypothesis for one in wrong]
    found: Counter[tuple[str, str]] = Counter()
    alignments = jiwer.process_characters(references, hypotheses).alignments
    for reference, hypothesis, chunks in zip(references, hypotheses, alignments, strict=True):
        for chunk in chunks:
            expected = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            recognized = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "substitute":
                found.update(zip(expected, recognized, strict=True))
            elif chunk.type != "equal":
                found.update((character, "") for character in expected)
                found.update(("", character) for character in recognized)
    return _most_common(found, most)


def _most_common(found: Counter[tuple[str, str]], most: int) -> list[Confusion]:
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(expected, recognized, count) for (expected, recognized), count in ordered[:most]]
