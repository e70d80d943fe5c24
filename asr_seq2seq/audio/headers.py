"""What a header promises, and whether its writer ever got to fill it in; files that are joined.

Writers that cannot go back (into a pipe, or because power was lost) leave a placeholder where the size
of the sound belongs. A size is one where

* it is 0 and something else than another chunk follows, or
* it lies within 64 KiB of 2^31, 2^32, 2^63 or 2^64, in bytes or in samples, or
* it is at least half a gigabyte or gigasample, a round number (a multiple of ten million or of 2^24), and
  less than half of it is there.

Then the sound lasts to the end of the file. Any other size is a promise, and a file that has clearly less
is cut short, which is an error.
"""

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from asr_seq2seq.audio.source import SoundFile

_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_NEAR = 1 << 16
_LARGE = 500_000_000
_MOST_CHUNKS = 10_000

# How another file of the same kind begins where one ends; only looked for where sizes do not tell.
_BEGINNINGS = {
    b"fLaC": rb"fLaC[\x00\x80]\x00\x00\x22",
    b"TTA1": rb"TTA1[\x01-\x03]\x00",
    b"FLV\x01": rb"FLV\x01[\x00-\x05]\x00\x00\x00\x09",
    b"Crea": rb"Creative Voice File\x1a",
    b"MAC ": rb"MAC [\x00-\xff]\x0f",
    b"\x30\x26\xb2\x75": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    b".snd": rb"\.snd\x00\x00[\x00-\x0f][\x00-\xff]{5}\x00\x00\x00[\x01-\x1b]",
    b"caff": rb"caff\x00\x01\x00\x00desc",
    b"NIST": rb"NIST_1A\n",
    b"#!AM": rb"#!AMR(-WB)?\n",
}
# Decoders take what follows for samples of the first, or seek into it.
_READ_THROUGH = {b"NIST", b"#!AM", b"OggS", b"riff", b"RIFF", b"fLaC"}


@dataclass(frozen=True)
class Layout:
    """Where the samples of a file lie: from ``begin``, ``size`` bytes by its header, in place ``field``."""

    kind: bytes  # the first bytes of the file
    begin: int
    size: int
    field: tuple[int, str]  # of the size itself, and how it is packed
    frame: int = 1  # bytes of one sample of all channels, where that is known
    end: int | None = None  # of the container


def layout(file: SoundFile) -> Layout | None:
    """Find the samples of WAV, RF64, W64, AIFF, CAF and AU files; None for others."""
    head = file.at(0, 40)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM") and head[8:12] in (b"WAVE", b"AIFF", b"AIFC"):
        return _chunks(file, head[:4])
    if head[:16] == _W64:
        return _chunks(file, _W64)
    if head[:4] == b"caff":
        return _chunks(file, b"caff")
    if head[:4] == b".snd" and len(head) >= 24:
        begin, size = struct.unpack(">II", head[4:12])
        return Layout(b".snd", begin, size, (8, ">I"))
    return None


