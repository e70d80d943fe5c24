"""Texts in lines without a form of their own: plain, or after a name as Kaldi's `text` has them.

Whether the first word of each line is a name does not show in a line. What is certain from all lines of all
files is read so; where both readings are possible, the user has to say which: a name is never counted as a
word, and no word is taken for a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Literal

from asr_seq2seq.errors import CorpusError, brief
from asr_seq2seq.evaluation.nist import TRN
from asr_seq2seq.evaluation.text import Text, Texts, once

Form = Literal["lines", "kaldi", "trn"]
FORMS: tuple[Form, ...] = ("lines", "kaldi", "trn")

# What stands in names of utterances and hardly at the beginning of a sentence: letters and digits with
# marks between them, or an underscore. "1st", "9:30", "mp3" and "covid-19" are words, but no text begins
# half of its lines with such, each another.
_NAME = re.compile(r"(?=.*\d)(?=.*[^\W\d]|.*[-./:])[\w.:/@+-]+|(?=.*\w_\w)[\w.:/@+-]+")
_OF_NAMES = re.compile(r"[\w.:/@+-]+")
_TIME = re.compile(r"\[?\d+:\d\d([:.,]\d+)*\b")
_LABEL = re.compile(r"(\d+(?:\.\d+)?)\t(\d+(?:\.\d+)?)\t(.*)")  # as Audacity exports them
_FEW = 10  # lines of so few may begin with different words by chance, in both files the same


def plain(content: str) -> list[str]:
    """All lines of a text; only a line feed ends one."""
    return [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")] if content else []


def first_words(content: str) -> list[str]:
    """What each line that is not blank begins with."""
    return [line.split(maxsplit=1)[0] for line in plain(content) if line.strip()]


def form_of(path: Path, content: str, others: Sequence[Set[str]]) -> Form:
    """How the lines of a file are read; ``others`` are names, or first words, of the files it goes with.

    ``CorpusError`` where more than one reading is possible.
    """
    lines = [line for line in plain(content) if line.strip()]
    if not lines:
        return "lines"
    timed = sum(bool(_TIME.match(line.strip())) for line in lines)
    if 2 * timed >= len(lines) and (len(lines) > 1 or lines[0].lstrip().startswith("[")):
        raise CorpusError(
            f"{path}: its lines begin with times, which are no words; give srt, vtt, stm or ctm"
        )
    if all(map(_LABEL.fullmatch, lines)):
        return "lines"
    if _are_trn(lines):
        return "trn"
    tabbed = sum("\t" in line for line in lines)
    if tabbed == len(lines) and len({line.partition("\t")[0] for line in lines}) == len(lines):
        return "kaldi"
    heads = first_words(content)
    named = sum(bool(_NAME.fullmatch(head)) for head in heads)
    distinct = len(set(heads)) == len(heads)
    shared = distinct and any(names == set(heads) for names in others)
    if named == len(heads) and distinct and (len(heads) > 1 or shared):
        return "kaldi"
    sure = 2 * named < len(heads) and 2 * tabbed < len(lines)
    possible = shared and all(map(_OF_NAMES.fullmatch, heads))
    if sure and not (possible and (len(heads) >= _FEW or not all(head.isalpha() for head in heads))):
        return "lines"
    raise CorpusError(
        f"{path}: its lines may begin with names of utterances ({brief(heads[0], 30)}) or with words; say "
        "which with --form kaldi or --form lines"
    )


def _are_trn(lines: Sequence[str]) -> bool:
    found = [TRN.fullmatch(line) for line in lines if not line.startswith(";;")]
    names = [match[2].strip() for match in found if match]
    return (
        len(names) == len(found) == len(set(names))
        and all(name and not re.search(r"\s", name) for name in names)
        and (len(names) > 1 or all(map(_NAME.fullmatch, names)))
    )


def read_lines(content: str) -> Texts:
    """Plain lines, called by their numbers."""
    labels = [_LABEL.fullmatch(line) for line in plain(content)]
    if labels and all(labels):
        found = [(float(match[1]), float(match[2]), match[3]) for match in labels if match]
        texts = {str(n): Text(text.strip()) for n, (_, _, text) in enumerate(found, start=1)}
        return Texts(texts, spans=tuple((start, end) for start, end, _ in found))
    named = {str(number): Text(line) for number, line in enumerate(plain(content), start=1)}
    return Texts(named, lines=True)


def read_kaldi(path: Path, content: str) -> Texts:
    """Lines of a name and the text behind it, after white space; after a tab, where every line has one."""
    lines = [(number, line) for number, line in enumerate(plain(content), start=1) if line.strip()]
    tabs = all("\t" in line for _, line in lines)

    def parted(number: int, line: str) -> tuple[str, Text]:
        if tabs:
            name, _, text = line.partition("\t")
        else:
            name, text = (*line.split(maxsplit=1), "")[:2]
        if tabs and "\t" in text:
            raise CorpusError(f"{path}, line {number}: has more than one tab; give a table a header, as .tsv")
        return name.strip(), Text(text.strip(), sound=name.strip() or None)

    return Texts(once(path, (parted(*line) for line in lines)))
