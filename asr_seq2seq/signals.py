"""Ctrl-C, SIGTERM and SIGHUP end the work in one way: as an exception, so that what is temporary is removed.

The command line asks for this; as a library the package leaves the handlers of its program alone.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A closed terminal sends SIGHUP, which Windows has not.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """One of the signals that end the work; `number` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _Handler:
    """Raises `Interrupted` for the first signal; those that come while that exception is on its way are
    passed over, since what it does on its way is to remove what is temporary.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self.finished = False
        self.holds = 0  # how many blocks are entered in which signals wait
        self.waiting = 0  # the first signal that does, or 0
        self.raised: weakref.ref[Interrupted] | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.process:  # a forked process, whose parent removes what is temporary
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if self.finished or (self.raised is not None and self.raised() is not None):
            return
        if self.holds:
            self.waiting = self.waiting or number
            return
        error = Interrupted(number)
        self.raised = weakref.ref(error)  # gone where a callback has swallowed it: the next signal counts
        raise error


_handler: _Handler | None = None


def number_of(stop: KeyboardInterrupt) -> int:
    """The number of the signal that `stop` was raised for."""
    return stop.number if isinstance(stop, Interrupted) else int(signal.SIGINT)


def is_ignored(number: int) -> bool:
    """Whether who started this process wants it to pass over a signal, as `nohup` does."""
    return signal.getsignal(number) is signal.SIG_IGN


def end_at_once() -> None:
    """Let the ending signals do what the system does: nothing is begun yet, so nothing is to be removed."""
    for number in ENDING:
        if not is_ignored(number):
            signal.signal(number, signal.SIG_DFL)


def end_cleanly() -> None:
    """Let the ending signals raise `Interrupted` in the main thread, which has to call this."""
    global _handler
    _handler = _handler or _Handler()
    for number in ENDING:
        if not is_ignored(number):
            signal.signal(number, _handler)


def finish() -> None:
    """Pass over the ending signals from now on: the work is done or undone, and Python itself ends."""
    if _handler is not None:
        _handler.finished = True


@contextmanager
def held() -> Iterator[None]:
    """Let a signal wait until something temporary is made and known to what removes it.

    It would otherwise come between the two, as signals do that somebody sends who has just seen the file.
    The block must be short, and stand within what removes. Only where `end_cleanly` was called.
    """
    if _handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _handler.holds += 1
    try:
        yield
    finally:
        _handler.holds -= 1
        if _handler.waiting and not _handler.holds:
            number, _handler.waiting = _handler.waiting, 0
            _handler(number, None)


@contextmanager
def while_importing() -> Iterator[None]:
    """End at once while large libraries are imported, which an exception might find at any place.

    It could come back as another one, or be printed and forgotten. Only where `end_cleanly` was called.
    """
    if _handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in ENDING if signal.getsignal(number) is _handler]
    for number in ours:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _handler)
