"""The progress bars of `progress`, on a terminal."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from asr_seq2seq.progress import on_a_terminal

console = Console(stderr=True, highlight=False, soft_wrap=True)


class _Rate(ProgressColumn):
    """Seconds of sound per second of time."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} s of sound/s")


def sound_bars() -> Progress:
    """A bar whose tasks count seconds of sound; the field `note` stands behind the bar."""
    return _bars(
        TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[note]}", markup=False), _Rate()
    )


def count_bars() -> Progress:
    """A bar whose tasks count files or utterances; how many there are need not be known."""
    return _bars(MofNCompleteColumn())


def _bars(*figures: ProgressColumn) -> Progress:
    """Bars with their title before them, and these figures and the time left behind them."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *figures,
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
        # Rich would show on the console what a redirected or piped standard output is to get.
        redirect_stdout=on_a_terminal(sys.stdout),
    )