def _chunks(file: SoundFile, kind: bytes) -> Layout | None:
    wide, apple = kind == _W64, kind == b"caff"
    order = "<" if wide or kind in (b"RIFF", b"RF64") else ">"
    code = order + ("Q" if wide or apple else "I")
    name, field = 16 if wide else 4, 8 if wide or apple else 4
    step = 8 if wide else 1 if apple else 2
    whole = 0 if apple else _number(file, name, code)
    place, frame, real = 40 if wide else 8 if apple else 12, 1, None
    for _ in range(_MOST_CHUNKS):
        head, size = file.at(place, 4), _number(file, place + name, code)
        body = place + name + field
        if body > file.size:
            return None
        size -= body - place if wide else 0
        match head:
            case b"ds64":
                whole, real = _number(file, body, "<Q"), body + 8
            case b"fmt ":
                frame = _number(file, body + 12, order + "H")
            case b"COMM":
                frame = _number(file, body, ">H") * ((_number(file, body + 6, ">H") + 7) // 8)
            case b"data" | b"SSND":
                at = (place + name, code)
                if real is not None and size == 0xFFFFFFFF:
                    at = (real, "<Q")
                    size = _number(file, *at)
                end = whole if wide else 8 + whole
                start = body + (8 if head == b"SSND" else 4 if apple else 0)
                size = max(0, size - (start - body))
                last = end if start + size <= end < file.size else None
                return Layout(kind, start, size, at, max(1, frame), last)
        place = body + max(0, size) + -size % step
    return None


def _number(file: SoundFile, place: int, code: str) -> int:
    """The integer at a place; 0 beyond the end of the file."""
    size = struct.calcsize(code)
    (number,) = struct.unpack(code, file.at(place, size).ljust(size, b"\0"))
    return int(number)


def is_placeholder(promised: int, there: int, frame: int = 1) -> bool:
    """Whether a number of bytes in a header is none that its writer counted; ``there`` are in the file."""
    if promised == 0:
        return there > 0
    for size in (promised, promised // max(1, frame)):
        if any(abs(size - (1 << bits)) <= _NEAR for bits in (31, 32, 63, 64)) or size >= 1 << 62:
            return True
        if size >= _LARGE and not (size % 10_000_000 and size % (1 << 24)) and there < promised / 2:
            return True
    return False


def mend(file: SoundFile) -> float:
    """Put the real size into the header of a file whose size was never known; the share that is there.

    1.0 where all is there that the header promises, or where it promises nothing.
    """
    head = file.at(0, 12)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":  # its index goes with its end
        size = _number(file, 4, "<I")
        return min(1.0, file.size / (size + 8)) if not is_placeholder(size, file.size) else 1.0
    found = layout(file)
    if found is None:
        return 1.0
    there = max(0, file.size - found.begin)
    if found.size == 0 and _only_chunks(file, found.begin):
        return 1.0
    extra = {_W64: 24, b"FORM": 8, b"caff": 4}.get(found.kind, 0)  # counted with the samples
    if not any(is_placeholder(size, there, found.frame) for size in (found.size, found.size + extra)):
        return 1.0 if found.size <= there else there / found.size
    place, code = found.field
    largest = 0xFFFFFFFF if code[1] == "I" else 1 << 62
    file.patch = (place, struct.pack(code, min(largest, there // found.frame * found.frame + extra)))
    return 1.0


def _only_chunks(file: SoundFile, place: int) -> bool:
    """Whether the file, from there on, is chunks to its end (or nothing), so that no samples are in it."""
    while place < file.size:
        head = file.at(place, 8)
        if len(head) < 8 or not re.fullmatch(rb"[A-Za-z0-9 ]{4}", head[:4]):
            return False
        sizes = {struct.unpack("<I", head[4:])[0], struct.unpack(">I", head[4:])[0]}
        ends = [place + 8 + size + size % 2 for size in sizes if place + 8 + size <= file.size]
        if not ends:
            return False
        place = min(ends)
    return True


def next_part(file: SoundFile) -> int | None:
    """Where, in files that were put one behind the other, the second begins; None where there is one."""
    head = file.at(0, 12)
    found = layout(file)
    if found is not None and found.kind not in _BEGINNINGS:
        same = found.end is not None and file.at(found.end, len(found.kind)) == found.kind
        return found.end if same else None
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        end = 8 + _number(file, 4, "<I")
        return end if file.at(end, 4) == b"RIFF" and file.at(end + 8, 4) == b"AVI " else None
    if head[4:8] == b"ftyp":
        return _second_movie(file)
    if head[:4] == b"OggS":
        later = file.find(re.compile(rb"OggS\x00[\x00\x01\x04\x05]"), 0)
        return None if later is None else file.find(re.compile(rb"OggS\x00[\x02\x06]"), later)
    beginning = _BEGINNINGS.get(head[:4])
    return file.find(re.compile(beginning, re.DOTALL), 4) if beginning else None


def first_part(file: SoundFile) -> SoundFile:
    """The file, without others that follow where a decoder would read them as samples of the first."""
    end = None
    if file.at(0, 4) in _READ_THROUGH:
        end = next_part(file) if file.path is None else _end_of_first(file.path, file.identity())
    return file if end is None else file.part(0, end)


@lru_cache(maxsize=4096)  # an hour from which many utterances are taken is searched once
def _end_of_first(path: Path, identity: tuple[int, ...]) -> int | None:
    with path.open("rb") as file:
        return next_part(SoundFile(file))


def _second_movie(file: SoundFile) -> int | None:
    """Where an MP4 has another beginning (ftyp) with a table of contents (moov) of its own."""
    place, begins, tables = 0, None, 0
    for _ in range(_MOST_CHUNKS):
        head = file.at(place, 16)
        if len(head) < 8:
            return None
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if kind == b"ftyp" and place:
            begins = place
        tables += kind == b"moov"
        if begins and tables > 1:
            return begins
        if size < 8:
            return None
        place += size
    return None
