"""The sound of an utterance, from wherever its corpus keeps it."""

from __future__ import annotations

import os

import numpy as np

from asr_seq2seq import audio
from asr_seq2seq.audio import Samples
from asr_seq2seq.corpora.sources import open_sound
from asr_seq2seq.corpora.utterance import Change, Utterance
from asr_seq2seq.errors import CorpusError


def place_of(utterance: Utterance) -> str:
    """The real path of the file that holds an utterance's sound, or else its features.

    Of sound inside of a file it is followed by the place in the file.
    """
    features = utterance.features.path if utterance.features else None
    return os.path.realpath(str(utterance.sound if utterance.sound is not None else features))


def read_sound(utterance: Utterance, sample_rate: int) -> Samples:
    """The sound of an utterance, mono (N,), at `sample_rate`."""
    if utterance.sound is None:
        raise CorpusError("it has features and no sound, and this model takes sound (features.kind)")
    if utterance.changes:
        samples, rate = _changed(utterance)
        return audio.from_samples(samples, rate, sample_rate)
    return audio.load(
        open_sound(utterance.sound),
        sample_rate,
        offset=utterance.start,
        duration=utterance.duration,
        channel=utterance.channel,
    )


def read_native(utterance: Utterance) -> tuple[Samples, int]:
    """The same at the rate that the sound has, and the rate."""
    assert utterance.sound is not None
    if utterance.changes:
        return _changed(utterance)
    return audio.load_native(
        open_sound(utterance.sound),
        offset=utterance.start,
        duration=utterance.duration,
        channel=utterance.channel,
    )


def _changed(utterance: Utterance) -> tuple[Samples, int]:
    """The sound (N,) with its changes made, and its rate."""
    assert utterance.sound is not None
    faster, rate = 1.0, utterance.rate
    for change in reversed(utterance.changes):
        faster *= change.factor if change.name == "Speed" else 1.0
        rate = change.rate or rate
    sound = audio.load(
        open_sound(utterance.sound),
        rate,
        offset=utterance.start * faster,
        duration=utterance.duration * faster,
        channel=utterance.channel,
    )
    for change in utterance.changes:
        sound, rate = _apply(change, sound, rate)
    return sound[: max(1, round(utterance.duration * rate))], rate


def _apply(change: Change, sound: Samples, rate: int) -> tuple[Samples, int]:
    match change.name:
        case "Speed":
            return audio.from_samples(sound, round(rate * change.factor), rate), rate
        case "Resample":
            return audio.from_samples(sound, rate, change.new_rate), change.new_rate
        case "Volume":
            return sound * np.float32(change.factor), rate
        case _:
            return _reverberate(sound, audio.load(change.response, rate, channel=change.channel)), rate


def _reverberate(sound: Samples, response: Samples) -> Samples:
    """The sound (N,) in a room with the response (M,), which counts from its loudest sample."""
    response = response[int(np.abs(response).argmax()) :]
    size = 1 << (len(sound) + len(response) - 1).bit_length()
    changed = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[: len(sound)]
    power = np.square(sound).mean() / max(float(np.square(changed).mean()), 1e-10)
    return np.asarray(changed * np.sqrt(power), dtype=np.float32)
