"""A JSON-lines manifest: one utterance a line.

``{"audio_filepath": "a.flac", "duration": 1.5, "text": "one two", "speaker": "x", "offset": 0.0}``;
`duration`, `speaker`, `offset`, `channel` and `id` may be missing or null, paths are relative to the
manifest, and any other key is kept with the utterance. In the place of `audio_filepath` may stand
`feature_filepath`, the frames (T, F) of another program in NumPy's format; then `duration` must be there.
The keys have the synonyms of `fields.SYNONYMS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from asr_seq2seq.corpora.fields import SYNONYMS, Channel, Name, Seconds, Text, checked, pick
from asr_seq2seq.corpora.lines import read_lines
from asr_seq2seq.corpora.places import find_file
from asr_seq2seq.corpora.utterance import Features, Utterance, make_utterance
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.faults import AnyText
from asr_seq2seq.files import parse_json

_LIST = "is a JSON list; write one object a line, as jq -c '.[]' does"


class Record(BaseModel):
    """What a line of a manifest or a row of a table says of an utterance, under the names of this class."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    text: Text
    audio_filepath: AnyText | None = None
    feature_filepath: AnyText | None = None
    duration: Seconds | None = None
    offset: Seconds | None = None
    channel: Channel | None = None
    speaker: Name | None = None
    id: Name | None = None


def read_manifest(path: Path) -> Iterator[Utterance]:
    """The utterances of a manifest, in its order. CorpusError names the line that is wrong."""
    folder = str(path.parent)
    for where, line in read_lines(path):
        try:
            value = parse_json(line, nan_is_null=True)
        except ValueError as error:
            if line.lstrip().startswith("["):
                raise CorpusError(f"{where}: {_LIST}") from None
            raise CorpusError(
                f"{where}: is not a JSON object ({error}); correct it, with one whole object on each line"
            ) from None
        if isinstance(value, list):
            raise CorpusError(f"{where}: {_LIST}")
        if not isinstance(value, dict):
            raise CorpusError(f'{where}: must be an object such as {{"audio_filepath": ..., "text": ...}}')
        given = {key: inner for key, inner in value.items() if inner is not None}
        names = list(given)
        for key in SYNONYMS:
            with_features = key == "audio_filepath" and "feature_filepath" in given
            name = pick(names, key, where, first_wins=True)
            if name not in (None, key) and not with_features:
                given[key] = given.pop(name)
        sound = given.get("audio_filepath")
        if isinstance(sound, dict) and isinstance(sound.get("path"), str) and sound.get("bytes") is None:
            given["audio_filepath"] = sound["path"]  # as `datasets` writes a column of sound
        yield from_record(given, where, (folder,), "paths are relative to the manifest")


def from_record(values: dict[str, Any], where: str, folders: Sequence[str], advice: str) -> Utterance:
    """The utterance that a record of keys and values describes at the place `where` (FILE, line N)."""
    record = checked(Record, values, where, "correct the line")
    name = record.feature_filepath if record.audio_filepath is None else record.audio_filepath
    if name is None:
        others = ", ".join(SYNONYMS["audio_filepath"][1:])
        raise CorpusError(f"{where}: the key `audio_filepath` is missing; add it, or one of {others}")
    path = find_file(where, name, *folders, advice=advice)
    has_sound = record.audio_filepath is not None
    if not has_sound and (record.duration is None or record.offset or record.channel is not None):
        raise CorpusError(
            f"{where}: features need a `duration` and no `offset` or `channel`: cut the features themselves"
        )
    return make_utterance(
        record.id if record.id is not None else f"{Path(name).stem}@{where.rpartition(' ')[2]}",
        path if has_sound else None,
        record.text,
        where,
        start=record.offset or 0.0,
        duration=record.duration,
        channel=record.channel,
        speaker=record.speaker,
        features=None if has_sound else Features(path),
        custom=record.model_extra or {},
    )
