"""Files of references and of hypotheses, in the forms that the field uses, matched utterance by utterance.

The ending says which form it is: ``.jsonl`` or ``.json`` JSON lines (a manifest, or what ``evaluate`` wrote),
``.trn``, ``.stm`` and ``.ctm`` those of NIST, anything else plain lines.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.scoring.hypotheses import HypothesisLine, is_number

Key = str | int | float | bool

_TRN = re.compile(r"(.*)\(([^()]*)\)\s*")
_SPEAKER = re.compile(r"[^-_]+(?=[-_])")  # of an utterance's name, as NIST's `spu_id` has it
_REFERENCE = ("reference", "text")
_HYPOTHESIS = ("hypothesis", "pred_text", "text", "reference")
_SPOKEN = {*_REFERENCE, *_HYPOTHESIS}
_PLACES = {"id", "speaker", "keys", "audio_filepath", "feature_filepath", "offset", "duration"}
_NOT_KEYS = _SPOKEN | _PLACES | {"score", "n_best", "confidences"}
_UNSCORED = "ignore_time_segment_in_scoring"


@dataclass(frozen=True)
class Text:
    """What was said or heard in an utterance, and what else the file knows of it."""

    text: str
    speaker: str | None = None
    keys: Mapping[str, Key] = field(default_factory=dict)
    duration: float | None = None
    confidences: tuple[float, ...] = ()


def read_pairs(reference: Path, *hypotheses: Path) -> list[list[HypothesisLine]]:
    """Return for each file of hypotheses its utterances beside their references, in the references' order.

    ``CorpusError`` if a file cannot be read or a line of it understood, or if the files do not have the same
    utterances: nothing is passed over.
    """
    if reference.suffix == ".stm" and all(path.suffix == ".ctm" for path in hypotheses):
        truth, said = _read_stm(reference)
        heard = [_words_in(truth, said, path) for path in hypotheses]
    else:
        said = read_texts(reference, of_references=True)
        heard = [read_texts(path, of_references=False) for path in hypotheses]
    for path, texts in zip(hypotheses, heard, strict=True):
        _check_same(reference, said, path, texts)
    return [[_line(name, said[name], texts[name]) for name in said] for texts in heard]


def read_texts(path: Path, *, of_references: bool) -> dict[str, Text]:
    """Return the utterances of a file by their names; plain lines are called by their numbers."""
    if path.suffix in (".jsonl", ".json"):
        texts = dict(_once(path, _read_json(path, _REFERENCE if of_references else _HYPOTHESIS)))
    elif path.suffix == ".trn":
        texts = dict(_once(path, _read_trn(path)))
    elif path.suffix == ".stm":
        texts = _read_stm(path)[1]
    elif path.suffix == ".ctm":
        texts = {
            " ".join(place): Text(" ".join(w.text for w in words)) for place, words in _ctm(path).items()
        }
    else:
        content = _read(path)
        lines = content.removesuffix("\n").split("\n") if content else []
        texts = {str(number): Text(line) for number, line in enumerate(lines, start=1)}
    if not texts:
        raise CorpusError(f"{path}: holds no utterance; give a file with one a line")
    return texts


def _line(name: str, said: Text, heard: Text) -> HypothesisLine:
    return HypothesisLine(
        name,
        said.text,
        heard.text,
        duration=said.duration or heard.duration,
        speaker=said.speaker or heard.speaker,
        confidences=heard.confidences,
        keys={**heard.keys, **said.keys},
    )


def _check_same(reference: Path, said: Mapping[str, Text], path: Path, heard: Mapping[str, Text]) -> None:
    for one, other, few, many in ((reference, path, said, heard), (path, reference, heard, said)):
        missing = [name for name in many if name not in few]
        if missing:
            count = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
            raise CorpusError(
                f'{one}: the utterance "{missing[0]}"{count} of {other} is not there; both files must hold '
                "the same utterances, where nothing was heard with an empty text"
            )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CorpusError(
            f"cannot read {path}: {error.strerror}; check the path and its permissions"
        ) from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8 text; convert it, with iconv for example") from None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Lines that are neither blank nor a comment of NIST's, after the words that name their place."""
    # Not splitlines(): only \n ends a line of these forms, and texts may hold what else Unicode calls one.
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if line.strip() and not line.startswith(";;"):
            yield f"{path}, line {number}", line.removesuffix("\r")


def _once(path: Path, texts: Iterator[tuple[str, Text]]) -> Iterator[tuple[str, Text]]:
    seen: set[str] = set()
    for name, text in texts:
        if name in seen:
            raise CorpusError(f'{path}: the utterance "{name}" is there twice; delete or rename one of them')
        seen.add(name)
        yield name, text


