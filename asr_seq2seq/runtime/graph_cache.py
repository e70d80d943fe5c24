"""Graphs that were built before, in the user's cache folder: `onnx` need not be imported to load a model.

A graph follows from the settings of a network and the shapes of its weights, and does not hold them: a few
kilobytes serve all models alike. A file is named by a digest of what the graph follows from, and begins with
a digest of its own bytes, so that neither an older program nor a damaged file can give a wrong graph.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from asr_seq2seq.errors import OutputError
from asr_seq2seq.files import atomic_write
from asr_seq2seq.runtime.weights import Weights

_VERSION = 5  # of the code that builds graphs: another number for every change of what it builds
_DIGEST = 32  # bytes


def cache_folder() -> Path | None:
    """The user's folder for what can be made again; None where the system names none."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "asr_seq2seq"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "asr_seq2seq"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "asr_seq2seq" / "Cache"
    return home / ".cache" / "asr_seq2seq"


def cached_graph(kind: str, settings: Any, weights: Weights, build: Callable[[], bytes]) -> bytes:
    """The serialized graph of this kind for these settings and weights; built, and kept, where not yet there.

    A folder that cannot be read or written is no error: the graph is then built in memory.
    """
    shapes = sorted((name, str(array.dtype), array.shape) for name, array in weights.items())
    key = hashlib.sha256(repr((_VERSION, kind, settings, shapes)).encode()).hexdigest()
    folder = cache_folder()
    if folder is None:
        return build()
    path = folder / "graphs" / f"{kind}-{key[:32]}.onnx"
    with suppress(OSError):
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
            return content[_DIGEST:]
    graph = build()
    with suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "wb") as file:
            file.write(hashlib.sha256(graph).digest() + graph)
    return graph
