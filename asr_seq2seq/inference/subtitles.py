"""Transcripts as subtitle cues of at most two lines of 42 columns and seven seconds, whatever the script.

Words stay whole. Where a script has no spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese ...) a cue and a
line end after punctuation or else between two grapheme clusters, and so does a word that is longer than a
line. Wide characters (Unicode Standard Annex 11) take two columns, combining marks none. Words that have
no times of their own get theirs from those around them, in proportion to their columns.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from asr_seq2seq.transcript import Segment, Transcript

LINE_COLUMNS = 42
CUE_LINES = 2
CUE_MILLISECONDS = 7000
_UNIT_COLUMNS = 20  # of letters or marks that are kept together inside a text without spaces

# Patterns, compiled when they are first used.
# Han, kana, bopomofo, Yi, Tai, Thai, Lao, Tibetan, Burmese, Khmer: scripts whose words no space parts.
_SPACELESS = (
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u2e80-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\ua4cf\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9d\U0001aff0-\U0001b16f"
    "\U00020000-\U0003ffff]"
)
_BEFORE = "[\u0e40-\u0e44\u0ec0-\u0ec4\u200d]"  # what stands after these belongs to them
_AFTER = "[\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3\u1160-\u11ff\u200c\u200d\u30fc\U0001f3fb-\U0001f3ff]"
_FLAG = "[\U0001f1e6-\U0001f1ff]"
_PUNCTUATION = ("Pe", "Pf", "Po")
_VIRAMA = 9  # the combining class of signs that join the letters beside them


@dataclass(frozen=True)
class Cue:
    """A text and when it is shown, in milliseconds."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class _Part:
    """Text that stays together, when it is spoken, and the space or nothing before it."""

    start: int
    end: int
    text: str
    before: str


def cues(transcript: Transcript) -> list[Cue]:
    """Return the subtitles of a transcript, ordered and apart: each ends before the next one starts.

    >>> segments = Segment(0, 0.0, 2.0, "one", (), 0.0), Segment(1, 1.5, 3.0, "two", (), 0.0)
    >>> cues(Transcript("one two", segments, None, 3.0))
    [Cue(start=0, end=1500, text='one'), Cue(start=1500, end=3000, text='two')]
    """
    found = [cue for segment in segments_of(transcript) for cue in _cues(segment)]
    apart: list[Cue] = []
    for cue in sorted(found, key=lambda cue: cue.start):
        start = cue.start
        if apart:
            start = max(start, apart[-1].start + 1)
            apart[-1] = replace(apart[-1], end=min(apart[-1].end, start))
        apart.append(Cue(start, max(min(cue.end, start + CUE_MILLISECONDS), start + 1), cue.text))
    return apart


def wrap(text: str) -> str:
    """Text -> its lines, none of them over :data:`LINE_COLUMNS`."""
    lines = [""]
    for word in text.split():
        before = " " if lines[-1] else ""
        for unit in _units(word):
            if lines[-1] and columns(lines[-1] + before + unit) > LINE_COLUMNS:
                lines.append(unit)
            else:
                lines[-1] += before + unit
            before = ""
    return "\n".join(lines)


def columns(text: str) -> int:
    """How many columns a text takes: wide characters two, marks that stand on others none."""
    return sum(_columns(sign) for sign in text)


def segments_of(transcript: Transcript) -> Sequence[Segment]:
    """The segments, or one for the whole text of a transcript that has none."""
    end = transcript.start + transcript.duration
    whole = Segment(0, transcript.start, end, transcript.text, (), 0.0)
    return transcript.segments or (whole,)


def whole_cue(segment: Segment) -> Cue:
    """A segment as one cue, however long."""
    return Cue(*milliseconds(segment.start, segment.end), one_line(segment.text))


def milliseconds(start: float, end: float) -> tuple[int, int]:
    """A stretch of seconds in whole milliseconds, from 0 on and never backwards."""
    first = max(0, round(start * 1000))
    return first, max(first, round(end * 1000))


def one_line(text: str) -> str:
    """The text without control characters, each run of white space and line ends one space."""
    shown = (sign for sign in text if sign.isspace() or unicodedata.category(sign) != "Cc")
    return " ".join("".join(shown).split())


