"""Messages to the user: lines on standard error, which may be missing or closed."""

from __future__ import annotations

import contextlib
import sys

from asr_seq2seq.errors import printable


def message(text: str) -> None:
    """Write one line to standard error, control characters escaped; nothing where it cannot be written.

    A progress bar on the same terminal stays below the line.
    """
    stream = sys.stderr
    if stream is None or stream.closed:  # a service, or a program with windows
        return
    with contextlib.suppress(OSError):  # a message that nobody can read must not end the work
        print(printable(text), file=stream, flush=True)
