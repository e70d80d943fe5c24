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
from asr_seq2seq.errors import AudioError, CorpusError

# Most forms do not say the rate of their files and the loader brings any rate to the model's, so the
# records carry a nominal one; reading a million file headers for it would take minutes.
NOMINAL_RATE = 16000


def utterance(
    identity: str,
    sound: str | Path | AudioSource | None,
    text: str,
    where: str,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    speaker: str | None = None,
    custom: dict[str, Any] | None = None,
) -> MonoCut:
    """A cut of one supervision; without `duration` it lasts to the end of the sound, by its header.

    Without `sound`, where there are features of another program, it must have a `duration`.
    """
    source = (
        AudioSource(type="file", channels=[0], source=str(sound)) if isinstance(sound, str | Path) else sound
    )
    if duration is None:
        assert source is not None
        try:
            duration = (
                audio.duration(read_embedded(source) if is_embedded(source) else source.source) - offset
            )
        except AudioError as error:
            raise CorpusError(f"{where}: {error}") from None
        if duration <= 0:
            raise CorpusError(f"{where}: begins at {offset:g} s, beyond the end of {source.source}")
    if duration <= 0:
        raise CorpusError(f"{where}: lasts {duration:g} s, and an utterance must last longer than nothing")
    recording = source and Recording(
        id=identity,
        sources=[source],
        sampling_rate=NOMINAL_RATE,
        num_samples=math.ceil((offset + duration) * NOMINAL_RATE),
        duration=offset + duration,
    )
    supervision = SupervisionSegment(identity, identity, 0.0, duration, text=text, speaker=speaker)
    return MonoCut(
        id=identity,
        start=offset,
        duration=duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
        custom=custom or None,
    )


def find_sound(where: str, name: str, *folders: Path, advice: str) -> Path:
    """The file called `name` in the first of the folders that has it."""
    for folder in folders:
        if os.path.isfile(folder / name):  # noqa: PTH113 - Path.is_file raises where the name is too long
            return folder / name
    raise CorpusError(f"{where}: there is no file {folders[-1] / name}; {advice}")
