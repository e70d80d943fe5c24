"""The files of a saved Hugging Face dataset: what `state.json` names, as one table of pyarrow."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asr_seq2seq.corpora.fields import first_fault
from asr_seq2seq.corpora.lines import shown
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.files import parse_json

_LARGEST_DESCRIPTION = 10_000_000  # bytes
_Form = TypeVar("_Form", bound=BaseModel)


class _File(BaseModel):
    filename: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00]+$")]


class _State(BaseModel):
    """What `state.json` says that matters here: not the format and the columns chosen for reading."""

    model_config = ConfigDict(strict=True)

    files: Annotated[list[_File], Field(alias="_data_files", min_length=1, max_length=100_000)]
    indices: list[_File] | None = Field(None, alias="_indices_data_files", max_length=0)


@lru_cache(maxsize=64)
def open_dataset(folder: Path) -> Any:
    """The rows of a dataset, opened once a process; what they hold stays on the disk until it is read."""
    try:
        import pyarrow  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise CorpusError(
            f"{folder}: is a Hugging Face datasets folder, and the package `pyarrow` is not installed; "
            "pip install 'asr_seq2seq[huggingface]'"
        ) from None
    tables = []
    try:
        for file in described(folder / "state.json", _State).files:
            with pyarrow.memory_map(str(folder / file.filename)) as mapped:
                tables.append(pyarrow.ipc.open_stream(mapped).read_all())
        table = pyarrow.concat_tables(tables)
        table.validate(full=True)
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:  # names may be no text
        raise CorpusError(
            f"{folder}: cannot be read as a dataset ({shown(str(error), 100)}); save it anew"
        ) from None
    return table


def described(path: Path, form: type[_Form]) -> _Form:
    """The JSON file as what `form` says it must be."""
    try:
        with path.open("rb") as file:
            return form.model_validate(parse_json(file.read(_LARGEST_DESCRIPTION)))
    except (OSError, ValueError) as error:  # pydantic's is a ValueError too
        reason = first_fault(error) if isinstance(error, ValidationError) else shown(str(error))
        raise CorpusError(f"{path}: cannot be read as a dataset ({reason}); save it anew") from None
