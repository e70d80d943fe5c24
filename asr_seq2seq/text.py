"""Text on its way into and out of the model: the alphabet of characters, and named normalisations.

The model spells: it reads and writes one Unicode code point at a time. An :class:`Alphabet` numbers the
code points that the training text holds, so any script works. A :class:`Normalizer` decides what counts
as the same text; its name is written into the model file, so it never changes under a name once released.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asr_seq2seq.errors import ConfigError, CorpusError, ModelFileError, brief

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
                "check the texts of the training corpus and its normaliser"
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
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u2032\u00b4`\u02bc", "'"))
_SEPARATORS = re.compile(r"[-\u2010-\u2015\u2212_/\\\u2044|]|\.{2,}")
_OUTER_APOSTROPHES = re.compile(r"(?<!\w)'|'(?!\w)")


def _compose(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _plain_characters(text: str) -> str:
    # Before NFKC, which would turn an acute accent into a space and a combining mark; and after it,
    # because it takes U+0149 apart into a modifier apostrophe and an n.
    return unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).translate(_APOSTROPHES)


def _lower(text: str) -> str:
    return text.lower()


def _separate(text: str) -> str:
    return _SEPARATORS.sub(" ", text)


def _drop_outer_apostrophes(text: str) -> str:
    return _OUTER_APOSTROPHES.sub("", text)


class _WithoutPunctuation(dict[int, int | None]):
    """A table for `str.translate` that is filled as characters are met: None takes one out."""

    def __missing__(self, code: int) -> int | None:
        sign = chr(code)
        stays = sign == "'" or sign.isspace() or unicodedata.category(sign)[0] not in "PSC"
        self[code] = code if stays else None
        return self[code]


_PUNCTUATION = _WithoutPunctuation()


def _drop_punctuation(text: str) -> str:
    return text.translate(_PUNCTUATION)


def _collapse(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True)
class _Step:
    words: str
    apply: Callable[[str], str]


_COMPOSE = _Step("compose characters and their combining marks (Unicode NFC)", _compose)
_COLLAPSE = _Step("make each run of white space one space, and remove it at both ends", _collapse)

# A released name keeps its steps for ever: a change of behaviour is a new version of the name.
_STEPS: dict[str, tuple[_Step, ...]] = {
    "none": (_COMPOSE, _COLLAPSE),
    "english-v1": (
        _Step("write apostrophe look-alikes as ' and compatibility forms plainly (NFKC)", _plain_characters),
        _Step("make everything lower case", _lower),
        _Step("make hyphens, dashes, slashes, bars, underscores and ellipses a space", _separate),
        _Step("remove apostrophes that are not inside a word", _drop_outer_apostrophes),
        _Step("remove all other punctuation, symbols and control characters; keep digits", _drop_punctuation),
        _COMPOSE,  # what stood between a letter and a mark may be gone
        _COLLAPSE,
    ),
}


@dataclass(frozen=True)
class Normalizer:
    """A named, fixed way to make texts comparable; applying it twice changes nothing more.

    >>> normalizer = Normalizer.named("english-v1")
    >>> normalizer("  “It’s a well-known fact,” she said… in 1984!")
    "it's a well known fact she said in 1984"
    >>> Normalizer.named("none").describe()[-1]
    'make each run of white space one space, and remove it at both ends'
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _STEPS:
            nearest = difflib.get_close_matches(self.name, _STEPS, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f'there is no normaliser named "{brief(self.name)}": did you mean "{nearest}"? '
                f"(available: {', '.join(_STEPS)})"
            )

    @classmethod
    def named(cls, name: str) -> "Normalizer":
        """Return the normaliser of this name; ``ConfigError`` with the nearest name if there is none."""
        return cls(name)

    def __call__(self, text: str) -> str:
        """Return ``text`` normalised."""
        for step in _STEPS[self.name]:
            text = step.apply(text)
        return text

    def describe(self) -> list[str]:
        """Return the steps in words, in the order in which they are applied."""
        return [step.words for step in _STEPS[self.name]]
