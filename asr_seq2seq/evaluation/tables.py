"""Texts in tables with a header: `.csv` and `.tsv`, as corpora and spreadsheets have them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from asr_seq2seq.errors import CorpusError, brief
from asr_seq2seq.evaluation.text import Key, Text, Texts, once

SOUND = ("audio_filepath", "path", "file", "wav", "audio", "file_name")
REFERENCE = ("reference",)
HYPOTHESIS = ("hypothesis", "pred_text", "prediction")
TEXT = ("text", "sentence", "transcript", "transcription")
_SPEAKER = ("speaker", "speaker_id", "client_id")
_TIMES = ("start", "end")
_MOST_COLUMNS = 1000


def columns_of(line: str, tabs: bool) -> list[str]:
    """The names in the first line of a table."""
    fields = line.split("\t") if tabs else next(csv.reader([line]), [])
    return [name.strip().lower() for name in fields]


def is_header(line: str) -> bool:
    """Whether a line names the columns of a table: of the text, and of what it belongs to."""
    for tabs in (True, False):
        try:
            names = columns_of(line, tabs)
        except csv.Error:
            continue
        place = {*SOUND, "id", *_TIMES, *HYPOTHESIS}
        if len(names) > 1 and place & set(names) and {*REFERENCE, *HYPOTHESIS, *TEXT} & set(names):
            return True
    return False


def read_table(path: Path, content: str, *, of_references: bool) -> Texts:
    """The rows of a table; ``CorpusError`` names the line that is wrong.

    A row is called by its ``id``, as a corpus in a table names it, or by its number. With columns ``start``
    and ``end`` and no sound it is the table that ``transcribe`` and whisper write, in milliseconds.
    """
    first = content.partition("\n")[0]
    tabs = path.suffix.lower() == ".tsv" or (path.suffix.lower() != ".csv" and "\t" in first)
    rows = csv.reader(
        io.StringIO(content, newline=""),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,  # spoken text is full of stray quotes
        strict=True,
    )
    try:
        columns = [name.strip().lower() for name in next(rows, [])]
        _check_header(path, columns)
        text = _text_column(path, columns, of_references)
        entries = list(_rows(path, rows, columns, tabs))
    except csv.Error as error:
        raise CorpusError(f"{path}, line {rows.line_num + 1}: {error}; mend its quotes") from None
    sound = next((name for name in SOUND if name in columns), None)
    if sound is None and "id" not in columns and {*_TIMES} <= {*columns}:
        spans = tuple(
            (_milliseconds(row["start"], where), _milliseconds(row["end"], where))
            for _, where, row in entries
        )
        named = {str(number): Text(row[text].strip()) for number, (_, _, row) in enumerate(entries, start=1)}
        return Texts(named, spans=spans)
    texts = (
        _utterance(number, line, row, text, sound) for number, (line, _, row) in enumerate(entries, start=1)
    )
    return Texts(once(path, texts))


def _check_header(path: Path, columns: Sequence[str]) -> None:
    if len(columns) > _MOST_COLUMNS:
        raise CorpusError(f"{path}, line 1: has more than {_MOST_COLUMNS} columns; give a table of texts")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise CorpusError(f'{path}, line 1: the column "{brief(twice)}" is there twice; rename one')


def _text_column(path: Path, columns: Sequence[str], of_references: bool) -> str:
    first = REFERENCE if of_references else HYPOTHESIS
    for names in (first, TEXT):
        found = [name for name in names if name in columns]
        if len(found) > 1:
            raise CorpusError(
                f"{path}, line 1: the columns {' and '.join(found)} mean the same; delete or rename one"
            )
        if found:
            return found[0]
    there, known = brief(", ".join(columns)) or "nothing", " or ".join((*first, *TEXT))
    raise CorpusError(f"{path}, line 1: no column holds the text; call it {known} (there is: {there})")


def _rows(
    path: Path, rows: Iterator[list[str]], columns: Sequence[str], tabs: bool
) -> Iterator[tuple[int, str, dict[str, str]]]:
    """The number of a row's last line, the words that name its place, and its fields."""
    for row in rows:
        if not row or row == [""]:
            continue
        number = int(rows.line_num)  # type: ignore[attr-defined]
        where = f"{path}, line {number}"
        if len(row) != len(columns):
            split = "tabs" if tabs else "commas (quote a text that holds one)"
            raise CorpusError(f"{where}: has not as many fields as the header; split it at {split}")
        yield number, where, dict(zip(columns, row, strict=True))


def _utterance(number: int, line: int, row: dict[str, str], text: str, sound: str | None) -> tuple[str, Text]:
    place = row.get(sound, "") if sound else ""
    name = row.get("id") or (f"{PurePath(place).stem}@{line}" if place else str(number))
    speaker = next((row[column] for column in _SPEAKER if row.get(column)), None)
    known = {*SOUND, *REFERENCE, *HYPOTHESIS, *TEXT, *_SPEAKER, "id", "duration", "offset"}
    keys: dict[str, Key] = {key: value for key, value in row.items() if value and key and key not in known}
    return name, Text(row[text].strip(), speaker, keys, _number(row.get("duration", "")), sound=place or None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _milliseconds(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise CorpusError(f"{where}: start and end must be numbers of milliseconds, not {brief(text)!r}")
    return value / 1000
