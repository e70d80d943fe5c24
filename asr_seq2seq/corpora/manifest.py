"""A JSON-lines manifest: one utterance a line.

``{"audio_filepath": "a.flac", "duration": 1.5, "text": "one two", "speaker": "x", "offset": 0.0}``;
`duration`, `speaker` and `offset` may be missing, paths are relative to the manifest, and any other
key is kept with the utterance. In the place of `audio_filepath` may stand `feature_filepath`, the
frames (T, F) of another program in NumPy's format; then `duration` must be there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lhotse import MonoCut

from asr_seq2seq.corpora.lines import open_text
from asr_seq2seq.corpora.utterance import utterance
from asr_seq2seq.errors import CorpusError

_LONGEST = 1e8  # seconds: three years
FEATURES = "feature_filepath"  # in a manifest, and among the custom fields of a cut
_KNOWN = {"audio_filepath", "duration", "offset", "text", "speaker", "id"}


def read_manifest(path: Path) -> Iterator[MonoCut]:
    """The utterances of a manifest, in its order. CorpusError names the line that is wrong."""
    with open_text(path) as file:
        lines = enumerate(file, start=1)
        while True:
            try:
                number, line = next(lines)
            except StopIteration:
                return
            except UnicodeDecodeError:
                raise CorpusError(
                    f"{path}: is not UTF-8 text; a manifest has one JSON object a line"
                ) from None
            if line.strip():
                yield _utterance(path, number, line)


def _utterance(path: Path, number: int, line: str) -> MonoCut:
    where = f"{path}, line {number}"
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:  # JSONDecodeError, or a number of thousands of digits
        raise CorpusError(f"{where}: is not a JSON object ({error}); mend or delete the line") from None
    if not isinstance(entry, dict):
        raise CorpusError(f'{where}: must be an object such as {{"audio_filepath": ..., "text": ...}}')
    of_features = FEATURES in entry and "audio_filepath" not in entry
    place = FEATURES if of_features else "audio_filepath"
    for key in (place, "text"):
        if not isinstance(entry.get(key), str):
            raise CorpusError(f"{where}: the key `{key}` is missing or not text; add it")
    source = os.path.join(path.parent, entry[place])  # noqa: PTH118 - a Path takes ten times as long
    if not os.path.isfile(source):  # noqa: PTH113 - Path.is_file raises where the name is too long
        raise CorpusError(f"{where}: there is no file {source}; paths are relative to the manifest")
    if of_features and ("duration" not in entry or "offset" in entry):
        raise CorpusError(f"{where}: features need a `duration` and no `offset`: cut the features themselves")
    offset = _seconds(entry, "offset", where, least=0.0)
    duration = _seconds(entry, "duration", where, least=1e-9) if "duration" in entry else None
    speaker = entry.get("speaker")
    extra = {key: value for key, value in entry.items() if key not in _KNOWN}
    return utterance(
        str(entry["id"]) if "id" in entry else f"{Path(entry[place]).stem}@{number}",
        None if of_features else source,
        entry["text"],
        where,
        offset=offset,
        duration=duration,
        speaker=None if speaker is None else str(speaker),
        custom=extra | {FEATURES: source} if of_features else extra,
    )


def _seconds(entry: dict[str, Any], key: str, where: str, least: float) -> float:
    value = entry.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < _LONGEST:
        raise CorpusError(f"{where}: `{key}` must be a number of seconds, not {value!r}")
    return float(value)
