"""Ctrl-C, SIGTERM and SIGHUP, in processes that import no more than they need."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asr_seq2seq import signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

# Writes a file and is told to end while it does: by the signals in argv, one during the clean-up.
WORK = """
import os, signal, sys
from pathlib import Path
from asr_seq2seq import signals
from asr_seq2seq.files import atomic_write, temporary_folder
from asr_seq2seq.signals import while_importing
signals.end_cleanly()
os.environ["TMPDIR"] = sys.argv[1]
folder, number, again = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
def sends(make):  # a signal the moment that something temporary is made
    def made(*arguments, **settings):
        result = make(*arguments, **settings)
        os.kill(os.getpid(), number)
        return result
    return made
if again == -2:
    os.open = sends(os.open)
if again == -3:
    os.mkdir = sends(os.mkdir)
try:
    with atomic_write(folder / "result") if again > -3 else temporary_folder() as file:
        if again == -1:
            with while_importing():
                os.kill(os.getpid(), number)
        if child := os.fork():
            assert os.waitpid(child, 0)[1] == number
        os.kill(os.getpid(), number)
        file.write("never")
except KeyboardInterrupt as stop:
    if again > 0:
        os.kill(os.getpid(), again)
    assert os.listdir(folder) == [], os.listdir(folder)
    signals.finish()
    os.kill(os.getpid(), number)
    sys.exit(128 + signals.number_of(stop))
"""


def _run(folder: Path, number: int, again: int = 0) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", WORK, str(folder), str(int(number)), str(int(again))]
    return subprocess.run(command, capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("number", signals.ENDING)
def test_what_is_temporary_goes_and_a_child_ends(tmp_path: Path, number: int) -> None:
    done = _run(tmp_path, number, again=signal.SIGTERM)
    assert (done.returncode, done.stderr) == (128 + number, b"")


@pytest.mark.parametrize("moment", [-2, -3])
def test_a_signal_that_comes_when_something_temporary_is_made(tmp_path: Path, moment: int) -> None:
    done = _run(tmp_path, signal.SIGTERM, again=moment)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, b"")


def test_while_importing_a_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    done = _run(tmp_path, signal.SIGINT, again=-1)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_what_is_ignored_stays_ignored() -> None:
    before = [signal.getsignal(number) for number in signals.ENDING]
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signals.end_at_once()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGHUP)
    finally:
        for number, handler in zip(signals.ENDING, before, strict=True):
            signal.signal(number, handler)


def test_the_number_of_an_interruption() -> None:
    assert signals.number_of(KeyboardInterrupt()) == signal.SIGINT
    assert signals.number_of(signals.Interrupted(signal.SIGTERM)) == signal.SIGTERM
