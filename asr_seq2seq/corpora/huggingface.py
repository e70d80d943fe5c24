"""A folder that `save_to_disk` of the Hugging Face package `datasets` wrote, read as the data it is.

The package itself is not used: a folder could make it import other packages or open files elsewhere. Rows
lie in Arrow files, which `pyarrow` reads; sound that is embedded is taken from there when its turn comes, and
where only a path is stored, from that file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from asr_seq2seq.corpora.fields import SYNONYMS, checked, pick
from asr_seq2seq.corpora.places import find_file
from asr_seq2seq.corpora.sources import DatasetCell
from asr_seq2seq.corpora.utterance import Utterance, make_utterance
from asr_seq2seq.errors import CorpusError, shown
from asr_seq2seq.extras import needed
from asr_seq2seq.files import parse_json

_ROWS = 16  # read together, with the sound in them
_LARGEST_DESCRIPTION = 10_000_000  # bytes
_Form = TypeVar("_Form", bound=BaseModel)


class _File(BaseModel):
    filename: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00]+$")]


class _State(BaseModel):
    """What `state.json` says that matters here: not the format and the columns chosen for reading."""

    model_config = ConfigDict(strict=True)

    files: Annotated[list[_File], Field(alias="_data_files", min_length=1, max_length=100_000)]
    indices: list[_File] | None = Field(None, alias="_indices_data_files", max_length=0)


class _Info(BaseModel):
    """What `dataset_info.json` says of the columns."""

    model_config = ConfigDict(strict=True)

    features: dict[str, Any]


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a saved dataset, or holds several as its splits."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


@lru_cache(maxsize=64)
def open_dataset(folder: Path) -> Any:
    """The rows of a dataset, opened once a process; what they hold stays on the disk until it is read."""
    with needed(f"{folder}: is a Hugging Face datasets folder, which", "huggingface"):
        import pyarrow
    tables = []
    try:
        for file in _described(folder / "state.json", _State).files:
            with pyarrow.memory_map(str(folder / file.filename)) as mapped:
                tables.append(pyarrow.ipc.open_stream(mapped).read_all())
        table = pyarrow.concat_tables(tables)
        table.validate(full=True)
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:  # names may be no text
        raise CorpusError(
            f"{folder}: cannot be read as a dataset ({shown(str(error), 100)}); save it anew"
        ) from None
    return table


def _described(path: Path, form: type[_Form]) -> _Form:
    try:
        with path.open("rb") as file:
            value = parse_json(file.read(_LARGEST_DESCRIPTION))
    except (OSError, ValueError) as error:
        reason = shown(str(error))
        raise CorpusError(f"{path}: cannot be read as a dataset ({reason}); save it anew") from None
    return checked(form, value, f"{path}: cannot be read as a dataset", "save it anew")


def read_dataset(folder: Path) -> Iterator[Utterance]:
    """The utterances in the order of the rows; CorpusError names the row that is wrong."""
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(path.parent for path in folder.glob("*/state.json"))
        named = " or ".join(map(str, splits[:3])) or "one"
        raise CorpusError(f"{folder}: holds a dataset for each split; name {named}")
    kinds = _described(folder / "dataset_info.json", _Info).features
    table = open_dataset(folder)
    sounds = [name for name, kind in kinds.items() if isinstance(kind, dict) and kind.get("_type") == "Audio"]
    if len(sounds) != 1:
        there = shown(", ".join(sounds)) or "none"
        raise CorpusError(f"{folder}: must have one column of the type Audio, not {there}; cast or drop some")
    [column] = sounds
    text, speaker = (pick(list(kinds), key, str(folder)) for key in ("text", "speaker"))
    if text is None:
        known = " or ".join(SYNONYMS["text"])
        raise CorpusError(f"{folder}: no column holds the text; rename one to {known}")
    wanted = [column, text, *([speaker] if speaker else [])]
    if not set(wanted) <= set(table.column_names):
        raise CorpusError(
            f"{folder}: its Arrow files have other columns than dataset_info.json; save it anew"
        )
    _check_types(folder, table.schema, column, wanted[1:])
    row = 0
    for batch in table.select(wanted).to_batches(max_chunksize=_ROWS):
        for entry in batch.to_pylist():
            yield _utterance(folder, row, entry, column, text, speaker)
            row += 1


def _check_types(folder: Path, schema: Any, column: str, others: list[str]) -> None:
    """CorpusError where the columns are of types that are not sound, text or numbers."""
    from pyarrow import types

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
) -> Utterance:
    where, sound, words = f"{folder}, row {row}", entry[column] or {}, entry[text]
    if not isinstance(words, str):
        raise CorpusError(f"{where}: the column `{text}` is {shown(words)} and not text; drop the row")
    path = sound.get("path")
    name = path if isinstance(path, str) else ""
    embedded = isinstance(sound.get("bytes"), bytes)
    if not embedded and not name:
        raise CorpusError(f"{where}: has no sound; drop the row")
    who = entry[speaker] if speaker else None
    advice = "copy it there, or save the dataset with its sound"
    return make_utterance(
        f"{Path(name).stem or folder.name}@{row}",
        DatasetCell(str(folder), column, row) if embedded else find_file(where, name, ".", advice=advice),
        words,
        where,
        speaker=None if who is None else str(who),
    )
