"""One utterance of a corpus, the same whatever form the corpus has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from asr_seq2seq import audio
from asr_seq2seq.corpora.fields import LONGEST_NAME, LONGEST_TEXT
from asr_seq2seq.corpora.lines import LONGEST_SECONDS
from asr_seq2seq.corpora.sources import Sound, open_sound, problem_of_file
from asr_seq2seq.errors import AudioError, CorpusError, shown

UNKNOWN_SECONDS = 1.0  # stand for the duration of what cannot be read
_SHORTEST_SECONDS = 1e-9
_NO_KEYS: dict[str, Any] = {}  # shared by all utterances without any


@dataclass(frozen=True, slots=True)
class Features:
    """Frames (T, F) of another program: rows `first` to `first + count` of a `.npy` file.

    `path` is None where `storage` names a lhotse storage type that is not read.
    """

    path: str | None
    first: int = 0
    count: int | None = None
    storage: str = "numpy_files"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the sound that a CutSet keeps with a recording instead of making it.

    `name` is lhotse's: Speed and Volume have a `factor`, Resample goes from `rate` to `new_rate` (Hz), and
    ReverbWithImpulseResponse has the file of the `response` and the channel of it, None for all.
    """

    name: str
    factor: float = 1.0
    rate: int = 0
    new_rate: int = 0
    response: str = ""
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Utterance:
    """A part of a sound and its text.

    The sound is `duration` seconds of a file from `start` seconds on, of one `channel`, counted from 0, or of
    all mixed where that is None. Where there are `changes`, these are times of the changed sound, whose rate
    is `rate` (Hz). An utterance without sound has `features`. `custom` holds the other keys of the
    corpus. `problem` says why the sound is known not to be readable; the duration is then not known.
    """

    id: str
    text: str
    sound: Sound | None
    duration: float
    start: float = 0.0
    channel: int | None = None
    speaker: str | None = None
    language: str | None = None
    gender: str | None = None
    features: Features | None = None
    changes: tuple[Change, ...] = ()
    rate: int = 0
    custom: Mapping[str, Any] = field(default_factory=lambda: _NO_KEYS)
    problem: str | None = None


def make_utterance(
    identity: str,
    sound: Sound | None,
    text: str,
    where: str,
    *,
    start: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    speaker: str | None = None,
    features: Features | None = None,
    custom: Mapping[str, Any] = MappingProxyType({}),
) -> Utterance:
    """An utterance as a form that is not lhotse's describes it at the place `where`.

    Without `duration` it lasts to the end of the sound, by its header. Where the file is empty, or where
    its duration is wanted and it cannot be read, the utterance has a `problem`: one bad file does not stop
    the rest. Raises CorpusError where the name, the text or the times are not those of an utterance.
    """
    if len(identity) > LONGEST_NAME or len(text) > LONGEST_TEXT:
        raise CorpusError(
            f"{where}: the name {shown(identity)} or its text is longer than {LONGEST_NAME:,} or "
            f"{LONGEST_TEXT:,} characters; shorten it"
        )
    problem = None if sound is None else problem_of_file(sound)
    if duration is None and sound is not None and problem is None:
        try:
            duration = audio.duration(open_sound(sound)) - start
        except AudioError as error:
            problem = str(error)
        else:
            if duration <= 0:
                place = shown(str(sound), 90)
                raise CorpusError(f"{where}: begins at {start:g} s, beyond the end of {place}")
    duration = UNKNOWN_SECONDS if duration is None else duration
    if not _SHORTEST_SECONDS <= duration < LONGEST_SECONDS:
        raise CorpusError(f"{where}: its `duration` is {duration:g} s; give one above 0, or none")
    kept = dict(custom)
    language, gender = (
        kept.pop(key) if isinstance(kept.get(key), str) else None for key in ("language", "gender")
    )
    return Utterance(
        identity,
        text,
        sound,
        duration,
        start,
        channel,
        speaker,
        language,
        gender,
        features,
        custom=kept or _NO_KEYS,
        problem=problem,
    )
