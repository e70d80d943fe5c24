"""Transcripts as files: one small function per output format, and one table of them.

Subtitles (srt, vtt) have a cue per segment. A segment whose words have times is split so that a cue is
at most two lines of 42 characters and seven seconds; one word alone may be more. Cues are in order, last
a millisecond at least and never overlap, and no text can be mistaken for the frame of the file.
"""

import difflib
import html
import json
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.files import atomic_write, output_error
from asr_seq2seq.transcript import Segment, Transcript

LINE_CHARACTERS = 42
CUE_LINES = 2
CUE_MILLISECONDS = 7000


@dataclass(frozen=True)
class Cue:
    """A line of text and when it is shown, in milliseconds."""

    start: int
    end: int
    text: str


def to_txt(transcript: Transcript, _name: str = "") -> str:
    """Return plain text, a line per segment; silence gives an empty file."""
    return "".join(segment.text + "\n" for segment in _segments(transcript) if segment.text)


def to_srt(transcript: Transcript, _name: str = "") -> str:
    """Return SubRip subtitles. They know no escapes, so an arrow ``-->`` in the text becomes ``->``."""
    blocks = []
    for number, cue in enumerate(cues(transcript), start=1):
        text = re.sub("-{2,}>", "->", _wrap(cue.text))
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(transcript: Transcript, _name: str = "") -> str:
    """Return WebVTT subtitles (W3C); ``&``, ``<`` and ``>`` in the text are escaped."""
    blocks = ["WEBVTT\n"]
    for cue in cues(transcript):
        text = html.escape(_wrap(cue.text), quote=False)
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def to_tsv(transcript: Transcript, _name: str = "") -> str:
    """Return whisper's table: start and end of each segment in milliseconds, and its text."""
    rows = [_whole(segment) for segment in _segments(transcript)]
    return "start\tend\ttext\n" + "".join(f"{row.start}\t{row.end}\t{row.text}\n" for row in rows if row.text)


