"""One utterance as a lhotse cut: what every form that is not lhotse's own becomes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from asr_seq2seq import audio
from asr_seq2seq.corpora.embedded import is_embedded, read_embedded
from asr_seq2seq.corpora.fields import LONGEST_NAME, LONGEST_TEXT
from asr_seq2seq.corpora.lines import LONGEST_SECONDS, shown
from asr_seq2seq.corpora.places import find_file
from asr_seq2seq.errors import AudioError, CorpusError

# Most forms do not say the rate of their files and the loader brings any rate to the model's, so the
# records carry a nominal one; reading a million file headers for it would take minutes.
NOMINAL_RATE = 16000
UNKNOWN_SECONDS = 1.0  # stand for the duration of what cannot be read
_PROBLEM = "cannot be read"  # among the custom fields of a cut


def utterance(
    identity: str,
    sound: str | Path | AudioSource | None,
    text: str,
    where: str,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    speaker: str | None = None,
    channel: int | None = None,
    custom: dict[str, Any] | None = None,
) -> MonoCut:
    """A cut of one supervision; without `duration` it lasts to the end of the sound, by its header.

    Without `sound`, where there are features of another program, it must have a `duration`. Without
    `channel`, which counts from 0, it is all channels of the sound. Where the file is empty, or where its
    duration is wanted and it cannot be read, `problem_of` the cut says so: one bad file does not stop the
    rest.
    """
    if len(identity) > LONGEST_NAME or len(text) > LONGEST_TEXT:
        raise CorpusError(
            f"{where}: the name {shown(identity)} or its text is longer than {LONGEST_NAME:,} or "
            f"{LONGEST_TEXT:,} characters; shorten it"
        )
    source = (
        AudioSource(type="file", channels=[0], source=str(sound)) if isinstance(sound, str | Path) else sound
    )
    if source is not None and channel is not None:
        source.channels = list(range(max(2, channel + 1)))
    problem = None if source is None else problem_of_file(source)
    if duration is None and problem is None:
        assert source is not None
        try:
            duration = (
                audio.duration(read_embedded(source) if is_embedded(source) else source.source) - offset
            )
        except AudioError as error:
            problem = str(error)
        else:
            if duration <= 0:
                place = shown(source.source, 90)
                raise CorpusError(f"{where}: begins at {offset:g} s, beyond the end of {place}")
    if problem is not None:
        duration, custom = duration or UNKNOWN_SECONDS, {**(custom or {}), _PROBLEM: problem}
    assert duration is not None
    if not 0 < duration < LONGEST_SECONDS:
        raise CorpusError(f"{where}: lasts {duration:g} s, and an utterance must last longer than nothing")
    recording = source and Recording(
        id=identity,
        sources=[source],
        sampling_rate=NOMINAL_RATE,
        num_samples=math.ceil((offset + duration) * NOMINAL_RATE),
        duration=offset + duration,
        channel_ids=source.channels,
    )
    supervision = SupervisionSegment(identity, identity, 0.0, duration, text=text, speaker=speaker)
    return MonoCut(
        id=identity,
        start=offset,
        duration=duration,
        channel=channel or 0,
        recording=recording,
        supervisions=[supervision],
        custom=custom or None,
    )


def problem_of(cut: MonoCut) -> str | None:
    """Why the sound of a cut is known not to be readable; None where nothing is known against it."""
    return (cut.custom or {}).get(_PROBLEM)


def with_problem(cut: MonoCut, problem: str) -> MonoCut:
    """The cut, known not to be readable."""
    cut.custom = {**(cut.custom or {}), _PROBLEM: problem}
    return cut


def problem_of_file(source: AudioSource) -> str | None:
    """What is wrong with the file of a sound by its size alone."""
    try:
        empty = source.type == "file" and os.path.getsize(source.source) == 0  # noqa: PTH202 (speed)
    except OSError as error:
        return f"{source.source} cannot be read ({error.strerror}): check its place and permissions"
    return f"{source.source} is empty (0 bytes): copy or record it again" if empty else None


def find_sound(where: str, name: str, *folders: Path, advice: str) -> Path:
    """The sound file called `name` in the first of the folders that has it."""
    return Path(find_file(where, name, *folders, advice=advice))
