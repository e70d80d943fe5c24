"""A folder that `save_to_disk` of the Hugging Face package `datasets` wrote, read as the data it is.

The package itself is not asked: a folder could make it import other packages or open files elsewhere. Rows
lie in Arrow files, which `pyarrow` reads; sound that is embedded is taken from there when its turn comes, and
where only a path is stored, from that file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lhotse import MonoCut
from pydantic import BaseModel, ConfigDict

from asr_seq2seq.corpora.arrow import described, open_dataset
from asr_seq2seq.corpora.embedded import in_dataset
from asr_seq2seq.corpora.lines import shown
from asr_seq2seq.corpora.table import SPEAKER, TEXT, pick
from asr_seq2seq.corpora.utterance import find_sound, utterance
from asr_seq2seq.errors import CorpusError

_ROWS = 16  # read together, with the sound in them


class _Info(BaseModel):
    """What `dataset_info.json` says of the columns."""

    model_config = ConfigDict(strict=True)

    features: dict[str, Any]


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a saved dataset, or holds several as its splits."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def read_dataset(folder: Path) -> Iterator[MonoCut]:
    """The utterances in the order of the rows; CorpusError names the row that is wrong."""
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(path.parent for path in folder.glob("*/state.json"))
        named = " or ".join(map(str, splits[:3])) or "one"
        raise CorpusError(f"{folder}: holds a dataset for each split; name {named}")
    info = described(folder / "dataset_info.json", _Info)
    table = open_dataset(folder)
    columns = list(info.features)
    sounds = [
        name
        for name, kind in info.features.items()
        if isinstance(kind, dict) and kind.get("_type") == "Audio"
    ]
    if len(sounds) != 1:
        there = shown(", ".join(sounds)) or "none"
        raise CorpusError(f"{folder}: must have one column of the type Audio, not {there}; cast or drop some")
    text, speaker = pick(columns, TEXT, str(folder)), pick(columns, SPEAKER, str(folder))
    if text is None:
        raise CorpusError(f"{folder}: no column holds the text; rename one to {' or '.join(TEXT)}")
    [column] = sounds
    wanted = [column, text, *([speaker] if speaker else [])]
    if not set(wanted) <= set(table.column_names):
        raise CorpusError(
            f"{folder}: its Arrow files have other columns than dataset_info.json; save it anew"
        )
    _check_types(folder, table.schema, column, [name for name in (text, speaker) if name])
    row = 0
    for batch in table.select(wanted).to_batches(max_chunksize=_ROWS):
        for entry in batch.to_pylist():
            yield _utterance(folder, row, entry, column, text, speaker)
            row += 1


def _check_types(folder: Path, schema: Any, column: str, others: list[str]) -> None:
    """CorpusError where the columns are of types that are not sound, text or numbers."""
    from pyarrow import types  # type: ignore[import-untyped]

    sound = schema.field(column).type
    inner = {sound.field(number).name: sound.field(number).type for number in range(sound.num_fields)}
    plain = all(
        types.is_null(kind) or types.is_string(kind) or types.is_binary(kind) for kind in inner.values()
    )
    if not types.is_struct(sound) or set(inner) != {"bytes", "path"} or not plain:
        raise CorpusError(
            f"{folder}: the column {shown(column)} is {shown(str(sound))}, no sound; save it anew"
        )
    for name in others:
        kind = schema.field(name).type
        known = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_null)
        if not any(fits(kind) for fits in known):
            raise CorpusError(f"{folder}: the column {shown(name)} is {shown(str(kind))}, no text; cast it")


def _utterance(
    folder: Path, row: int, entry: dict[str, Any], column: str, text: str, speaker: str | None
) -> MonoCut:
    where, sound, words = f"{folder}, row {row}", entry[column] or {}, entry[text]
    path = sound.get("path") if isinstance(sound, dict) else None
    if not isinstance(words, str):
        raise CorpusError(f"{where}: the column `{text}` is {shown(words)} and not text; drop the row")
    embedded = isinstance(sound, dict) and isinstance(sound.get("bytes"), bytes)
    if not embedded and not (isinstance(path, str) and path):
        raise CorpusError(f"{where}: has no sound; drop the row")
    who = entry[speaker] if speaker else None
    name = path if isinstance(path, str) else ""
    advice = "copy it there, or save the dataset with its sound"
    return utterance(
        f"{Path(name).stem or folder.name}@{row}",
        in_dataset(folder, column, row) if embedded else find_sound(where, name, Path(), advice=advice),
        words,
        where,
        speaker=None if who is None else str(who),
    )
