"""What corpora say of an utterance: the names of keys and columns, their types, and faults as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, PlainValidator, ValidationError

from asr_seq2seq.corpora.lines import LONGEST_SECONDS, MOST_CHANNELS
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.faults import first_fault

LONGEST_NAME, LONGEST_TEXT = 1_000, 1_000_000  # characters

# Names that mean the same in manifests, tables and datasets; the first is that of the documents.
SYNONYMS = {
    "audio_filepath": (
        "audio_filepath",
        "path",
        "file",
        "file_name",
        "wav",
        "audio",
        "audio_path",
        "audio_file",
        "wav_filename",
    ),
    "text": ("text", "sentence", "transcript", "transcription"),
    "speaker": ("speaker", "speaker_id", "client_id"),
}


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be text of whole characters") from None
    return value


def _name(value: object) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError("must be text or a number")
    return str(value)


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_text)]
Label = Annotated[str, Field(max_length=LONGEST_NAME)]
Name = Annotated[str, PlainValidator(_name), Field(max_length=LONGEST_NAME)]
Seconds = Annotated[float, Field(ge=0, lt=LONGEST_SECONDS)]
Channel = Annotated[int, Field(ge=0, lt=MOST_CHANNELS)]


def pick(names: Sequence[str], key: str, where: str, *, first_wins: bool = False) -> str | None:
    """Which of the names means `key`; CorpusError where two do, unless the first synonym may win."""
    known = SYNONYMS[key]
    if first_wins and key in names:
        return key
    found = [name for name in known if name in names]
    twice = [name for name in found if names.count(name) > 1]
    if twice:
        raise CorpusError(f"{where}: two columns are called {twice[0]}; delete or rename one")
    if len(found) > 1:
        raise CorpusError(f"{where}: {' and '.join(found)} mean the same; delete or rename one of them")
    return found[0] if found else None


_Form = TypeVar("_Form", bound=BaseModel)


def checked(form: type[_Form], value: Any, where: str, advice: str) -> _Form:
    """The value as the typed object that it should be; CorpusError names its first fault."""
    try:
        return form.model_validate(value)
    except ValidationError as error:
        raise CorpusError(f"{where}: {first_fault(error)}; {advice}") from None
