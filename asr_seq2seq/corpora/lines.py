"""The text files of a corpus, line by line, and the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from asr_seq2seq.errors import CorpusError


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """The file while it is read; CorpusError where the system fails to."""
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            yield file
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check its name and place") from None


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that are not blank, each after the words by which a message names its place."""
    with open_text(path) as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}, line {number}", line.rstrip("\r\n")
        except UnicodeDecodeError:
            raise CorpusError(f"{path}: is not UTF-8 text; convert it, with iconv for example") from None


def read_keys(path: Path) -> dict[str, tuple[str, str]]:
    """Lines of a key and what follows it: key -> its place and the rest, which may be empty."""
    found: dict[str, tuple[str, str]] = {}
    for where, line in read_lines(path):
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        if key in found:
            raise CorpusError(f"{where}: the name {key} was given on an earlier line too; delete one of them")
        found[key] = where, rest.strip()
    return found


def to_seconds(text: str, name: str, where: str) -> float:
    """The number of seconds that `text` spells."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise CorpusError(f"{where}: the {name} must be a number of seconds, not {text!r}")
    return seconds
