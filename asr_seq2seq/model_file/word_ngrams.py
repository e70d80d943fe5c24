"""Model files of word n-grams: the words, and the share of each n-gram in what may follow its history.

p(w | h) = a(w | h) + g(h) p(w | h'), where a is the share of the n-gram (h, w), none for those that the file
does not hold, h' is h without its first word, and g(h) is what the shares of h leave of 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from safetensors.numpy import save as save_arrays

from asr_seq2seq import __version__, bundled
from asr_seq2seq.config import LanguageModelDecoding, Settings, check
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.files import atomic_write
from asr_seq2seq.model_file.storage import blaming, described, read_arrays
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

FORMAT = "asr_seq2seq_words/1"
MOST_WORDS = 65_534  # in 16 bits, with the boundary of sentences and the unknown word
MOST_ORDERS = 6
MOST_CHARACTERS = 100  # in the alphabet: the table of spellings has the third power of it
LONGEST_WORD = 100
_STEPS = 256  # of shares, which are stored in 8 bits on a logarithmic scale

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HistoryLevel:
    """The n-grams of one order, by their histories.

    The histories are n-grams of the order below; `histories` (H,) has their places there, rising. `counts`
    (H,) tells how many n-grams each begins, at least one; `words` (n,) are their last words, rising within a
    history, `shares` (n,) their shares a(w | h); `rests` (H,) is g(h).
    """

    histories: Integers
    counts: Integers
    words: Integers
    shares: Floats
    rests: Floats


@dataclass(frozen=True)
class WordNgrams:
    """A word n-gram model.

    `words` are sorted; numbers of words are places there, then come the boundary (the end of a sentence, as
    a history its beginning) and any unknown word. `unigrams` (V,) sums to 1. `levels` are the orders from 2.
    `spelling` (A + 1, A + 1, A + 1) is log p of the last character of an unknown word given the two before;
    0 is both ends of a word, and the A characters of the alphabet follow.
    """

    words: tuple[str, ...]
    unigrams: Floats
    levels: tuple[HistoryLevel, ...]
    spelling: Floats
    alphabet: Alphabet
    normalizer: Normalizer
    decoding: LanguageModelDecoding = field(default_factory=LanguageModelDecoding)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def write_word_ngrams(path: Path, model: WordNgrams) -> None:
    """Write a model, all or nothing: 3 bytes an n-gram of order 2 and up."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "words": np.frombuffer("\n".join(model.words).encode(), np.uint8),
        "unigrams": model.unigrams.astype(np.float32),
        "spelling": model.spelling.astype(np.float16),
    }
    below = len(model.unigrams)
    for order, level in enumerate(model.levels, start=2):
        is_history = np.zeros(below, bool)
        is_history[level.histories] = True
        arrays[f"{order}.is_history"] = np.packbits(is_history)
        arrays[f"{order}.counts"] = level.counts.astype(np.uint16)
        arrays[f"{order}.words"] = level.words.astype(np.uint16)
        for name, values in (("shares", level.shares), ("rests", level.rests)):
            arrays[f"{order}.{name}"], arrays[f"{order}.{name}.steps"] = _quantized(values)
        below = len(level.words)
    metadata = {
        "format": FORMAT,
        "version": __version__,
        "config": {"orders": len(model.levels) + 1, "decoding": model.decoding.model_dump(exclude_none=True)},
        "alphabet": model.alphabet.to_json(),
        "normalizer": model.normalizer.name,
        "provenance": dict(model.provenance),
    }
    with atomic_write(path, "wb") as file:
        file.write(save_arrays(arrays, {"asr_seq2seq": json.dumps(metadata, ensure_ascii=False)}))


