"""A table with a header: `.csv`, split at commas and quoted with ", or `.tsv`, split at tabs, no quoting.

One column names the sound, one holds the text; `duration`, `offset`, `channel`, `speaker` and `id`
may be there, an empty cell counts as not given, and any other column is kept with the utterance. Paths
are relative to the table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lhotse import MonoCut

from asr_seq2seq.corpora.lines import open_text, shown, to_channel, to_seconds
from asr_seq2seq.corpora.utterance import find_sound, utterance
from asr_seq2seq.errors import CorpusError

SOUND = ("audio_filepath", "path", "file", "wav")
TEXT = ("text", "sentence", "transcript", "transcription")
SPEAKER = ("speaker", "speaker_id", "client_id")


def read_table(
    path: Path, *, sounds: Path | None = None, durations: Mapping[str, float] | None = None
) -> Iterator[MonoCut]:
    """The utterances of a table, in its order; CorpusError names the line that is wrong.

    `sounds` is the folder of the sound where it is not the table's, and `durations` the seconds of files
    by the name that they have in the table.
    """
    tabs = path.suffix == ".tsv"
    with open_text(path, newline="") as file:
        rows = csv.DictReader(
            file,
            delimiter="\t" if tabs else ",",
            quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,  # spoken text is full of stray quotes
            strict=True,
        )
        try:
            columns = rows.fieldnames or ()
            header = f"{path}, line 1"
            sound = _only(columns, SOUND, header, "names the sound")
            text = _only(columns, TEXT, header, "holds the text")
            speaker = pick(columns, SPEAKER, header)
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if None in row or None in row.values():
                    split = "tabs" if tabs else "commas (quote a text that holds one)"
                    raise CorpusError(f"{where}: has not as many fields as the header; split it at {split}")
                duration = row.pop("duration", "")
                offset = row.pop("offset", "")
                channel = row.pop("channel", "")
                who = row.pop(speaker) if speaker else None
                name, words = row.pop(sound), row.pop(text)
                yield utterance(
                    row.pop("id", "").strip() or f"{Path(name).stem}@{rows.line_num}",
                    find_sound(where, name, sounds or path.parent, advice=f"mend the column `{sound}`"),
                    words,
                    where,
                    offset=to_seconds(offset, "offset", where) if offset.strip() else 0.0,
                    duration=to_seconds(duration, "duration", where)
                    if duration.strip()
                    else (durations or {}).get(name),
                    channel=to_channel(channel, where) if channel.strip() else None,
                    speaker=(who or "").strip() or None,
                    custom={key: value for key, value in row.items() if value},
                )
        except csv.Error as error:
            raise CorpusError(f"{path}, line {rows.line_num + 1}: {error}; mend its quotes") from None


def pick(columns: Sequence[str], known: Sequence[str], where: str) -> str | None:
    """Which of the known names is a column; CorpusError where that is not clear."""
    found = [name for name in known if name in columns]
    twice = [name for name in found if columns.count(name) > 1]
    if twice:
        raise CorpusError(f"{where}: two columns are called {twice[0]}; delete or rename one")
    if len(found) > 1:
        raise CorpusError(f"{where}: the columns {' and '.join(found)} mean the same; delete or rename one")
    return found[0] if found else None


def _only(columns: Sequence[str], known: Sequence[str], where: str, does: str) -> str:
    found = pick(columns, known, where)
    if found is None:
        there = shown(", ".join(columns), 100) or "nothing"
        raise CorpusError(f"{where}: no column {does}; call it {' or '.join(known)} (there is: {there})")
    return found
