"""A JSON-lines manifest: one utterance a line.

``{"audio_filepath": "a.flac", "duration": 1.5, "text": "one two", "speaker": "x", "offset": 0.0}``;
`duration`, `speaker` and `offset` may be missing, paths are relative to the manifest, and any other
key is kept with the utterance. In the place of `audio_filepath` may stand `feature_filepath`, the
frames (T, F) of another program in NumPy's format; then `duration` must be there.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from asr_seq2seq import audio
from asr_seq2seq.errors import AudioError, CorpusError

# A manifest does not say the rate of its files and the loader brings any rate to the model's, so the
# records carry a nominal one; reading a million file headers for it would take minutes.
NOMINAL_RATE = 16000
_LONGEST = 1e8  # seconds: three years
FEATURES = "feature_filepath"  # in a manifest, and among the custom fields of a cut
_KNOWN = {"audio_filepath", "duration", "offset", "text", "speaker", "id"}


def read_manifest(path: Path) -> Iterator[MonoCut]:
    """The utterances of a manifest, in its order. CorpusError names the line that is wrong."""
    with path.open(encoding="utf-8-sig") as file:
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
    source = path.parent / entry[place]
    if not os.path.isfile(source):  # noqa: PTH113 - Path.is_file raises where the name is too long
        raise CorpusError(f"{where}: there is no file {source}; paths are relative to the manifest")
    if of_features and ("duration" not in entry or "offset" in entry):
        raise CorpusError(f"{where}: features need a `duration` and no `offset`: cut the features themselves")
    offset = _seconds(entry, "offset", where, least=0.0)
    duration = _seconds(entry, "duration", where, least=1e-9) if "duration" in entry else None
    if duration is None:
        try:
            duration = audio.duration(source) - offset
        except AudioError as error:
            raise CorpusError(f"{where}: {error}") from None
        if duration <= 0:
            raise CorpusError(f"{where}: `offset` {offset:g} s is beyond the end of {source}")
    identity = str(entry.get("id", f"{Path(entry[place]).stem}@{number}"))
    speaker = entry.get("speaker")
    recording = Recording(
        id=identity,
        sources=[AudioSource(type="file", channels=[0], source=str(source))],
        sampling_rate=NOMINAL_RATE,
        num_samples=math.ceil((offset + duration) * NOMINAL_RATE),
        duration=offset + duration,
    )
    extra = {key: value for key, value in entry.items() if key not in _KNOWN}
    supervision = SupervisionSegment(
        id=identity,
        recording_id=identity,
        start=0.0,
        duration=duration,
        text=entry["text"],
        speaker=None if speaker is None else str(speaker),
    )
    return MonoCut(
        id=identity,
        start=offset,
        duration=duration,
        channel=0,
        recording=None if of_features else recording,
        supervisions=[supervision],
        custom=(extra | {FEATURES: str(source)} if of_features else extra) or None,
    )


def _seconds(entry: dict[str, Any], key: str, where: str, least: float) -> float:
    value = entry.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < _LONGEST:
        raise CorpusError(f"{where}: `{key}` must be a number of seconds, not {value!r}")
    return float(value)
