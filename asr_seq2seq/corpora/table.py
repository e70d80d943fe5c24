"""A table with a header: `.csv`, split at commas and quoted with ", or `.tsv`, split at tabs, no quoting.

Where the header can only be read when it is split at semicolons, tabs, commas or bars, the table is. The
columns have the names of a manifest's keys, in any case; an empty cell counts as not given, and any other
column is kept with the utterance. Paths are relative to the table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asr_seq2seq.corpora.fields import SYNONYMS, pick
from asr_seq2seq.corpora.lines import open_text, read_keys, read_lines, to_channel, to_seconds
from asr_seq2seq.corpora.manifest import from_record
from asr_seq2seq.corpora.utterance import Utterance
from asr_seq2seq.errors import CorpusError, shown

_NEEDED = {"audio_filepath": "names the sound", "text": "holds the text"}
_OTHERS = ("duration", "offset", "channel", "id")
# The first by what a table is called, the others where the header calls for them; texts between tabs and
# bars are full of stray quotes.
_SEPARATORS = {".csv": ",;\t|", ".tsv": "\t,;|"}
_UNQUOTED = "\t|"
_NAMES = {",": "commas (quote a text that holds one)", ";": "semicolons", "\t": "tabs", "|": "bars"}


def is_table(path: Path) -> bool:
    """Whether a file is there whose first line names a column of sound and one of text."""
    if not path.is_file():
        return False
    return any(_names_both(path, separator) for separator in _SEPARATORS[path.suffix])


def _separator(path: Path) -> str:
    """What splits the lines of a table; that of its name where the header is not one anyway."""
    of_name = _SEPARATORS[path.suffix]
    return next((one for one in of_name if _names_both(path, one)), of_name[0])


def _names_both(path: Path, separator: str) -> bool:
    """Whether the first line, split so, names a column of sound and one of text."""
    _, line = next(read_lines(path), ("", ""))
    names = {_plain(name) for name in line.split(separator)}
    return all(names.intersection(SYNONYMS[key]) for key in _NEEDED)


def _plain(name: str) -> str:
    return name.strip(' "').lower()


def common_voice_tables(folder: Path) -> list[Path]:
    """The tables of a folder of Common Voice: what is validated, or else its train, dev and test."""
    for names in (("validated",), ("train", "dev", "test")):
        if tables := [path for name in names if (path := folder / f"{name}.tsv").is_file()]:
            return tables
    return []


def read_table(path: Path) -> Iterator[Utterance]:
    """The utterances of a table, in its order; CorpusError names the line that is wrong.

    Sound that is not in the folder of the table may be in its folder `clips`, as Common Voice has it, and
    `clip_durations.tsv` may give its duration.
    """
    separator = _separator(path)
    clips = path.parent / "clips"
    folders = (str(path.parent), str(clips)) if clips.is_dir() else (str(path.parent),)
    durations = _clip_durations(path.with_name("clip_durations.tsv"))
    with open_text(path, newline="") as file:
        rows = csv.DictReader(
            file,
            delimiter=separator,
            quoting=csv.QUOTE_NONE if separator in _UNQUOTED else csv.QUOTE_MINIMAL,
            strict=True,
        )
        try:
            columns = _columns(list(rows.fieldnames or ()), f"{path}, line 1")
            column = next(name for name, key in columns.items() if key == "audio_filepath")
            advice = f"correct the column `{column}`"
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if None in row or None in row.values():
                    split = _NAMES[separator]
                    raise CorpusError(f"{where}: has not as many fields as the header; split it at {split}")
                given = _given({columns.get(name, name): cell for name, cell in row.items()}, where)
                given.setdefault("duration", durations.get(given["audio_filepath"]))
                yield from_record(given, where, folders, advice)
        except csv.Error as error:
            raise CorpusError(f"{path}, line {rows.line_num + 1}: {error}; correct its quotes") from None


def _clip_durations(path: Path) -> dict[str, float]:
    """Seconds by the name of a clip, as newer releases of Common Voice give them."""
    lengths = read_keys(path) if path.is_file() else {}
    # Releases list files that are empty or broken with 0 ms.
    return {
        clip: milliseconds / 1000
        for clip, (where, length) in lengths.items()
        if clip != "clip" and (milliseconds := to_seconds(length, "duration", where)) > 0
    }


def _columns(names: list[str], where: str) -> dict[str, str]:
    """Column -> the key that it means, of columns that have a synonym; CorpusError where one is missing."""
    plain = [_plain(name) for name in names]
    columns = {names[plain.index(key)]: key for key in _OTHERS if key in plain}
    for key, known in SYNONYMS.items():
        name = pick(plain, key, where)
        if name is not None:
            columns[names[plain.index(name)]] = key
        elif key in _NEEDED:
            there = shown(", ".join(names), 60) or "nothing"
            raise CorpusError(
                f"{where}: no column {_NEEDED[key]}; call it {' or '.join(known[:5])} (there is: {there})"
            )
    return columns


def _given(record: Mapping[str, str], where: str) -> dict[str, Any]:
    """The cells that are not empty; of a text and a name of a sound also those, and numbers as such."""
    given: dict[str, Any] = {}
    for key, cell in record.items():
        if key in _NEEDED:
            given[key] = cell
        elif not cell.strip():
            continue
        elif key in ("duration", "offset"):
            given[key] = to_seconds(cell, key, where)
        elif key == "channel":
            given[key] = to_channel(cell, where)
        else:
            given[key] = cell.strip() if key in ("id", "speaker") else cell
    return given
