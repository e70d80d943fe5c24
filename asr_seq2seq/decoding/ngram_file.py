"""Files of word n-gram models, told by their content: ARPA text, also compressed, and kenlm's binary form.

kenlm believes the counts in a header and reserves memory for them, and which compressed forms it reads
depends on how it was built. So both are settled here, the same on every machine, before it sees a file.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.files import temporary_folder

SUFFIXES = (".arpa", ".bin", ".binary", ".klm", ".mmap")
_COMPRESSED: dict[bytes, type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_BINARY = b"mmap lm http://kheafield.com/code"
_DATA = re.compile(rb"\s*\\data\\[ \t]*\r?\n")
_COUNT = re.compile(rb"ngram[ \t]+(\d{1,18})[ \t]*=[ \t]*(\d{1,18})[ \t]*\r?\n")
_HEAD = 1 << 16  # bytes in which the header of either form lies
_LINE = 4  # bytes of the shortest line of an ARPA file: "0\ta\n"
_RATIO = 100  # no ARPA text is compressed better than about 10 to 1
_CHUNK = 1 << 20
# The header of kenlm's lm/binary_format.cc: 88 bytes of magic and of numbers that tell the architecture; then
# order, multiplier, kind, vocabulary and version; behind it a count for each order.
_PROBING = 0  # the default of build_binary; the others are tries
_FIXED = struct.Struct("<88xB3xfi?3xI")


def is_word_ngram(path: Path) -> bool:
    """Whether a file is a word n-gram model, by its content; by its name where that says nothing."""
    try:
        start = _head(path) if path.is_file() else b""
    except OSError:
        start = b""
    if start[8:9] == b"{":  # the header of safetensors, whatever the name
        return False
    names = path.name.lower().removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz")
    return (
        start.startswith((_BINARY, *_COMPRESSED))
        or bool(re.search(rb"(?m)^\\data\\", start))
        or names.endswith(SUFFIXES)
    )


@contextmanager
def checked(path: Path) -> Iterator[Path]:
    """A plain file with the model in `path`, for as long as the block lasts; it may be another one.

    ModelFileError where there is none, where it is cut short or damaged at its head, or where its counts
    are more than it can hold.
    """
    try:
        start = _head(path)
    except OSError as error:
        raise ModelFileError(
            f"{path}: no such language model; give an ARPA file or a binary one of kenlm"
            if isinstance(error, FileNotFoundError)
            else f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    if not start.startswith(tuple(_COMPRESSED)):
        _check(path, path)
        yield path
        return
    with temporary_folder() as folder:
        plain = folder / "words.arpa"
        _decompress(path, plain)
        _check(path, plain)
        yield plain


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _decompress(path: Path, plain: Path) -> None:
    """Write the text in `path` to `plain`, as long as it can be that of n-grams."""
    start = _head(path)
    opener = next(opener for magic, opener in _COMPRESSED.items() if start.startswith(magic))
    left = _RATIO * path.stat().st_size + _CHUNK
    with plain.open("wb") as target:
        try:
            with opener(path, "rb") as source:
                head = source.read(_HEAD)
                if not _DATA.match(head):
                    raise ModelFileError(
                        f"{path}: is compressed, but what it holds is no ARPA file; give one, or a binary "
                        "file of kenlm"
                    )
                while head:
                    left -= len(head)
                    if left < 0:
                        raise ModelFileError(
                            f"{path}: expands to more than {_RATIO} times its size, as no ARPA file does"
                        )
                    _write(target, head, plain)
                    head = source.read(_CHUNK)
        except (OSError, EOFError, zlib.error, lzma.LZMAError):
            raise ModelFileError(f"{path}: is damaged or cut short; copy or download it again") from None


def _write(target: BinaryIO, content: bytes, plain: Path) -> None:
    try:
        target.write(content)
    except OSError as error:
        free = shutil.disk_usage(plain.parent).free
        raise ModelFileError(
            f"{plain.parent.parent}: has no room for the language model ({error.strerror}, {free:,} bytes "
            "free); decompress it elsewhere, or set TMPDIR"
        ) from None


def _check(path: Path, plain: Path) -> None:
    """The header of the file `plain`, which messages call `path`."""
    start, size = _head(plain), plain.stat().st_size
    if start.startswith(_BINARY):
        _check_binary(path, start, size)
        return
    data = _DATA.match(start)
    if not data:
        raise ModelFileError(
            f"{path}: cannot be read as a word n-gram model; give an ARPA file, which begins with \\data\\, "
            "or a binary one of kenlm"
        )
    place, total, orders = data.end(), 0, 0
    while count := _COUNT.match(start, place):
        place, orders, total = count.end(), orders + 1, total + int(count[2])
        if int(count[1]) != orders:
            break
    else:
        if orders and total * _LINE <= size:
            return
    raise ModelFileError(
        f"{path}: the counts of n-grams under \\data\\ are missing, out of order, or more than the file can "
        "hold; copy or make it again"
    )


def _check_binary(path: Path, start: bytes, size: int) -> None:
    damaged = ModelFileError(
        f"{path}: is a binary file of kenlm, but damaged, cut short or unfinished; copy or build it again"
    )
    if len(start) < _FIXED.size:
        raise damaged
    order, multiplier, kind, _, _ = _FIXED.unpack_from(start)
    if not 1 <= order <= 20 or not 0 <= kind <= 5 or len(start) < _FIXED.size + 8 * order:
        raise damaged
    counts = struct.unpack_from(f"<{order}Q", start, _FIXED.size)
    if not all(1 <= count <= size for count in counts) or not 1 <= multiplier <= 1000:
        raise damaged
    if kind == _PROBING and not _are_sound(path, counts, multiplier, size):
        raise damaged


def _are_sound(path: Path, counts: Sequence[int], multiplier: float, size: int) -> bool:
    """Whether the hash tables of a probing model can be searched.

    kenlm looks for an empty entry until it finds one, and follows the numbers of words without a check.
    They are: a header of 8 bytes and the words (key, number), 8 bytes for each word and one more, then a
    table for each order from 2 on (key and two numbers, of the last order one).
    """
    place = -(-(_FIXED.size + 8 * len(counts)) // 8) * 8 + 8
    for order, count in enumerate(counts, start=1):
        entry = np.dtype("<u8, <u4") if order in (1, len(counts)) else np.dtype("<u8, <u4, <u4")
        buckets = max(count + 1, int(np.float32(multiplier) * count))
        if place + buckets * entry.itemsize > size:
            return False
        empty = False
        for first in range(0, buckets, _CHUNK):  # a large model is not held in memory twice
            number = min(_CHUNK, buckets - first)
            table = np.fromfile(path, entry, number, offset=place + first * entry.itemsize)
            empty = empty or bool((table["f0"] == 0).any())
            if order == 1 and bool((table["f1"] >= counts[0]).any()):
                return False
        if not empty:
            return False
        place += buckets * entry.itemsize + (8 * (count + 1) if order == 1 else 0)
    return True
