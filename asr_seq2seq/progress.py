"""Progress bars on stderr: how much sound is done, how fast, and the time left."""

from __future__ import annotations

import sys
from typing import TextIO

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

console = Console(stderr=True, highlight=False, soft_wrap=True)


class _Rate(ProgressColumn):
    """Seconds of sound per second of time."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} s of sound/s")


class _Bars(Progress):
    """Bars that write nothing where they are disabled: rich before 15 ends those with an empty line."""

    def stop(self) -> None:
        if not self.disable:
            super().stop()


def _on_a_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def sound_progress() -> Progress:
    """A bar whose tasks count seconds of sound; the field `note` stands behind the bar."""
    return _Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}", markup=False),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
        # Rich would show on the console what a redirected or piped standard output is to get.
        redirect_stdout=_on_a_terminal(sys.stdout),
        disable=not console.is_terminal,
    )


def count_progress() -> Progress:
    """A bar whose tasks count files or utterances; how many there are need not be known."""
    return _Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
        # Rich would show on the console what a redirected or piped standard output is to get.
        redirect_stdout=_on_a_terminal(sys.stdout),
        disable=not console.is_terminal,
    )
