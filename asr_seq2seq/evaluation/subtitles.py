"""Texts of subtitles: SubRip (srt) and WebVTT (vtt), as `transcribe` and other programs write them."""

from __future__ import annotations

import html
import re
from pathlib import Path

from asr_seq2seq.errors import CorpusError, brief
from asr_seq2seq.evaluation.text import Text, Texts

_CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
TIMES = re.compile(rf"\s*{_CLOCK}[ \t]*-->[ \t]*{_CLOCK}(?:[ \t].*)?")
_TAGS = re.compile(r"</?[a-zA-Z][^<>]*>|</?[\d:.]+>|<c\.[^<>]*>|\{\\[^{}]*\}")
_NO_CUE = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")  # what a block of WebVTT other than a cue begins with


def read_subtitles(path: Path, content: str) -> Texts:
    """The cues of one recording, without numbers, times, tags and remarks; ``CorpusError`` names a line."""
    lines = [line.rstrip() for line in content.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    web = lines[0].startswith("WEBVTT")
    texts: list[str] = []
    spans: list[tuple[float, float]] = []
    for first, block in _blocks(lines[1:] if web else lines, 2 if web else 1):
        times = next((number for number, line in enumerate(block[:2]) if "-->" in line), None)
        where = f"{path}, line {first + (times or 0)}"
        if times is None:
            if web and (_NO_CUE.match(block[0]) or (not spans and first == 2)):  # headers end at a blank line
                continue
            if not web and spans and not any("-->" in line for line in block):
                texts[-1] = f"{texts[-1]} {_plain(block)}".strip()  # a blank line within a text
                continue
            raise CorpusError(f"{where}: a cue must have its times above its text; mend or delete it")
        found = TIMES.fullmatch(block[times])
        if not found or (times and not web and not block[0].strip().isdigit()):
            raise CorpusError(
                f"{where}: must be the times of a cue, 00:00:01,000 --> 00:00:02,000, under its number, not "
                f"{brief(block[times])!r}"
            )
        if any("-->" in line for line in block[times + 1 :]):
            raise CorpusError(f"{where}: two cues without a blank line between them; put one there")
        texts.append(_plain(block[times + 1 :]))
        spans.append((_seconds(found.groups()[:4]), _seconds(found.groups()[4:])))
    if not spans:
        raise CorpusError(f"{path}: holds no cue with times; give subtitles, srt or vtt")
    named = {str(number): Text(text) for number, text in enumerate(texts, start=1)}
    return Texts(named, spans=tuple(spans))


def _blocks(lines: list[str], first: int) -> list[tuple[int, list[str]]]:
    """Lines between blank ones, after the number of the first of them."""
    blocks: list[tuple[int, list[str]]] = []
    blank = True
    for number, line in enumerate(lines, start=first):
        if line.strip():
            if blank:
                blocks.append((number, []))
            blocks[-1][1].append(line)
        blank = not line.strip()
    return blocks


def _plain(lines: list[str]) -> str:
    return html.unescape(" ".join(_TAGS.sub("", line).strip() for line in lines)).strip()


def _seconds(clock: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, rest = clock
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + int((rest or "0").ljust(3, "0")) / 1000
