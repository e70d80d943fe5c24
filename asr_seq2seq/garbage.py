"""Python's search for garbage, kept away from where there is none.

It walks the objects in memory again and again as these become more, and once more when Python ends. Of
imported modules nothing ever becomes garbage, and of a corpus that is being read nothing either.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


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


def end_without_collection() -> None:
    """No search when Python ends; files are closed and handlers of `atexit` run as ever."""
    atexit.register(gc.freeze)
