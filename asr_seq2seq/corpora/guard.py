"""No command and no connection while code of others works on a folder from elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from asr_seq2seq.errors import CorpusError

# Events that Python raises before it starts a program or opens a connection (its audit events).
_EVENTS = frozenset(
    [
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "os.system",
        "pty.spawn",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
    ]
)
_refusals: list[str] = []  # what to say, while something is refused; a hook cannot be taken away again
_installed: list[bool] = []


@contextmanager
def nothing_started(who: str) -> Iterator[None]:
    """Until it ends, starting a program or opening a connection raises a CorpusError that names `who`."""
    if not _installed:
        sys.addaudithook(_refuse)
        _installed.append(True)
    _refusals.append(who)
    try:
        yield
    finally:
        _refusals.remove(who)


def _refuse(event: str, arguments: object) -> None:
    if _refusals and event in _EVENTS:
        raise CorpusError(
            f"{_refusals[-1]} wants to run a program or to open a connection ({event}), which is not done "
            "for files from elsewhere; prepare the corpus with lhotse itself, and save its sound in files"
        )
