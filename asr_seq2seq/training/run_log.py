"""The log of a run: figures of steps and epochs, and dev texts, in its folder and for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asr_seq2seq.epochs import METRICS, append_row

if TYPE_CHECKING:
    from asr_seq2seq.evaluation.hypotheses import HypothesisLine
    from asr_seq2seq.training.state import Position

STEPS, EXAMPLES = "steps.jsonl", "examples.jsonl"
_EXAMPLES = 5  # dev utterances shown after each epoch


class RunLog:
    """Writes the logs of a run from its first step after `position` on."""

    def __init__(self, folder: Path, position: Position, log_steps: int) -> None:
        self.folder, self.log_steps = folder, log_steps
        from asr_seq2seq.training.board import Board  # a language model's run has none

        self.board = Board(folder / "tensorboard", position.step + 1)
        self._busy, self._sound = 0.0, 0.0  # seconds since the last row, in this process

    def add_step(
        self, position: Position, share: Mapping[str, float], norm: float, rate: float, took: float
    ) -> None:
        """Count a step of `took` seconds in; a row of means where it is one of each `log_steps`.

        The sums are part of the position, so that a run that was interrupted writes the same rows.
        """
        recent = position.recent
        step = {"loss": share["loss"], "characters": share["characters"], "gradient_norm": norm, "steps": 1}
        for name, value in step.items():
            recent[name] = recent.get(name, 0.0) + value
        self._busy, self._sound = self._busy + took, self._sound + share["seconds"]
        if position.step % self.log_steps:
            return
        figures = {
            "loss": recent["loss"] / recent["characters"],
            "gradient_norm": recent["gradient_norm"] / recent["steps"],
            "learning_rate": rate,
            "sound_per_second": self._sound / self._busy if self._busy else math.nan,
        }
        position.recent = {}
        self._busy = self._sound = 0.0
        append_row(self.folder / STEPS, {"step": position.step, "epoch": position.epoch, **figures})
        self.board.add({f"step/{name}": value for name, value in figures.items()}, position.step)

    def add_epoch(self, figures: Mapping[str, float], lines: Sequence[HypothesisLine], step: int) -> None:
        """Write the figures of an epoch, and a few references of dev with their hypotheses."""
        append_row(self.folder / METRICS, figures)
        self.board.add(figures, step)
        shown, epoch = examples(lines), {"epoch": figures["epoch"]}
        texts = [{"id": one.id, "reference": one.reference, "hypothesis": one.hypothesis} for one in shown]
        append_row(self.folder / EXAMPLES, *(epoch | text for text in texts))
        rows = [f"| {one.reference} | {one.hypothesis} |" for one in shown]
        self.board.add_text("dev", "\n".join(["| reference | hypothesis |", "|---|---|", *rows]), step)


def examples(lines: Sequence[HypothesisLine]) -> list[HypothesisLine]:
    """A few utterances, short to long, the same ones for every model."""
    ordered = sorted(lines, key=lambda line: (len(line.reference), line.id))
    count = min(_EXAMPLES, len(ordered))
    return [ordered[(2 * number + 1) * len(ordered) // (2 * count)] for number in range(count)]