def _read_trn(path: Path) -> Iterator[tuple[str, Text]]:
    for where, line in _lines(path):
        found = _TRN.fullmatch(line)
        if not found:
            raise CorpusError(f"{where}: must be a text and then its name in brackets: one two (ann_01)")
        name = found[2].strip()
        speaker = _SPEAKER.match(name)
        yield name, Text(found[1].strip(), speaker and speaker[0])


def _read_json(path: Path, spoken: tuple[str, ...]) -> Iterator[tuple[str, Text]]:
    for where, line in _lines(path):
        try:
            entry: Any = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise CorpusError(f"{where}: is not a JSON object; mend or delete the line")
        key = next((key for key in spoken if key in entry), spoken[0])
        text = entry.get(key)
        if not isinstance(text, str):
            raise CorpusError(f"{where}: the key `{key}` is missing or not text; add it")
        number = where.rpartition(" ")[2]
        place = entry.get("audio_filepath", entry.get("feature_filepath"))
        # As a manifest names its utterances, so that it goes together with what `evaluate` wrote.
        unnamed = number if place is None else f"{Path(str(place)).stem}@{number}"
        nested = entry["keys"] if isinstance(entry.get("keys"), dict) else {}
        known = {key: value for key, value in entry.items() if key not in _NOT_KEYS} | nested
        speaker, sure, seconds = (entry.get(key) for key in ("speaker", "confidences", "duration"))
        yield (
            str(entry.get("id", unnamed)),
            Text(
                text,
                None if speaker is None else str(speaker),
                {key: value for key, value in known.items() if isinstance(value, str) or is_number(value)},
                float(seconds) if is_number(seconds) else None,
                tuple(map(float, sure))
                if isinstance(sure, list) and all(map(is_number, sure)) and spoken == _HYPOTHESIS
                else (),
            ),
        )


@dataclass(frozen=True)
class _Span:
    """A word of a CTM, or a segment of an STM (its `text` is then the utterance's name)."""

    start: float
    end: float
    text: str


_Place = tuple[str, str]  # the sound's name and the channel


def _read_stm(path: Path) -> tuple[dict[_Place, list[_Span]], dict[str, Text]]:
    """Segments by their sound, in order of time, and the text of each that is to be scored."""
    segments: dict[_Place, list[_Span]] = defaultdict(list)
    texts: dict[str, Text] = {}
    for where, line in _lines(path):
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            raise CorpusError(f"{where}: must be sound, channel, speaker, start, end, and the text")
        sound, channel, speaker, start, end = fields[:5]
        text = fields[5] if len(fields) == 6 else ""
        labels, _, spoken = text[1:].partition(">") if text.startswith("<") else ("", "", text)
        name = f"{sound} {channel} {start} {end}"
        if name in texts:
            raise CorpusError(f"{where}: this stretch of {sound} is there twice; delete one of the lines")
        span = _Span(_seconds(start, where), _seconds(end, where), name)
        segments[sound, channel].append(span)
        if spoken.strip().lower() != _UNSCORED:
            keys = {"labels": labels} if labels else {}
            texts[name] = Text(spoken.strip(), speaker, keys, span.end - span.start)
    return {place: sorted(spans, key=lambda span: span.start) for place, spans in segments.items()}, texts


def _ctm(path: Path) -> dict[_Place, list[_Span]]:
    words: dict[_Place, list[_Span]] = defaultdict(list)
    for where, line in _lines(path):
        fields = line.split()
        if len(fields) not in (5, 6):
            raise CorpusError(f"{where}: must be sound, channel, start, duration, word [, confidence]")
        start = _seconds(fields[2], where)
        words[fields[0], fields[1]].append(_Span(start, start + _seconds(fields[3], where), fields[4]))
    return {place: sorted(spans, key=lambda span: span.start) for place, spans in words.items()}


def _words_in(truth: dict[_Place, list[_Span]], said: Mapping[str, Text], path: Path) -> dict[str, Text]:
    """The text of each segment: the words whose middle lies before its end, or behind the last one's."""
    heard: dict[str, list[str]] = {name: [] for name in said}
    for place, words in _ctm(path).items():
        if place not in truth:
            raise CorpusError(
                f"{path}: the references have no sound {place[0]}, channel {place[1]}; give the "
                "references of the same sounds"
            )
        spans = truth[place]
        for word in words:
            middle = (word.start + word.end) / 2
            span = next((span for span in spans if middle <= span.end), spans[-1])
            if span.text in heard:
                heard[span.text].append(word.text)
    return {name: Text(" ".join(words)) for name, words in heard.items()}


def _seconds(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise CorpusError(f"{where}: times must be numbers of seconds, not {text!r}")
    return seconds
