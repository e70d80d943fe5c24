"""Transcripts as a TextGrid of Praat, long text form: a tier of utterances and a tier of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asr_seq2seq.transcript import Transcript

_Interval = tuple[float, float, str]


def to_textgrid(transcript: Transcript, _name: str = "") -> str:
    """Return intervals that fill each tier without a gap or an overlap; words without times are left out."""
    segments = [(s.start, s.end, s.text) for s in transcript.segments]
    words = [
        (word.start, word.end, word.text)
        for segment in transcript.segments
        for word in segment.words
        if word.start is not None and word.end is not None
    ]
    end = max([transcript.start + transcript.duration, 0.001, *(stop for _, stop, _ in segments + words)])
    tiers = [("utterances", segments), ("words", words)]
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {_time(end)}"]
    lines = [*head, "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers, start=1):
        filled = list(_filled(intervals, end))
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {_time(end)}",
            f"        intervals: size = {len(filled)}",
        ]
        for place, (start, stop, text) in enumerate(filled, start=1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {_time(start)}",
                f"            xmax = {_time(stop)}",
                f'            text = "{_quoted(text)}"',
            ]
    return "\n".join(lines) + "\n"


def _filled(intervals: Sequence[_Interval], end: float) -> Iterator[_Interval]:
    """The intervals in order, each at least a millisecond long, with empty ones between them."""
    done = 0.0
    for start, stop, text in sorted(intervals, key=lambda interval: interval[0]):
        first, last = round(max(start, done), 3), round(min(stop, end), 3)
        if last <= first:
            continue
        if first > done:
            yield done, first, ""
        yield first, last, text
        done = last
    if round(end, 3) > done or not intervals:
        yield done, end, ""


def _time(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    """Text inside of quotation marks, which are doubled; on one line."""
    return " ".join(text.split()).replace('"', '""')
