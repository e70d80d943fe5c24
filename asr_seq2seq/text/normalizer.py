"""Named text normalizers, which decide what counts as the same text.

The name of a :class:`Normalizer` is written into the model file, so what a name does never changes once
it is released.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from asr_seq2seq.errors import ConfigError, brief

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


def _speak_numbers(text: str) -> str:
    from asr_seq2seq.text.spoken import spoken

    return spoken(text)


@dataclass(frozen=True)
class _Step:
    words: str
    apply: Callable[[str], str]


_COMPOSE = _Step("compose characters and their combining marks (Unicode NFC)", _compose)
_COLLAPSE = _Step("make each run of white space one space, and remove it at both ends", _collapse)

_PLAIN = _Step("write apostrophe look-alikes as ' and compatibility forms plainly (NFKC)", _plain_characters)
_ENGLISH = (
    _Step("make everything lower case", _lower),
    _Step("make hyphens, dashes, slashes, bars, underscores and ellipses a space", _separate),
    _Step("remove apostrophes that are not inside a word", _drop_outer_apostrophes),
    _Step("remove all other punctuation, symbols and control characters; keep digits", _drop_punctuation),
    _COMPOSE,  # what stood between a letter and a mark may be gone
    _COLLAPSE,
)
_NUMBERS = _Step("write English numbers in figures as words (num2words)", _speak_numbers)

# A released name keeps its steps for ever: a change of behavior is a new version of the name.
_STEPS: dict[str, tuple[_Step, ...]] = {
    "none": (_COMPOSE, _COLLAPSE),
    "english-v1": (_PLAIN, *_ENGLISH),
    "english-v2": (_PLAIN, _NUMBERS, *_ENGLISH),
}
NAMES = tuple(_STEPS)
# What may follow a name: it writes fewer characters, and those as the name does.
LATER = {"english-v1": "english-v2"}


@dataclass(frozen=True)
class Normalizer:
    """A named, fixed way to make texts comparable; applying it twice changes nothing more.

    >>> normalizer = Normalizer.named("english-v1")
    >>> normalizer("  “It’s a well-known fact,” she said… in 1984!")
    "it's a well known fact she said in 1984"
    >>> Normalizer.named("english-v2")("In 1984!")
    'in nineteen eighty four'
    >>> Normalizer.named("none").describe()[-1]
    'make each run of white space one space, and remove it at both ends'
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _STEPS:
            nearest = difflib.get_close_matches(self.name, _STEPS, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f'there is no normalizer named "{brief(self.name)}": did you mean "{nearest}"? '
                f"(available: {', '.join(_STEPS)})"
            )

    @classmethod
    def named(cls, name: str) -> "Normalizer":
        """Return the normalizer of this name; ``ConfigError`` with the nearest name if there is none."""
        return cls(name)

    def __call__(self, text: str) -> str:
        """Return ``text`` normalized."""
        for step in _STEPS[self.name]:
            text = step.apply(text)
        return text

    def describe(self) -> list[str]:
        """Return the steps in words, in the order in which they are applied."""
        return [step.words for step in _STEPS[self.name]]
