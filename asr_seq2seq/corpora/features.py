"""Features (T, F) that another program computed, in NumPy's `.npy` files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.corpora.utterance import Utterance
from asr_seq2seq.errors import CorpusError

_HEADER = re.compile(
    rb"\{'descr': '(?P<type>[<>|=][a-zA-Z]\d{1,3})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>[0-9, ]{0,100})\), ?\}\s*"
)
_LONGEST_HEADER = 10_000  # bytes
Frames = npt.NDArray[np.float32]


def read_features(utterance: Utterance, size: int) -> Frames:
    """The features of an utterance (T, size), float32."""
    known = utterance.features
    if known is None:
        raise CorpusError("it has no features, and this recipe learns from those (features.kind)")
    if known.path is None:
        raise CorpusError(
            f"{utterance.id}: its features are stored as {known.storage}; store them as numpy_files"
        )
    frames = _read_npy(known.path)[known.first :][: known.count]
    if frames.ndim != 2 or frames.shape[1] != size or not len(frames) or frames.dtype.kind != "f":
        what = f"{frames.dtype} {frames.shape}"
        raise CorpusError(f"{known.path}: holds {what} and not frames of {size} numbers (features.size)")
    if not np.isfinite(frames).all():
        raise CorpusError(f"{known.path}: holds features that are not finite; make them anew")
    return np.ascontiguousarray(frames, dtype=np.float32)


def _read_npy(path: str) -> npt.NDArray[Any]:
    """The array of a `.npy` file: numbers, as many as its header says. Nothing is unpickled."""

    def refused(reason: str) -> CorpusError:
        return CorpusError(f"{path}: cannot be read as features ({reason}); save an array with numpy.save")

    try:
        with Path(path).open("rb") as file:
            start = file.read(8)
            if start[:6] != b"\x93NUMPY" or start[6:7] not in (b"\x01", b"\x02", b"\x03"):
                raise refused("it is no .npy file")
            length = int.from_bytes(file.read(2 if start[6:7] == b"\x01" else 4), "little")
            header = _HEADER.fullmatch(file.read(min(length, _LONGEST_HEADER)))
            if header is None or header["type"][1:2] == b"O":
                raise refused("it does not hold plain numbers")
            kind = np.dtype(header["type"].decode())
            shape = [int(number) for number in header["shape"].replace(b",", b" ").split()]
            count, there = 1, os.fstat(file.fileno()).st_size - file.tell()
            for number in shape:
                count *= number
            if count * kind.itemsize > there or kind.itemsize == 0:
                raise refused(f"its header promises {count} numbers and {there} bytes are there")
            numbers = np.fromfile(file, kind, count)
    except OSError as error:
        raise refused(str(error.strerror)) from None
    except TypeError:  # a type that NumPy does not have
        raise refused("its numbers are of no known type") from None
    return numbers.reshape(shape, order="F" if header["fortran"] == b"True" else "C")
