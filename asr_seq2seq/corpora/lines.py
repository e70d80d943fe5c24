"""The text files of a corpus, line by line, and its numbers."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from asr_seq2seq.errors import CorpusError, shown

LONGEST_LINE = 10_000_000  # characters; a line of a packed file can be very much longer than the file
LONGEST_SECONDS = 1e8  # three years
MOST_CHANNELS = 256
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """The file, unpacked where its name ends in `.gz`; CorpusError where it cannot be read or is not UTF-8.

    A byte order mark is no part of the text.
    """
    try:
        if path.suffix == ".gz":
            packed = gzip.open(path, "rt", encoding="utf-8-sig", newline=newline)  # noqa: SIM115
            with cast("TextIO", packed) as file:
                yield file
        else:
            with path.open(encoding="utf-8-sig", newline=newline) as file:
                yield file
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8 text; convert it, with iconv for example") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or shown(str(error))
        raise CorpusError(f"{path}: cannot be read ({reason}); check its name and place") from None


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that are not blank, each after its place (FILE, line N) as messages name it."""
    with open_text(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE:
                raise CorpusError(f"{path}, line {number}: is over {LONGEST_LINE:,} characters long; cut it")
            if not line.isspace():
                yield f"{path}, line {number}", line.rstrip("\r\n")


def read_keys(path: Path) -> dict[str, tuple[str, str]]:
    """Lines of a key and what follows it: key -> its place and the rest, which may be empty."""
    found: dict[str, tuple[str, str]] = {}
    for where, line in read_lines(path):
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        if key in found:
            raise CorpusError(
                f"{where}: the name {shown(key)} was given on an earlier line too; delete one of them"
            )
        found[key] = where, rest.strip()
    return found


def to_seconds(text: str, name: str, where: str) -> float:
    """The number of seconds that `text` spells."""
    spelled = text.strip()
    if not (_NUMBER.fullmatch(spelled) and 0 <= (seconds := float(spelled)) < LONGEST_SECONDS):
        raise CorpusError(f"{where}: the {name} must be a number of seconds, not {shown(repr(text))}")
    return seconds


def to_channel(text: str, where: str) -> int:
    """The channel that `text` spells, counted from 0."""
    spelled = text.strip()
    if not (spelled.isascii() and spelled.isdigit() and len(spelled) < 4 and int(spelled) < MOST_CHANNELS):
        raise CorpusError(f"{where}: the channel must be a number from 0 on, not {shown(repr(text))}")
    return int(spelled)
