"""Texts in JSON: lines as manifests and `evaluate` write them, lists, and what `transcribe` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.hypotheses import is_number
from asr_seq2seq.evaluation.text import Text, Texts, lines_of, once

_REFERENCE = ("reference", "text")
_HYPOTHESIS = ("hypothesis", "pred_text", "text", "reference")
_SPOKEN = {*_REFERENCE, *_HYPOTHESIS}
_PLACES = {"id", "speaker", "keys", "audio_filepath", "feature_filepath", "file", "offset", "duration"}
_NOT_KEYS = _SPOKEN | _PLACES | {"score", "n_best", "confidences"}


def read_json(path: Path, content: str, *, of_references: bool) -> Texts:
    """The utterances of JSON lines, a list or ``{"files": [...]}``, or the segments of one transcript."""
    spoken = _REFERENCE if of_references else _HYPOTHESIS
    whole = _parsed(content)
    if isinstance(whole, dict) and isinstance(whole.get("files"), list):  # transcribe --json, many files
        if whole.get("failed"):
            raise CorpusError(
                f"{path}: files that failed have no text here; transcribe them, or score others"
            )
        whole = whole["files"]
    if isinstance(whole, dict) and isinstance(whole.get("segments"), list):
        return _transcript(path, whole)
    entries: Iterator[tuple[str, int, Any]]
    if isinstance(whole, list) and any(isinstance(one, dict) for one in whole):
        entries = ((f"{path}, entry {number}", number, one) for number, one in enumerate(whole, start=1))
    elif isinstance(whole, dict):
        entries = iter([(f"{path}, line 1", 1, whole)])
    else:
        entries = (
            (where, int(where.rpartition(" ")[2]), _parsed(line)) for where, line in lines_of(path, content)
        )
    return Texts(once(path, (_utterance(*entry, spoken) for entry in entries)))


def _parsed(text: str) -> Any:
    """The value of a JSON text; None for a text that is none. NaN and infinities are let through."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _utterance(where: str, number: int, entry: Any, spoken: tuple[str, ...]) -> tuple[str, Text]:
    if not isinstance(entry, dict):
        raise CorpusError(f"{where}: is not a JSON object; mend or delete the line")
    key = next((key for key in spoken if key in entry), spoken[0])
    text = entry.get(key)
    if not isinstance(text, str):
        raise CorpusError(f"{where}: the key `{key}` is missing or not text; add it")
    places = ("audio_filepath", "feature_filepath", "file")
    place = next((entry[place] for place in places if entry.get(place) is not None), None)
    name, speaker = entry.get("id"), entry.get("speaker")
    for known, value, kinds in (
        ("id", name, str | int),
        ("speaker", speaker, str | int),
        ("sound", place, str),
    ):
        if value is not None and not isinstance(value, kinds):
            raise CorpusError(f"{where}: the {known} must be text; mend or delete it")
    # As a manifest names its utterances, so that it goes together with what `evaluate` wrote.
    unnamed = str(number) if place is None else f"{PurePath(place).stem}@{number}"
    nested = entry["keys"] if isinstance(entry.get("keys"), dict) else {}
    keys = {key: value for key, value in entry.items() if key not in _NOT_KEYS} | nested
    sure, seconds = entry.get("confidences"), entry.get("duration")
    known_sure = spoken == _HYPOTHESIS and isinstance(sure, list) and all(map(is_number, sure))
    try:
        return (
            unnamed if name is None else str(name),
            Text(
                text,
                None if speaker is None else str(speaker),
                {key: value for key, value in keys.items() if isinstance(value, str) or is_number(value)},
                float(seconds) if is_number(seconds) and seconds > 0 else None,
                tuple(map(float, sure)) if known_sure and sure else (),
                sound=place,
            ),
        )
    except ValueError:  # of an integer of thousands of digits
        raise CorpusError(f"{where}: the id or speaker is too long a number; mend it") from None


def _transcript(path: Path, whole: dict[str, Any]) -> Texts:
    """What `transcribe -f json`, whisper and others write: one recording in segments."""
    texts, spans = [], []
    for number, segment in enumerate(whole["segments"], start=1):
        known = segment if isinstance(segment, dict) else {}
        text, start, end = (known.get(name) for name in ("text", "start", "end"))
        if not isinstance(text, str):
            raise CorpusError(f"{path}, segment {number}: the key `text` is missing or not text; add it")
        texts.append(text.strip())
        spans.append(
            (float(start), float(end)) if is_number(start) and is_number(end) else (-1.0, float(number))
        )
    if not texts and isinstance(whole.get("text"), str):
        texts, spans = [whole["text"].strip()], [(-1.0, -1.0)]
    return Texts({str(n): Text(text) for n, text in enumerate(texts, start=1)}, spans=tuple(spans))


def is_json(content: str) -> bool:
    """Whether a text begins with a JSON object, or with a list of them."""
    start = content.lstrip()
    if not start.startswith(("{", "[")):
        return False
    first = start.partition("\n")[0]
    return any(
        isinstance(found, dict) or (isinstance(found, list) and bool(found) and isinstance(found[0], dict))
        for found in (_parsed(first), _parsed(start))
    )
