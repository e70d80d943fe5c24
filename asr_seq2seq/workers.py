"""Processes that prepare items ahead of the one that uses them, in order.

Each worker has a pipe of its own and nothing is shared: no shared memory, which containers have little of,
and no lock, which a killed process would hold for ever. A worker that dies closes its end, and so does
the process that uses it: the other notices at once.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import torch

from asr_seq2seq.errors import AsrError
from asr_seq2seq.signals import ENDING

_Task = TypeVar("_Task")
_Item = TypeVar("_Item")
_AHEAD = 4  # tasks that a worker has been given before the first of them is asked for
_SECONDS_TO_END = 5.0


class WorkerError(AsrError):
    """A worker process that ended before its time, or that cannot be started."""


class Workers(Generic[_Task, _Item]):
    """`count` processes that call `make` on tasks; they are started when first needed."""

    def __init__(self, make: Callable[[_Task], _Item], count: int) -> None:
        self.make = make
        self.count = count
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []
        self._stop: Callable[[], None] | None = None

    def __del__(self) -> None:
        self.close()

    def map(self, tasks: Iterable[_Task], *, keep: bool = False) -> Iterator[_Item]:
        """The item of each task, in order; what `make` raises is raised here.

        The processes end with the tasks unless they are to be kept for more. Raises WorkerError where one
        was killed.
        """
        finished = False
        try:
            self._start()
            waiting: deque[Connection] = deque()
            tasks = iter(tasks)
            number = 0
            while True:
                while len(waiting) < _AHEAD * self.count and (task := next(tasks, None)) is not None:
                    pipe = self._pipes[number % self.count]
                    self._guard(pipe, functools.partial(pipe.send, task))
                    waiting.append(pipe)
                    number += 1
                if not waiting:
                    break
                pipe = waiting.popleft()
                item, error = self._guard(pipe, pipe.recv)
                if error is not None:
                    raise error
                yield item
            finished = True
        finally:
            if not (keep and finished):  # else what was asked for in vain would be taken for the next
                self.close()

    def close(self) -> None:
        """End the processes."""
        if self._stop is not None:
            atexit.unregister(self._stop)
            self._stop()
            self._stop = None
        self._processes, self._pipes = [], []

    def _start(self) -> None:
        if self._pipes:
            return
        context = multiprocessing.get_context()
        forked = context.get_start_method() == "fork"
        # Python itself would end them by a SIGTERM, to which they do not answer, and wait for ever.
        self._stop = functools.partial(_stop, self._processes, self._pipes)
        atexit.register(self._stop)
        try:
            for _ in range(self.count):
                ours, theirs = context.Pipe()
                self._pipes.append(ours)
                inherited = list(self._pipes) if forked else []
                process = context.Process(target=_work, args=(theirs, self.make, inherited), daemon=True)
                process.start()
                theirs.close()
                self._processes.append(process)
        except OSError as error:
            raise WorkerError(
                f"data workers cannot be started ({error.strerror or error}); lower data.workers"
            ) from None

    def _guard(self, pipe: Connection, talk: Callable[[], Any]) -> Any:
        try:
            return talk()
        except (EOFError, OSError):  # an end in the middle of an item is a plain OSError
            process = self._processes[self._pipes.index(pipe)]
            process.join(_SECONDS_TO_END)
            if process.exitcode is None:  # it lives, so that something else is wrong with the pipe
                raise
            code = process.exitcode
            how = f"by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"with code {code}"
            raise WorkerError(
                f"a data worker was ended {how}, perhaps for lack of memory; lower data.workers or "
                "data.batch_seconds"
            ) from None


def _stop(processes: Sequence[BaseProcess], pipes: Sequence[Connection]) -> None:
    for pipe in pipes:
        pipe.close()  # at which they end
    for process in processes:
        with contextlib.suppress(ValueError, AssertionError):  # in a forked child they are not ours
            process.kill()
            process.join()


def _work(pipe: Connection, make: Callable[[Any], Any], inherited: list[Connection]) -> None:
    """What a worker does until the process that uses it closes its end of the pipe, or has died.

    That process alone answers to signals, which may reach every process of a job. Tasks are taken in and
    items sent by threads: neither side ever waits for the other to read.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    for other in inherited:
        other.close()
    torch.set_num_threads(1)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(pipe, tasks), daemon=True).start()
    threading.Thread(target=_send, args=(pipe, items), daemon=True).start()
    while True:
        task = tasks.get()
        try:
            items.put((make(task), None))
        except Exception as error:  # whatever it is, it is raised where the item is asked for
            if not isinstance(error, AsrError):
                error.add_note("in a data worker:\n" + traceback.format_exc())
            items.put((None, error))


def _take(pipe: Connection, tasks: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            tasks.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)


def _send(pipe: Connection, items: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            item, error = items.get()
            try:
                content = multiprocessing.reduction.ForkingPickler.dumps((item, error))
            except Exception as problem:  # an exception that cannot be pickled is told in words
                words = RuntimeError(f"{error!r}" if error else f"{problem!r}")
                content = multiprocessing.reduction.ForkingPickler.dumps((None, words))
            pipe.send_bytes(content)
    except OSError:
        os._exit(0)