def _cues(segment: Segment) -> Iterator[Cue]:
    """The cues of one segment: as many as the limits need."""
    held: list[_Part] = []
    for part in _parts(segment):
        if held and not _fits([*held, part]):
            end = _end_of_cue(held, part)
            yield _cue(held[:end])
            held = held[end:]
            if held and not _fits([*held, part]):
                yield _cue(held)
                held = []
        held.append(part)
    if held:
        yield _cue(held)


def _cue(parts: Sequence[_Part]) -> Cue:
    return Cue(parts[0].start, parts[-1].end, "".join(part.before + part.text for part in parts).strip())


def _fits(parts: Sequence[_Part]) -> bool:
    cue = _cue(parts)
    return cue.end - cue.start <= CUE_MILLISECONDS and wrap(cue.text).count("\n") < CUE_LINES


def _end_of_cue(held: Sequence[_Part], following: _Part) -> int:
    """How many parts a full cue has: all, or in a text without spaces up to the last punctuation."""
    if following.before:
        return len(held)
    parts = [*held, following]
    for count in range(len(held), len(held) // 2, -1):
        if parts[count].before or unicodedata.category(parts[count - 1].text[-1]) in _PUNCTUATION:
            return count
    return len(held)


def _parts(segment: Segment) -> Iterator[_Part]:
    """The text of a segment in parts that stay together, each with its time."""
    latest = 0  # words of other programs may overlap; the order of the text is kept
    for begin, stop, text, before in _timed_words(segment, whole_cue(segment)):
        units = list(_units(text))
        start = max(begin, latest)
        end = max(stop, start)
        total, done = max(1, columns(text)), 0
        for unit in units:
            first = latest = start + (end - start) * done // total
            done += columns(unit)
            yield _Part(first, start + (end - start) * done // total, unit, before)
            before = ""


def _timed_words(segment: Segment, whole: Cue) -> Iterator[tuple[int, int, str, str]]:
    """Start, end, text and what stands before, of each word; of the text alone where a word has no time."""
    found: list[tuple[int, int, str, str]] = []
    at = 0
    for word in segment.words:
        text = one_line(word.text)
        if not text:
            continue
        before = " " if whole.text[at : at + 1] == " " else ""
        at += len(before)
        if word.start is None or word.end is None or not whole.text.startswith(text, at):
            break
        found.append((*milliseconds(word.start, word.end), text, before))
        at += len(text)
    if at == len(whole.text):
        yield from found
        return
    total, done = max(1, columns(whole.text)), 0
    for text in whole.text.split():
        before = " " if done else ""
        first = whole.start + (whole.end - whole.start) * (done + len(before)) // total
        done += len(before) + columns(text)
        yield first, whole.start + (whole.end - whole.start) * done // total, text, before


def _units(word: str) -> Iterator[str]:
    """What of a word stays on one line: all of it, or, of a script without spaces, what belongs together."""
    spaceless = re.search(_SPACELESS, word) is not None
    if not spaceless and columns(word) <= LINE_COLUMNS:
        yield word
        return
    unit = ""
    for cluster in _clusters(word):
        joined = unit and columns(unit + cluster) <= _UNIT_COLUMNS and spaceless and _together(unit, cluster)
        if unit and not joined:
            yield unit
            unit = ""
        unit += cluster
    if unit:
        yield unit


def _together(unit: str, cluster: str) -> bool:
    """Whether no line should end between these: before closing marks, after opening ones, in letters."""
    last, first = unit[-1], cluster[0]
    if unicodedata.category(first) in _PUNCTUATION or unicodedata.category(last) in ("Ps", "Pi"):
        return True
    return all(sign.isalnum() and not re.match(_SPACELESS, sign) for sign in (last, first))


def _clusters(text: str) -> Iterator[str]:
    """Grapheme clusters (Unicode Standard Annex 29, as far as a category and a few ranges tell them)."""
    cluster = ""
    for sign in text:
        belongs = (
            unicodedata.category(sign) in ("Mn", "Mc", "Me")
            or re.match(_AFTER, sign)
            or (cluster and (re.match(_BEFORE, cluster[-1]) or unicodedata.combining(cluster[-1]) == _VIRAMA))
            or (len(cluster) == 1 and re.match(_FLAG, cluster) and re.match(_FLAG, sign))
        )
        if cluster and not (belongs and columns(cluster + sign) <= LINE_COLUMNS // 2):
            yield cluster
            cluster = ""
        cluster += sign
    if cluster:
        yield cluster


def _columns(sign: str) -> int:
    if unicodedata.category(sign) in ("Mn", "Me", "Cf") or "\u1160" <= sign <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
