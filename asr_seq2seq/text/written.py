"""Write recognized English as people write it: numbers in digits, capitals, ends of sentences.

Rules for English words in lower case, as models put them out, whatever model it was (inverse text
normalization; Ebden and Sproat 2015 describe the same by transducers). What is not certain stays in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr_seq2seq.errors import ConfigError

STYLES = ("plain", "written")


def _numbered(words: str, first: int, step: int = 1) -> dict[str, int]:
    return {word: step * number for number, word in enumerate(words.split(), first)}


DIGITS = _numbered("zero one two three four five six seven eight nine", 0)
_TEENS = _numbered("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10)
_TENS = _numbered("twenty thirty forty fifty sixty seventy eighty ninety", 2, 10)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = {
    "first": "one",
    "second": "two",
    "third": "three",
    "fourth": "four",
    "fifth": "five",
    "sixth": "six",
    "seventh": "seven",
    "eighth": "eight",
    "ninth": "nine",
    "tenth": "ten",
    "eleventh": "eleven",
    "twelfth": "twelve",
    **{f"{word}th": word for word in list(_TEENS)[3:]},
    **{f"{word[:-1]}ieth": word for word in _TENS},
    "hundredth": "hundred",
    **{f"{word}th": word for word in _SCALES},
}
_SPOKEN = {*DIGITS, *_TEENS, *_TENS, *_SCALES, "hundred"}
_SMALLEST = 10  # alone, smaller numbers stay in words, as is usual in print


@dataclass(frozen=True)
class Token:
    """A written word, and which of the recognized words it stands for: `first` to before `stop`."""

    text: str
    first: int
    stop: int


def check_style(style: str) -> str:
    """The same; ConfigError for a style that there is not."""
    if style not in STYLES:
        raise ConfigError(f"there is no style called {style}: give {' or '.join(STYLES)}")
    return style


def write(text: str) -> str:
    """A segment's text in its written form.

    >>> write("i paid twenty five dollars in nineteen ninety nine")
    'I paid 25 dollars in 1999.'
    >>> write("call five five five one two three four")
    'Call 5551234.'
    >>> write("three point one four percent of the twenty first")
    '3.14% of the 21st.'
    """
    return " ".join(token.text for token in tokens(text.split()))


def tokens(words: Sequence[str]) -> list[Token]:
    """Recognized words of one segment -> its written words, each with those that it stands for."""
    found: list[Token] = []
    place, unsure = 0, False  # whether the number before was left in words
    while place < len(words):
        token = None if unsure and words[place] in _SPOKEN else _number(words, place)
        unsure = token is None and words[place] in _SPOKEN and words[place] not in DIGITS
        token = token or Token(_word(words[place]), place, place + 1)
        found.append(token)
        place = token.stop
    if found:
        first = found[0]
        found[0] = Token(first.text[:1].upper() + first.text[1:], first.first, first.stop)
        last = found[-1]
        found[-1] = Token(f"{last.text}.", last.first, last.stop)
    return found


def _word(word: str) -> str:
    return "I" + word[1:] if word == "i" or word.startswith("i'") else word


def _number(words: Sequence[str], place: int) -> Token | None:
    """The number that begins at a place, or None."""
    if digits := _digit_string(words, place):
        return digits
    if year := _year(words, place):
        return year
    value, stop = _cardinal(words, place)
    ordinal = _ordinal(words, place, value, stop)
    if ordinal is not None:
        return ordinal
    if value is None:
        return None
    text, after = str(value), stop
    if words[stop : stop + 1] == ["point"] and (decimals := _digits(words, stop + 1)):
        text, after = f"{value}.{decimals}", stop + 1 + len(decimals)
    if words[after : after + 1] == ["percent"]:
        return Token(f"{text}%", place, after + 1)
    if words[after : after + 2] == ["per", "cent"]:
        return Token(f"{text}%", place, after + 2)
    if after == stop and value < _SMALLEST:
        return None
    if after == stop and stop < len(words) and words[stop] in _SPOKEN:
        return None if stop == place + 1 and value >= _SMALLEST else Token(_grouped(value), place, stop)
    return Token(_grouped(value) if after == stop else text, place, after)


def _grouped(value: int) -> str:
    """Digits with a comma at each thousand from ten thousand on, so that years have none."""
    return f"{value:,}" if value >= 10_000 else str(value)


def _digits(words: Sequence[str], place: int) -> str:
    """The digits that are named one by one from a place on."""
    found = ""
    while place < len(words) and words[place] in DIGITS:
        found += str(DIGITS[words[place]])
        place += 1
    return found


def _digit_string(words: Sequence[str], place: int) -> Token | None:
    """Two or more digits named one by one, unless a larger number begins with the last of them."""
    digits = _digits(words, place)
    stop = place + len(digits)
    if digits and stop < len(words) and (words[stop] in _SCALES or words[stop] in ("hundred", "point")):
        digits = digits[:-1]
    if len(digits) < 2:
        return None
    return Token(digits, place, place + len(digits))


def _year(words: Sequence[str], place: int) -> Token | None:
    """A year in two halves: nineteen eighty four, nineteen oh five, twenty twenty."""
    century, stop = _below_hundred(words, place)
    if century is None or stop != place + 1 or not 13 <= century <= 20 or stop >= len(words):
        return None
    if words[stop] in ("oh", "o") and _digits(words, stop + 1)[:1] not in ("", "0"):
        year, end = DIGITS[words[stop + 1]], stop + 2
    else:
        found, end = _below_hundred(words, stop)
        if found is None or found < 10:
            return None
        year = found
    if end < len(words) and words[end] in (*_SPOKEN, "point", "percent"):
        return None
    return Token(str(100 * century + year), place, end)


def _below_hundred(words: Sequence[str], place: int) -> tuple[int | None, int]:
    """A number below a hundred at a place, and where it ends."""
    if place >= len(words):
        return None, place
    word = words[place]
    if word in _TENS:
        following = DIGITS.get(words[place + 1], 0) if place + 1 < len(words) else 0
        return (_TENS[word] + following, place + 2) if following else (_TENS[word], place + 1)
    value = DIGITS.get(word, _TEENS.get(word))
    return value, place + (value is not None)


def _below_thousand(words: Sequence[str], place: int) -> tuple[int | None, int]:
    """A number below a thousand, or some hundreds up to ninety nine, and where it ends."""
    value, stop = _below_hundred(words, place)
    if value and words[stop : stop + 1] == ["hundred"]:
        value, stop = 100 * value, stop + 1
        joined = stop + (words[stop : stop + 1] == ["and"])
        rest, end = _below_hundred(words, joined)
        if rest and words[end : end + 1] != ["hundred"]:  # which begins the next number
            return value + rest, end
    return value, stop


def _cardinal(words: Sequence[str], place: int) -> tuple[int | None, int]:
    """A number at a place in falling scales, and where it ends."""
    total, stop, scale = 0, place, max(_SCALES.values()) * 1000
    found = False
    while True:
        joined = stop + (found and words[stop : stop + 1] == ["and"])
        value, end = _below_thousand(words, joined)
        if value is None or (found and not value):
            break
        own = _SCALES.get(words[end], 1) if end < len(words) else 1
        if own >= scale or (found and joined > stop and own > 1):
            break
        total, stop, scale, found = total + value * own, end + (own > 1), own, True
        if own == 1:
            break
    return (total, stop) if found else (None, place)


def _ordinal(words: Sequence[str], place: int, value: int | None, stop: int) -> Token | None:
    """A number whose last word is an ordinal: twenty first, the hundred and tenth; first to ninth stay."""
    if stop < len(words) and words[stop] in _ORDINALS:
        last = stop
    elif words[stop : stop + 1] == ["and"] and stop + 1 < len(words) and words[stop + 1] in _ORDINALS:
        last = stop + 1
    else:
        return None
    if value is None and last == place and words[last] in ("first", "second", "third", "hundredth"):
        return None
    as_cardinal = [*words[place:last], _ORDINALS[words[last]]]
    whole, end = _cardinal(as_cardinal, 0)
    if whole is None or end != len(as_cardinal) or whole < _SMALLEST:
        return None
    teens = 10 < whole % 100 < 20
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return Token(f"{_grouped(whole)}{ending}", place, last + 1)
