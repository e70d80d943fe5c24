"""Ctrl-C, SIGTERM and SIGHUP during training: finish the step at hand, then stop."""

from __future__ import annotations

import signal
import threading
from itertools import filterfalse
from types import FrameType, TracebackType
from typing import Any

from asr_seq2seq.signals import ENDING, is_ignored


class StopRequest:
    """While this is entered, a first signal that ends the work is only remembered in `signal`.

    A second one does what it always does. One that is to be ignored, as SIGHUP under `nohup`, stays so.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for number in filterfalse(is_ignored, ENDING):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
