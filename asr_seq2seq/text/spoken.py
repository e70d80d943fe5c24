"""Write the numbers of English texts as they are said: 3 is three, $5.50 five dollars and fifty cents.

The words come from num2words; here is only what a figure means: a year, a time, an amount, a position.
What is said in more than one way is written in the commonest: 1984 is a year, 101 one hundred and one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from asr_seq2seq.extras import needed
from asr_seq2seq.text.written import DIGITS

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_SCALE = r"thousand|million|billion|trillion"
_MONEY = {"$": ("dollar", "cent", "cents"), "£": ("pound", "penny", "pence"), "€": ("euro", "cent", "cents")}
_LONGEST = 15  # digits of a number; more are said one by one
_SIGNS = {"%": "percent", "°": "degrees"}
_DIGITS = tuple(DIGITS)
FIGURES = re.compile("[0-9]")  # of which spoken text has none

_FORMS = re.compile(
    rf"""
    (?P<money>[$£€])\s?(?P<amount>{_NUMBER})(?:\.(?P<cents>[0-9]{{2}})(?![0-9])|(?P<part>\.[0-9]+))?
        (?:\s(?P<scale>{_SCALE})\b)?
    | (?P<hour>\b(?:[01]?[0-9]|2[0-3])):(?P<minute>[0-5][0-9])\b(?!:)
    | (?P<ordinal>{_NUMBER})(?:st|nd|rd|th)\b
    | (?P<decade>\b(?:1[1-9]|20)[0-9]0|\b[2-9]0)'?s\b
    | (?P<year>(?<![\d.,])(?:1[1-9][0-9]{{2}}|20[0-9]{{2}})(?![\d.,]*\d))
    | (?P<minus>(?<!\S)[-\u2212])?(?P<number>{_NUMBER})(?P<decimals>(?:\.[0-9]+)*)(?:\s?(?P<sign>[%°]))?
    """,
    re.VERBOSE | re.IGNORECASE,
)


def spoken(text: str) -> str:
    """Return `text` with every number of figures in words; MissingExtraError without num2words.

    >>> spoken("In 1984 the 2nd of 1,200 cost $5.50")
    'In nineteen eighty four the second of one thousand two hundred cost five dollars and fifty cents'
    """
    if not FIGURES.search(text):
        return text
    with needed("to write numbers as words", "numbers"):
        from num2words import num2words

    def words(value: str, to: str = "cardinal") -> str:
        digits = value.replace(",", "")
        if to == "cardinal" and (len(digits) > _LONGEST or (digits[0] == "0" and len(digits) > 1)):
            return _one_by_one(digits)
        if len(digits) > _LONGEST:
            return _one_by_one(digits) + "th"
        return str(num2words(int(digits), to=to)).replace("-", " ").replace(",", "")

    def said(found: re.Match[str]) -> str:
        before, behind = text[max(0, found.start() - 1) : found.start()], text[found.end() : found.end() + 1]
        return " " * before.isalnum() + _said(found.groupdict(), words) + " " * behind.isalnum()

    return _FORMS.sub(said, text)


def _said(found: dict[str, Any], words: Callable[..., str]) -> str:
    """What one form of `_FORMS` is in words."""
    if found["money"]:
        return _amount(found, words)
    if found["hour"]:
        return _time(found["hour"], found["minute"], words)
    if found["ordinal"]:
        return words(found["ordinal"], "ordinal")
    if found["decade"]:
        to = "year" if len(found["decade"]) == 4 else "cardinal"
        return re.sub("y$", "ie", words(found["decade"], to)) + "s"
    if found["year"]:
        return words(found["year"], "year")
    parts = ["minus"] if found["minus"] else []
    parts.append(words(found["number"]))
    for digits in found["decimals"].split(".")[1:]:
        parts += ["point", _one_by_one(digits)]
    if found["sign"]:
        parts.append(_SIGNS[found["sign"]])
    return " ".join(parts)


def _amount(found: dict[str, Any], words: Callable[..., str]) -> str:
    whole, cent, cents = _MONEY[found["money"]]
    amount = words(found["amount"])
    plural = whole if found["amount"] == "1" and not found["part"] and not found["scale"] else whole + "s"
    decimals = found["part"][1:] if found["part"] else found["cents"] if found["scale"] else None
    if decimals:
        amount += " point " + _one_by_one(decimals)
    if found["scale"]:
        return f"{amount} {found['scale']} {plural}"
    if found["cents"] and int(found["cents"]):
        small = words(str(int(found["cents"])))
        return f"{amount} {plural} and {small} {cent if int(found['cents']) == 1 else cents}"
    return f"{amount} {plural}"


def _time(hour: str, minute: str, words: Callable[..., str]) -> str:
    said = words(str(int(hour)))
    if minute == "00":
        return f"{said} o'clock" if 1 <= int(hour) <= 12 else f"{said} hundred"
    return f"{said} {'oh ' if minute[0] == '0' else ''}{words(str(int(minute)))}"


def _one_by_one(digits: str) -> str:
    return " ".join(_DIGITS[int(digit)] for digit in digits)
