"""Names of files that are listed in a file or on standard input."""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path

from asr_seq2seq.errors import ConfigError, brief

_LARGEST = 100_000_000  # bytes
_ENCODINGS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def listed_names(path: str, *, null: bool = False) -> list[str]:
    """The names in the list `path`, one a line, or ended by a null byte where `null`; `-` is standard input.

    Each is as if it were given as an argument, so it is relative to the current folder. Blank lines are
    passed over, and so is a byte order mark. ConfigError where it cannot be read or holds no names.
    """
    place = "the list on standard input" if path == "-" else f"the list {brief(path, 120)}"
    content = _content(path, place)
    names = _decoded(content, place).split("\0") if null else _lines(_decoded(content, place), place)
    found = [f".{os.sep}-" if name == "-" else name for name in names if name.strip()]
    if not found:
        raise ConfigError(f"{place} holds no name: write the name of a sound file on each line")
    return found


def _content(path: str, place: str) -> bytes:
    if path == "-" and (sys.stdin is None or sys.stdin.closed):
        raise ConfigError("standard input is closed: pipe the list into it, or name a file")
    try:
        if path == "-":
            content = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or brief(str(error))
        raise ConfigError(f"{place} cannot be read ({reason}): check its name and place") from None
    if len(content) > _LARGEST:
        raise ConfigError(f"{place} is over {_LARGEST:,} bytes long: divide it")
    return content


def _decoded(content: bytes, place: str) -> str:
    """Text; names of files need not be UTF-8."""
    for mark, encoding in _ENCODINGS.items():
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(encoding, "surrogateescape")
            except UnicodeDecodeError:
                raise ConfigError(f"{place} is not whole UTF-16 text: save it again as UTF-8") from None
    return os.fsdecode(content)


def _lines(text: str, place: str) -> list[str]:
    if "\0" in text:
        raise ConfigError(
            f"{place} holds null characters: name a text file with a sound file on each line, "
            "or give -0 if they end the names"
        )
    return text.replace("\r\n", "\n").split("\n")
