"""Texts in the forms of NIST's sclite: trn, stm and ctm."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from asr_seq2seq.errors import CorpusError, brief
from asr_seq2seq.evaluation.text import Text, lines_of

TRN = re.compile(r"(.*)\(([^()]*)\)\s*")
_SPEAKER = re.compile(r"[^-_]+(?=[-_])")  # of an utterance's name, as NIST's `spu_id` has it
_UNSCORED = "ignore_time_segment_in_scoring"
_LONGEST = 1e9  # seconds

Place = tuple[str, str]  # the sound's name and the channel


@dataclass(frozen=True)
class Span:
    """A word of a CTM, or a segment of an STM (its `text` is then the utterance's name)."""

    start: float
    end: float
    text: str


def read_trn(path: Path, content: str) -> Iterator[tuple[str, Text]]:
    """The utterances of lines `text (name)`."""
    for where, line in lines_of(path, content):
        found = TRN.fullmatch(line)
        if not found:
            raise CorpusError(f"{where}: must be a text and then its name in brackets: one two (ann_01)")
        name = found[2].strip()
        speaker = _SPEAKER.match(name)
        yield name, Text(found[1].strip(), speaker and speaker[0])


def read_stm(path: Path, content: str) -> tuple[dict[Place, list[Span]], dict[str, Text]]:
    """Segments by their sound, in order of time, and the text of each that is to be scored."""
    segments: dict[Place, list[Span]] = defaultdict(list)
    texts: dict[str, Text] = {}
    names: set[str] = set()
    for where, line in lines_of(path, content):
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            raise CorpusError(f"{where}: must be sound, channel, speaker, start, end, and the text")
        sound, channel, speaker, start, end = fields[:5]
        text = fields[5] if len(fields) == 6 else ""
        labels, _, spoken = text[1:].partition(">") if text.startswith("<") else ("", "", text)
        name = f"{sound} {channel} {start} {end}"
        if name in names:
            raise CorpusError(
                f"{where}: this stretch of {brief(sound)} is there twice; delete one of the lines"
            )
        names.add(name)
        span = Span(_seconds(start, where), _seconds(end, where), name)
        segments[sound, channel].append(span)
        if spoken.strip().lower() != _UNSCORED:
            keys = {"labels": labels} if labels else {}
            texts[name] = Text(spoken.strip(), speaker, keys, span.end - span.start)
    return {place: sorted(spans, key=lambda span: span.start) for place, spans in segments.items()}, texts


def read_ctm(path: Path, content: str) -> dict[Place, list[Span]]:
    """The words of each sound, in order of time."""
    words: dict[Place, list[Span]] = defaultdict(list)
    for where, line in lines_of(path, content):
        fields = line.split()
        if len(fields) not in (5, 6):
            raise CorpusError(f"{where}: must be sound, channel, start, duration, word [, confidence]")
        start = _seconds(fields[2], where)
        words[fields[0], fields[1]].append(Span(start, start + _seconds(fields[3], where), fields[4]))
    return {place: sorted(spans, key=lambda span: span.start) for place, spans in words.items()}


def words_in(
    segments: Mapping[Place, list[Span]],
    references: Mapping[str, Text],
    path: Path,
    words: Mapping[Place, list[Span]],
) -> dict[str, Text]:
    """The text of each segment: the words whose middle lies before its end, or behind the last one's."""
    found: dict[str, list[str]] = {name: [] for name in references}
    for place, of_sound in words.items():
        if place not in segments:
            raise CorpusError(
                f"{path}: the references have no sound {brief(place[0])}, channel {brief(place[1])}; give "
                "the references of the same sounds"
            )
        spans = segments[place]
        for word in of_sound:
            middle = (word.start + word.end) / 2
            span = next((span for span in spans if middle <= span.end), spans[-1])
            if span.text in found:
                found[span.text].append(word.text)
    return {name: Text(" ".join(words)) for name, words in found.items()}


def _seconds(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < _LONGEST:
        raise CorpusError(f"{where}: times must be numbers of seconds, not {brief(text)!r}")
    return seconds
