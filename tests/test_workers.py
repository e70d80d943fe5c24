"""Items come in order from processes that may die at any time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from asr_seq2seq.errors import AsrError, CorpusError
from asr_seq2seq.workers import WorkerError, Workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")


def pid_of(task: int) -> tuple[int, int]:
    return task, os.getpid()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: set[int], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_items_come_in_order_and_workers_stay_where_they_are_to(tmp_path: Path) -> None:
    workers = Workers(pid_of, 3)
    first = list(workers.map(range(20), keep=True))
    again = list(workers.map(range(20)))
    assert [task for task, _ in first] == list(range(20)) == [task for task, _ in again]
    pids = {pid for _, pid in first}
    assert len(pids) == 3 and pids == {pid for _, pid in again} and os.getpid() not in pids
    assert gone(pids)


def test_large_tasks_and_large_items_do_not_block_each_other() -> None:
    def double(task: np.ndarray) -> np.ndarray:
        return np.concatenate([task, task])

    tasks = (np.full(500_000, number, np.float32) for number in range(12))
    items = list(Workers(double, 2).map(tasks))
    assert [(len(item), item[-1]) for item in items] == [(1_000_000, number) for number in range(12)]


def test_an_error_is_raised_where_its_item_is_asked_for() -> None:
    def fail(task: int) -> int:
        if task == 3:
            raise CorpusError("the third is wrong")
        if task == 4:
            raise KeyError(lambda: 0)  # which no pipe can carry
        return task

    items = Workers(fail, 2).map(range(9))
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CorpusError, match=r"^the third is wrong$"):
        next(items)
    with pytest.raises(RuntimeError, match="KeyError"):
        list(Workers(fail, 2).map([4]))


def test_a_killed_worker_is_one_sentence_at_once() -> None:
    for keep in (False, True):
        items = Workers(pid_of, 2).map(count(), keep=keep)
        pids = {next(items)[1] for _ in range(2)}
        os.kill(min(pids), signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(
            WorkerError, match=r"ended by signal 9 .*; lower data.workers or data.batch_seconds"
        ):
            for _ in range(100):
                next(items)
        assert time.monotonic() - began < 5
        assert isinstance(WorkerError(""), AsrError) and gone(pids)


def test_a_worker_that_dies_while_it_sends_is_noticed() -> None:
    def die(task: int) -> bytes:
        if task == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return bytes(5_000_000)

    with pytest.raises(WorkerError):
        list(Workers(die, 1).map(range(4)))


def test_a_worker_that_dies_in_the_middle_of_an_item_is_noticed() -> None:
    def die(task: int) -> bytes:
        if task == 1:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return bytes(5_000_000)  # more than a pipe holds

    with pytest.raises(WorkerError, match="by signal 9"):
        for _ in Workers(die, 1).map(range(4)):
            time.sleep(0.5)  # meanwhile the second item is half sent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_for_the_job_are_answered_by_the_training_process_alone(number: int) -> None:
    items = Workers(pid_of, 1).map(count())
    pid = next(items)[1]
    os.kill(pid, number)
    assert {next(items)[1] for _ in range(20)} == {pid}
    items.close()  # type: ignore[attr-defined]
    assert gone({pid})


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "sys.exit(3)", "raise ValueError"])
def test_no_worker_stays_behind(end: str) -> None:
    code = (
        "import os, sys\nfrom itertools import count\nfrom asr_seq2seq.workers import Workers\n"
        "def pid(task): return os.getpid()\n"
        "workers, others = Workers(pid, 2), Workers(pid, 2)\n"
        "items, more = workers.map(count(), keep=True), others.map(count())\n"
        f"print(next(items), next(items), next(more), next(more), flush=True)\n{end}\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == {"o": -9, "s": 3, "r": 1}[end[0]]
    pids = set(map(int, done.stdout.split()))
    assert len(pids) == 4 and gone(pids)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    signal.alarm(120)
    yield
    signal.alarm(0)
