"""A JSON-lines manifest: one utterance a line.

``{"audio_filepath": "a.flac", "duration": 1.5, "text": "one two", "speaker": "x", "offset": 0.0}``;
`duration`, `speaker`, `offset`, `channel` and `id` may be missing or null, paths are relative to the
manifest, and any other key is kept with the utterance. In the place of `audio_filepath` may stand
`feature_filepath`, the frames (T, F) of another program in NumPy's format; then `duration` must be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lhotse import MonoCut
from pydantic import BaseModel, ConfigDict, ValidationError

from asr_seq2seq.corpora.fields import Channel, Duration, FileName, Name, Seconds, Text, first_fault
from asr_seq2seq.corpora.lines import read_lines
from asr_seq2seq.corpora.places import find_file
from asr_seq2seq.corpora.utterance import utterance
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.files import parse_json

FEATURES = "feature_filepath"  # in a manifest, and among the custom fields of a cut


class _Line(BaseModel):
    """What a line says of an utterance; a key whose value is null counts as not given."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    text: Text
    audio_filepath: FileName | None = None
    feature_filepath: FileName | None = None
    duration: Duration | None = None
    offset: Seconds | None = None
    channel: Channel | None = None
    speaker: Name | None = None
    id: Name | None = None


def read_manifest(path: Path) -> Iterator[MonoCut]:
    """The utterances of a manifest, in its order. CorpusError names the line that is wrong."""
    folder = str(path.parent)
    for where, line in read_lines(path):
        yield _utterance(folder, where, line)


def _utterance(folder: str, where: str, line: str) -> MonoCut:
    try:
        value = parse_json(line, nan_is_null=True)
    except ValueError as error:
        raise CorpusError(f"{where}: is not a JSON object ({error}); mend or delete the line") from None
    if not isinstance(value, dict):
        raise CorpusError(f'{where}: must be an object such as {{"audio_filepath": ..., "text": ...}}')
    try:
        entry = _Line.model_validate(value)
    except ValidationError as error:
        raise CorpusError(f"{where}: {_told(error)}; mend the line") from None
    name = entry.audio_filepath if entry.audio_filepath is not None else entry.feature_filepath
    if name is None:
        raise CorpusError(f"{where}: the key `audio_filepath` is missing or not text; add it")
    source = find_file(where, name, folder, advice="paths are relative to the manifest")
    of_features = entry.audio_filepath is None
    if of_features and (entry.duration is None or entry.offset is not None or entry.channel is not None):
        raise CorpusError(
            f"{where}: features need a `duration` and no `offset` or `channel`: cut the features themselves"
        )
    extra: dict[str, Any] = entry.model_extra or {}
    custom = {key: given for key, given in extra.items() if given is not None}
    return utterance(
        entry.id if entry.id is not None else f"{Path(name).stem}@{where.rpartition(' ')[2]}",
        None if of_features else source,
        entry.text,
        where,
        offset=entry.offset or 0.0,
        duration=entry.duration,
        channel=entry.channel,
        speaker=entry.speaker,
        custom=custom | {FEATURES: source} if of_features else custom,
    )


def _told(error: ValidationError) -> str:
    """The first fault in words of this form."""
    problem = error.errors(include_url=False, include_context=False)[0]
    key = str(problem["loc"][0])
    if problem["type"] in ("missing", "string_type") or key in ("audio_filepath", FEATURES):
        return f"the key `{key}` is missing or not text"
    if key in ("duration", "offset"):
        return first_fault(error).replace("should be", "must be a number of seconds,")
    return first_fault(error)
