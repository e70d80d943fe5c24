"""Python's search for garbage, kept away from where there is none.

It walks the objects in memory again and again as these become more, and once more when Python ends. Of
imported modules nothing becomes garbage before that, and of a corpus that is being read nothing either.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from asr_seq2seq.signals import while_importing


@contextmanager
def without_collection() -> Iterator[None]:
    """No search while many objects are made that stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """No search while modules are imported, and none through them afterwards: they stay to the end.

    On the command line Ctrl-C and the other ending signals end the process at once meanwhile.
    """
    with without_collection(), while_importing():
        yield
        gc.freeze()