def to_json(transcript: Transcript, _name: str = "") -> str:
    """Return whisper's JSON object (see :mod:`asr_seq2seq.transcript`) on one line."""
    return json.dumps(transcript.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"


def to_ctm(transcript: Transcript, name: str) -> str:
    """Return NIST's time marks, a word per line: sound, channel, start, duration, word, confidence.

    The sound is called ``name``, the channel is 1, times are seconds; the confidence is left out where it
    is not known, as the format allows. ``ConfigError`` if a word has no times: a line cannot be without.
    """
    sound = "_".join(name.split()).encode("utf-8", "replace").decode()  # names of files may be no text
    lines: list[tuple[int, str]] = []
    for segment in _segments(transcript):
        if segment.text.strip() and not segment.words:
            raise _no_times(name, segment, segment.text)
        for word in segment.words:
            if word.start is None or word.end is None:
                raise _no_times(name, segment, word.text)
            start, end = _milliseconds(word.start, word.end)
            sure = "" if word.confidence is None else f" {word.confidence:.4f}"
            if text := _one_line(word.text).replace(" ", "_"):
                line = f"{sound} 1 {start / 1000:.3f} {(end - start) / 1000:.3f} {text}{sure}\n"
                lines.append((start, line))
    return "".join(line for _, line in sorted(lines, key=lambda entry: entry[0]))


# The name of a format is also the ending of its files. A writer is given the transcript and the name of
# the sound, which is that of its file without folder and ending.
WRITERS: dict[str, Callable[[Transcript, str], str]] = {
    "txt": to_txt,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
    "json": to_json,
    "ctm": to_ctm,
}


def parse_formats(text: str) -> list[str]:
    """Return the formats of a comma-separated list, each once; ``all`` stands for every one.

    ``ConfigError`` for an unknown format, naming the nearest one.

    >>> parse_formats("json, txt,json")
    ['json', 'txt']
    """
    names: dict[str, None] = {}
    for name in (part.strip().lower() for part in text.split(",")):
        if name == "all":
            names.update(dict.fromkeys(WRITERS))
        elif name in WRITERS:
            names[name] = None
        else:
            nearest = difflib.get_close_matches(name, [*WRITERS, "all"], n=1, cutoff=0.0)[0]
            raise ConfigError(
                f'there is no output format "{name}": did you mean "{nearest}"? '
                f"(available: {', '.join(WRITERS)}, all)"
            )
    return list(names)


def are_written(folder: Path, stem: str, formats: Sequence[str]) -> bool:
    """Return whether every file that :func:`write` would make is there already."""
    try:
        return all(_path(folder, stem, name).is_file() for name in formats)
    except OSError:  # a name that the system does not allow, as `write` will say
        return False


def write(transcript: Transcript, folder: Path, stem: str, formats: Sequence[str]) -> list[Path]:
    """Write ``folder/stem.FORMAT`` for each of ``formats`` and return the paths in that order.

    ``folder`` is made if need be. Every file is complete or absent. ``OutputError`` if one cannot be
    written, ``KeyError`` for a format that :func:`parse_formats` would have refused. ``ConfigError`` if
    one of the formats cannot hold this transcript (:func:`to_ctm`); the others are written all the same.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    paths: list[Path] = []
    refused: ConfigError | None = None
    for name in formats:
        try:
            content = WRITERS[name](transcript, stem)
        except ConfigError as error:
            refused = error
            continue
        paths.append(_path(folder, stem, name))
        with atomic_write(paths[-1]) as file:
            file.write(content)
    if refused is not None:
        raise refused
    return paths


def write_attention(transcript: Transcript, folder: Path, stem: str) -> Path:
    """Write ``folder/stem.attention.npz``, which holds an array ``segment_ID`` for each that has one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    arrays = {f"segment_{s.id}": s.attention for s in transcript.segments if s.attention is not None}
    path = folder / f"{stem}.attention.npz"
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def cues(transcript: Transcript) -> list[Cue]:
    """Return the subtitles of a transcript, ordered and apart: each ends before the next one starts.

    >>> segments = Segment(0, 0.0, 2.0, "one", (), 0.0), Segment(1, 1.5, 3.0, "two", (), 0.0)
    >>> cues(Transcript("one two", segments, None, 3.0))
    [Cue(start=0, end=1500, text='one'), Cue(start=1500, end=3000, text='two')]
    """
    found = [cue for segment in _segments(transcript) for cue in _split(segment)]
    apart: list[Cue] = []
    for cue in sorted(found, key=lambda cue: cue.start):
        start = cue.start
        if apart:
            start = max(start, apart[-1].start + 1)
            apart[-1] = replace(apart[-1], end=min(apart[-1].end, start))
        apart.append(Cue(start, max(cue.end, start + 1), cue.text))
    return apart


def _path(folder: Path, stem: str, name: str) -> Path:
    return folder / f"{stem}.{name}"


def _split(segment: Segment) -> Iterator[Cue]:
    """The cues of one segment: as many as its words need, or one where their times are not known."""
    whole = _whole(segment)
    words = [
        Cue(*_milliseconds(word.start, word.end), text)
        for word in segment.words
        if word.start is not None and word.end is not None and (text := _one_line(word.text))
    ]
    if not whole.text:
        return
    if " ".join(word.text for word in words) != whole.text:  # a word is without times, or more than a word
        yield whole
        return
    cue = words[0]
    for word in words[1:]:
        longer = Cue(cue.start, word.end, f"{cue.text} {word.text}")
        if longer.end - longer.start > CUE_MILLISECONDS or _wrap(longer.text).count("\n") >= CUE_LINES:
            yield cue
            cue = word
        else:
            cue = longer
    yield cue


def _segments(transcript: Transcript) -> Sequence[Segment]:
    """The segments, or one for the whole text of a transcript that has none."""
    whole = Segment(0, 0.0, transcript.duration, transcript.text, (), 0.0)
    return transcript.segments or (whole,)


def _whole(segment: Segment) -> Cue:
    return Cue(*_milliseconds(segment.start, segment.end), _one_line(segment.text))


def _milliseconds(start: float, end: float) -> tuple[int, int]:
    """A stretch of seconds in whole milliseconds, from 0 on and never backwards."""
    first = max(0, round(start * 1000))
    return first, max(first, round(end * 1000))


def _one_line(text: str) -> str:
    """The text without control characters, each run of white space and line ends one space."""
    shown = (sign for sign in text if sign.isspace() or unicodedata.category(sign) != "Cc")
    return " ".join("".join(shown).split())


def _wrap(text: str) -> str:
    return textwrap.fill(text, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)


def _clock(milliseconds: int, mark: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{rest:03d}"


def _no_times(name: str, segment: Segment, text: str) -> ConfigError:
    why = f" ({segment.timing})" if segment.timing else ""
    return ConfigError(
        f'{name}.ctm cannot be written: "{textwrap.shorten(text, 40)}" has no word times{why}; '
        "use a model that gives them, or the other formats"
    )
