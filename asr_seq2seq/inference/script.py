"""A written text as a model can spell it, word by word; the words keep their own spelling beside that."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import UNKNOWN, Alphabet

_SENTENCE_END = re.compile("[.!?…。！？][^\\w\\s]*$")


@dataclass(frozen=True)
class ScriptWord:
    """A word as it is written, and the characters of it that a model knows; none where it knows no one."""

    text: str
    characters: tuple[int, ...]

    @property
    def ends_sentence(self) -> bool:
        """Whether a full stop, a question mark or the like stands behind it."""
        return _SENTENCE_END.search(self.text) is not None


@dataclass(frozen=True)
class Script:
    """The words of a text, and where each of its lines or paragraphs ends among them.

    `dropped` counts the characters that the model does not know.
    """

    words: tuple[ScriptWord, ...]
    ends: tuple[int, ...]
    dropped: Counter[str]

    def spelled(self, space: int) -> tuple[list[int], list[int], list[int], list[tuple[int, int]]]:
        """All characters (U,), the gaps between words, which of them are breaks, and each word's place.

        A gap is the position behind it, a place the (first, last + 1) position. Between words stands a space
        where the model knows it, with a gap on both sides; breaks are those between lines or sentences.
        """
        text: list[int] = []
        gaps: list[int] = []
        breaks: list[int] = []
        places: list[tuple[int, int]] = []
        parted = False  # a line or a sentence has ended since the last character
        for number, word in enumerate(self.words):
            if word.characters and text:
                positions = [len(text)]
                if space != UNKNOWN:
                    text.append(space)
                    positions.append(len(text))
                gaps += positions
                breaks += positions if parted else []
            parted = not word.characters and parted
            places.append((len(text), len(text) + len(word.characters)))
            text += word.characters
            parted = parted or word.ends_sentence or number + 1 in self._ends
        return text, gaps, breaks, places

    @cached_property
    def _ends(self) -> frozenset[int]:
        return frozenset(self.ends)


def read_script(parts: Iterable[str], alphabet: Alphabet, normalizer: Normalizer) -> Script:
    """Lines or paragraphs, normalized and spelled as the model was trained; empty ones are left out.

    Signs without a letter or a number belong to the word before them, or else to the one behind.
    """
    words: list[ScriptWord] = []
    ends: list[int] = []
    dropped: Counter[str] = Counter()
    for part in parts:
        for written in _words(part):
            words.append(ScriptWord(written, tuple(_spell(written, alphabet, normalizer, dropped))))
        if len(words) > (ends[-1] if ends else 0):
            ends.append(len(words))
    return Script(tuple(words), tuple(ends), dropped)


def paragraphs(lines: Iterable[str]) -> list[str]:
    """Lines -> paragraphs: what stands between empty lines."""
    found: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            found[-1].append(line.strip())
        elif found[-1]:
            found.append([])
    return [" ".join(part) for part in found if part]


def _words(text: str) -> list[str]:
    words: list[str] = []
    before = ""
    for written in text.split():
        if any(sign.isalnum() for sign in written):
            words.append(before + written)
            before = ""
        elif words:
            words[-1] += f" {written}"
        else:
            before += f"{written} "
    return words


def _spell(written: str, alphabet: Alphabet, normalizer: Normalizer, dropped: Counter[str]) -> Sequence[int]:
    """The characters of a normalized word; one that the model knows in the other case only is that one."""
    found: list[int] = []
    for sign in normalizer(written):
        ids = next(
            (ids for one in (sign, sign.lower(), sign.upper()) if _known(ids := alphabet.encode(one))), None
        )
        if ids is not None:
            found += ids
        elif not sign.isspace():
            dropped[sign] += 1
    space = alphabet.space
    while found and found[0] == space:
        del found[0]
    while found and found[-1] == space:
        del found[-1]
    return found


def _known(ids: Sequence[int]) -> bool:
    return UNKNOWN not in ids and len(ids) > 0