def _quantized(values: Floats) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Numbers from 0 -> places in a scale of 256 steps, the first of them 0, and the scale."""
    positive = values[values > 0]
    least, most = (positive.min(), positive.max()) if len(positive) else (1.0, 1.0)
    logs = np.linspace(math.log(least), math.log(most), _STEPS - 1)
    scale = np.concatenate([[0.0], np.exp(logs)]).astype(np.float32)
    width = (logs[-1] - logs[0]) / (_STEPS - 2) or 1.0
    with np.errstate(divide="ignore"):
        steps = np.where(values > 0, 1 + np.rint((np.log(values) - logs[0]) / width), 0)
    return steps.clip(0, _STEPS - 1).astype(np.uint8), scale


class _Settings(Settings):
    orders: int = Field(ge=2, le=MOST_ORDERS)
    decoding: LanguageModelDecoding


def read_word_ngrams(path: str | Path) -> WordNgrams:
    """Read a model of `train-lm`; ModelFileError in one sentence for a file that is none, or is damaged."""
    path = bundled.find(path)
    metadata, arrays = read_arrays(path, FORMAT)
    with blaming(path):
        config, alphabet, normalizer, provenance = described(metadata)
        settings = check(_Settings, config, "its configuration")
        reader = _Arrays(arrays)
        words = _words(reader.take("words", np.uint8), alphabet)
        size = len(words) + 2
        unigrams = reader.take("unigrams", np.float32, (size,)).astype(np.float64)
        _check(
            "unigrams", np.isfinite(unigrams).all() and (unigrams >= 0).all() and (unigrams[-2:] > 0).all()
        )
        unigrams /= unigrams.sum()
        levels, below = [], size
        for order in range(2, settings.orders + 1):
            levels.append(_level(reader, order, below, size))
            below = len(levels[-1].words)
        width = len(alphabet.characters) + 1
        _check("alphabet", width - 1 <= MOST_CHARACTERS)
        spelling = reader.take("spelling", np.float16, (width,) * 3).astype(np.float64)
        _check("spelling", np.isfinite(spelling).all() and (spelling <= 0).all())
        reader.check_empty()
    return WordNgrams(
        words, unigrams, tuple(levels), spelling, alphabet, normalizer, settings.decoding, provenance
    )


def _check(name: str, holds: bool | np.bool_) -> None:
    if not holds:
        raise ModelFileError(f"its {name} cannot be those of word n-grams")


class _Arrays:
    """The arrays of a file, each taken once, by its type and shape."""

    def __init__(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.arrays = dict(arrays)

    def take(
        self, name: str, kind: type[np.generic], shape: tuple[int, ...] | None = None
    ) -> npt.NDArray[Any]:
        """ModelFileError where it is missing, of another type or shape; any size without `shape`."""
        array = self.arrays.pop(name, None)
        fits = array is not None and (array.ndim == 1 if shape is None else array.shape == shape)
        if array is None or not fits or array.dtype != kind:
            raise ModelFileError(f"its array {name} is missing, or has another type or size than it should")
        return array

    def check_empty(self) -> None:
        """ModelFileError where arrays are left that no such file has."""
        if self.arrays:
            raise ModelFileError(f"it has an array {min(self.arrays)}, which no such file has")


def _words(content: npt.NDArray[np.uint8], alphabet: Alphabet) -> tuple[str, ...]:
    try:
        words = content.tobytes().decode().split("\n")
    except UnicodeDecodeError:
        raise ModelFileError("its words are no UTF-8 text") from None
    known = set(alphabet.characters) - {" "}
    _check("words", 1 <= len(words) <= MOST_WORDS and max(map(len, words)) <= LONGEST_WORD)
    _check("words", all(words) and set().union(*words) <= known)
    _check("words", all(one < other for one, other in pairwise(words)))
    return tuple(words)


def _level(reader: _Arrays, order: int, below: int, size: int) -> HistoryLevel:
    """The n-grams of an order; `below` n-grams can be histories, and there are `size` words."""
    packed = reader.take(f"{order}.is_history", np.uint8, (-(-below // 8),))
    histories = np.flatnonzero(np.unpackbits(packed, count=below))
    counts = reader.take(f"{order}.counts", np.uint16, (len(histories),)).astype(np.int64)
    words = reader.take(f"{order}.words", np.uint16, (int(counts.sum()),)).astype(np.int64)
    rising = np.diff(words) > 0
    starts = np.cumsum(counts)[:-1]
    _check(f"{order}.counts", (counts > 0).all())
    rising[starts - 1] = True
    _check(f"{order}.words", rising.all() and (words < size).all())
    shares = _values(reader, f"{order}.shares", len(words))
    rests = _values(reader, f"{order}.rests", len(histories))
    _check(f"{order}.rests", (rests <= 1).all())
    # Rounded on their way into the file: scaled so that all that may follow a history sums to 1.
    sums = np.add.reduceat(shares, np.concatenate([[0], starts])) if len(counts) else np.zeros(0)
    rests = np.where(sums > 0, rests, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(sums > 0, (1 - rests) / sums, 0.0)
    return HistoryLevel(histories, counts, words, shares * np.repeat(factors, counts), rests)


def _values(reader: _Arrays, name: str, count: int) -> Floats:
    scale = reader.take(f"{name}.steps", np.float32, (_STEPS,)).astype(np.float64)
    _check(name, np.isfinite(scale).all() and (scale >= 0).all() and (scale <= 1.01).all())
    values: Floats = scale[reader.take(name, np.uint8, (count,))]
    return np.minimum(values, 1.0)
