"""What fine-tuning brought: dev hypotheses of the model before and of the best after, and the paired test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr_seq2seq.evaluation import hypotheses
from asr_seq2seq.evaluation.comparison import Comparison, compare
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.text.normalizer import Normalizer

BEFORE, AFTER = "dev_before.jsonl", "dev_best.jsonl"  # in the run folder; both greedy
_TRY = {
    "worse": "keep {start}, and try a lower training.learning_rate or more speech",
    "cannot tell": "nothing shows that the new model is better than {start}; try more speech, more epochs, "
    "another training.learning_rate, smaller data.batch_seconds, or a larger dev set, which tells more",
}


def keep_before(run: Path, lines: Sequence[HypothesisLine]) -> None:
    """Keep what the model recognized on dev before the first step."""
    hypotheses.write(run / BEFORE, lines)


def keep_after(run: Path, lines: Sequence[HypothesisLine]) -> None:
    """Keep what the model of the run recognizes on dev."""
    hypotheses.write(run / AFTER, lines)


def compare_with_start(run: Path, normalizer: Normalizer) -> Comparison | None:
    """The kept hypotheses compared, before first; None where they are missing or too few for a test."""
    if not ((run / BEFORE).exists() and (run / AFTER).exists()):
        return None
    before = hypotheses.read(run / BEFORE)
    after = {line.id: line for line in hypotheses.read(run / AFTER)}
    if len(before) < 2 or after.keys() != {line.id for line in before}:
        return None
    references = [line.reference for line in before]
    if not any(normalizer(text) for text in references):
        return None
    return compare(
        references,
        [line.hypothesis for line in before],
        [after[line.id].hypothesis for line in before],
        normalizer,
        speakers=[line.speaker for line in before],
        names=("before", "after"),
    )


def verdict(found: Comparison) -> str:
    """The answer in a word or two: better, worse, or cannot tell."""
    return {None: "cannot tell", 0: "worse", 1: "better"}[found.better]


def describe(found: Comparison, start: str) -> str:
    """One line that says what fine-tuning brought, and what to try where it is not shown to help."""
    before, after = (score.wer for score in found.scores)
    answer = verdict(found)
    p = max(found.p, found.matched_pairs.p)
    chance = f"p = {p:.4f}" if p >= 0.0001 else "p < 0.0001"
    line = f"fine-tuning: dev WER {before:.2%} before, {after:.2%} after: {answer} ({chance}, paired tests)"
    return f"{line}; {_TRY[answer].format(start=start)}" if answer in _TRY else line
