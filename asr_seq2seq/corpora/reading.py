"""The sound of an utterance, from wherever its corpus keeps it: what the worker processes of training call.

lhotse never reads sound here: it would run what a corpus calls a command.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from lhotse.audio import AudioSource
from lhotse.cut import Cut
from scipy.signal import fftconvolve

from asr_seq2seq import audio
from asr_seq2seq.audio import Samples
from asr_seq2seq.corpora.embedded import is_embedded, read_embedded
from asr_seq2seq.corpora.lines import shown
from asr_seq2seq.corpora.manifest import FEATURES
from asr_seq2seq.errors import AudioError, CorpusError


def place_of(cut: Cut) -> str:
    """The real path of the file that holds an utterance's sound, or else its features.

    Of embedded sound it goes on with the place in the file.
    """
    place: str = _source_of(cut)[0].source if cut.has_recording else (cut.custom or {})[FEATURES]
    return os.path.realpath(place)


def channel_of(cut: Cut) -> int | None:
    """Which channel of its file an utterance is, counted from 0; None for all that the file has."""
    return _source_of(cut)[1] if cut.has_recording else None


def read_sound(cut: Cut, sample_rate: int) -> Samples:
    """The sound of an utterance, mono (N,), at `sample_rate`."""
    if not cut.has_recording:
        raise CorpusError("it has features and no sound, and this model hears sound (features.kind)")
    if cut.recording.transforms:
        samples, rate = _changed(cut)
        return audio.from_samples(samples, rate, sample_rate)
    source, channel = _source_of(cut)
    return audio.load(_file(source), sample_rate, offset=cut.start, duration=cut.duration, channel=channel)


def read_native(cut: Cut) -> tuple[Samples, int]:
    """The same at the rate that the sound has, and the rate."""
    if cut.recording.transforms:
        return _changed(cut)
    source, channel = _source_of(cut)
    return audio.load_native(_file(source), offset=cut.start, duration=cut.duration, channel=channel)


def _source_of(cut: Cut) -> tuple[AudioSource, int | None]:
    """The file with the channel of a cut, and the number of that channel in it; None where it has but one."""
    for source in cut.recording.sources:
        if cut.channel in source.channels:
            return source, source.channels.index(cut.channel) if len(source.channels) > 1 else None
    raise CorpusError(f"the recording of {shown(cut.id)} has no channel {cut.channel}; mend the CutSet")


def _file(source: AudioSource) -> str | bytes:
    """What `audio` reads: a path or the bytes of a sound file."""
    if is_embedded(source):
        return read_embedded(source)
    if source.type == "memory" and isinstance(source.source, bytes):
        return source.source
    if source.type != "file":
        raise AudioError(f"sound of the type {shown(source.type)} is not read; save it in files")
    return str(source.source)


def _changed(cut: Cut) -> tuple[Samples, int]:
    """The sound (N,) with the changes that lhotse keeps with a recording made to it, and its rate.

    `Speed` and `Resample` change the rate, `Volume` the level; `ReverbWithImpulseResponse` puts it into a
    room. Other changes are refused where a CutSet is read.
    """
    changes = [
        change if isinstance(change, dict) else change.to_dict() for change in cut.recording.transforms
    ]
    made = [(change["name"], change["kwargs"]) for change in changes]
    faster, rate = 1.0, cut.recording.sampling_rate
    for name, arguments in reversed(made):
        faster *= arguments["factor"] if name == "Speed" else 1.0
        rate = arguments["source_sampling_rate"] if name == "Resample" else rate
    source, channel = _source_of(cut)
    sound = audio.load(
        _file(source), rate, offset=cut.start * faster, duration=cut.duration * faster, channel=channel
    )
    for name, arguments in made:
        sound, rate = _change(name, arguments, sound, rate)
    return sound[: max(1, round(cut.duration * rate))], rate


def _change(name: str, arguments: dict[str, Any], sound: Samples, rate: int) -> tuple[Samples, int]:
    match name:
        case "Speed":
            return audio.from_samples(sound, round(rate * arguments["factor"]), rate), rate
        case "Resample":
            wanted = arguments["target_sampling_rate"]
            return audio.from_samples(sound, rate, wanted), wanted
        case "Volume":
            return sound * np.float32(arguments["factor"]), rate
        case "ReverbWithImpulseResponse":
            response = arguments["rir"]["sources"][0]
            [channel] = arguments["rir_channels"]
            position = response["channels"].index(channel) if len(response["channels"]) > 1 else None
            return _in_room(sound, audio.load(response["source"], rate, channel=position)), rate
    raise AudioError(f"sound changed by {shown(name)} is not read; save the changed sound")


def _in_room(sound: Samples, response: Samples) -> Samples:
    """The sound (N,) in a room with the response (M,), which counts from its loudest sample."""
    changed: Samples = fftconvolve(sound, response[int(np.abs(response).argmax()) :])[: len(sound)]
    power = np.square(sound).mean() / max(float(np.square(changed).mean()), 1e-10)
    return np.asarray(changed * np.sqrt(power), dtype=np.float32)
