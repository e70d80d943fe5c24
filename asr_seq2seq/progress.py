"""Progress bars on stderr: how much sound is done, how fast, and the time left; none where it is no terminal.

rich, which draws them, is imported where there is a terminal to draw on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, Self, TextIO, TypeVar

_Item = TypeVar("_Item")


class Progress(Protocol):
    """Bars, one for each task; `disable` where none are shown."""

    disable: bool

    def __enter__(self) -> Self:
        """Begin to show them."""

    def __exit__(self, *exception: Any) -> None:
        """Take them away."""

    def add_task(self, description: str, *, total: float | None = ..., **fields: Any) -> Any:
        """A new bar, and its number."""

    def advance(self, task_id: Any, advance: float = 1) -> None:
        """Move a bar on."""

    def update(self, task_id: Any, **changes: Any) -> None:
        """Change what a bar shows."""


class _NoProgress:
    """No bars at all."""

    disable = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def add_task(self, description: str, *, total: float | None = None, **fields: Any) -> Any:
        return 0

    def advance(self, task_id: Any, advance: float = 1) -> None:
        pass

    def update(self, task_id: Any, **changes: Any) -> None:
        pass


def on_a_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is open and a person may look at it."""
    return stream is not None and not stream.closed and stream.isatty()


def sound_progress(*, shown: bool = True) -> Progress:
    """A bar whose tasks count seconds of sound; the field `note` stands behind the bar."""
    if not shown or not on_a_terminal(sys.stderr):
        return _NoProgress()
    from asr_seq2seq.bars import sound_bars

    return sound_bars()


def count_progress() -> Progress:
    """A bar whose tasks count files or utterances; how many there are need not be known."""
    if not on_a_terminal(sys.stderr):
        return _NoProgress()
    from asr_seq2seq.bars import count_bars

    return count_bars()


def counted(items: Iterable[_Item], total: int, title: str) -> Iterator[_Item]:
    """The items, with a bar that counts them."""
    with count_progress() as bars:
        bar = bars.add_task(title, total=total)
        for item in items:
            yield item
            bars.advance(bar)
