"""Characters as numbers: the model reads and writes one Unicode code point at a time, so any script works."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asr_seq2seq.errors import CorpusError, ModelFileError, brief

PADDING = 0  # also the CTC blank: neither of the two ever stands for a character
START = 1
END = 2
UNKNOWN = 3
FIRST_CHARACTER = 4


@dataclass(frozen=True)
class Alphabet:
    """The characters a model can spell, sorted; their ids follow the four special ones.

    Every character is one code point that NFC leaves alone (combining marks are characters of their own
    where Unicode has no composed form). ``ValueError`` if one is repeated, out of order or not NFC.

    >>> alphabet = Alphabet.from_texts(["abba", "cab"])
    >>> alphabet.characters, len(alphabet)
    ('abc', 7)
    >>> alphabet.encode("bad")
    [5, 4, 3]
    >>> alphabet.decode([START, 5, 4, 3, END, 6])
    'ba�'
    """

    characters: str

    def __post_init__(self) -> None:
        for before, character in zip(self.characters, self.characters[1:], strict=False):
            if before == character:
                raise ValueError(f"the character {character!r} is repeated")
            if before > character:
                raise ValueError(f"the character {character!r} is out of order")
        for character in self.characters:
            if not unicodedata.is_normalized("NFC", character):
                raise ValueError(f"the character {character!r} is not in Unicode form NFC")

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Alphabet":
        """Return the alphabet of all characters in ``texts``; ``CorpusError`` if there are none."""
        found: set[str] = set()
        for text in texts:
            found.update(unicodedata.normalize("NFC", text))
        if not found:
            raise CorpusError(
                "the training text holds no characters, so there is no alphabet to learn: "
                "check the texts of the training corpus and its normalizer"
            )
        return cls("".join(sorted(found)))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: FIRST_CHARACTER + i for i, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return FIRST_CHARACTER + len(self.characters)

    def encode(self, text: str) -> list[int]:
        """Return one id per code point of the NFC form of ``text``, ``UNKNOWN`` for foreign ones.

        Start and end are not added.
        """
        return [self._ids.get(character, UNKNOWN) for character in unicodedata.normalize("NFC", text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the NFC text that ``ids`` spell up to ``END``.

        Padding and start are skipped and an unknown becomes the replacement character U+FFFD.
        ``IndexError`` for an id outside the alphabet.
        """
        spelled: list[str] = []
        for id_ in ids:
            if not 0 <= id_ < len(self):
                raise IndexError(f"id {id_} is outside the alphabet of {len(self)}")
            if id_ == END:
                break
            if id_ == UNKNOWN:
                spelled.append("\N{REPLACEMENT CHARACTER}")
            elif id_ >= FIRST_CHARACTER:
                spelled.append(self.characters[id_ - FIRST_CHARACTER])
        # A model may spell a letter and its accent apart although the composed character exists.
        return unicodedata.normalize("NFC", "".join(spelled))

    @property
    def space(self) -> int:
        """The id of the space; UNKNOWN, which no text holds, where words stand alone."""
        return self.encode(" ")[0]

    def to_json(self) -> list[str]:
        """Return the characters as a plain list, ready for ``json.dumps``."""
        return list(self.characters)

    @classmethod
    def from_json(cls, characters: Any) -> "Alphabet":
        """Return the alphabet of a list made by :meth:`to_json`; ``ModelFileError`` if it cannot be one."""
        if not isinstance(characters, list) or not characters:
            raise ModelFileError("the alphabet is not a list of characters")
        for entry in characters:
            if not isinstance(entry, str) or len(entry) != 1:
                raise ModelFileError(f"the alphabet entry {brief(repr(entry))} is not a single character")
        try:
            return cls("".join(characters))
        except ValueError as error:
            raise ModelFileError(f"in the alphabet, {error}") from error


# People type all of these where English means an apostrophe; the last one is a modifier letter.
