"""Read a sound file: where it begins and ends, one channel of it, at the rate that is wanted.

libsndfile (through soundfile) reads WAV, FLAC, AIFF, AU, NIST Sphere and more, PyAV the rest; no other
program is run. Whatever is wrong with the sound is an :class:`~asr_seq2seq.errors.AudioError` of one
sentence that names it. Sound is read, mixed and resampled in blocks, so that :func:`blocks` takes no more
memory for an hour than for a minute.
"""

import math
import os
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile

from asr_seq2seq.audio.channels import mix, window_samples
from asr_seq2seq.audio.checks import RATES, Samples, check_rate, checked
from asr_seq2seq.audio.joined import Sound
from asr_seq2seq.audio.libsndfile import PROBLEMS, UNKNOWN_FRAMES
from asr_seq2seq.audio.parts import beyond_end, check_part, sample_count, skipped
from asr_seq2seq.audio.resampling import margin, resample
from asr_seq2seq.audio.source import Source, open_source


def load(
    source: Source,
    sample_rate: int,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> Samples:
    """Read a sound as a mono waveform: float32 (N,), full scale at 1.0, of all its channels one.

    Times are those of the file's own clock, as a player shows them: a track that begins late begins with
    silence, and so does sound after a gap. A part, by ``offset`` and ``duration``, is that slice of the
    whole: samples round(offset * sample_rate) on, round(duration * sample_rate) of them.

    Args:
        source: a path, ``"-"`` for standard input, the bytes of a sound file, or an open binary file.
        sample_rate: the rate wanted, in Hz.
        offset: where to begin, in seconds.
        duration: how much to read, in seconds; where the sound ends before that, up to its end.
        channel: take this channel alone, counted from 0; an ``AudioError`` where there is none such. By
            default, what :mod:`~asr_seq2seq.audio.channels` makes of all of them.

    Raises:
        AudioError: no such file, not a sound, empty, silent (every sample zero), not finite, shorter
            than ``MINIMUM_SECONDS``, ``offset`` beyond the end, or a file cut short (a cut MP3, AAC, Ogg
            or MPEG stream passes: they need not tell their length).
    """
    parts = blocks(source, sample_rate, offset=offset, duration=duration, channel=channel)
    return np.concatenate(list(parts))


def blocks(
    source: Source,
    sample_rate: int,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> Iterator[Samples]:
    """The same waveform in successive blocks of (N_i,): what is read is not kept.

    What is wrong is raised where it is met, so that an error may come after good blocks.
    """
    check_part(offset, duration)
    check_rate(sample_rate)
    name, file = open_source(source)
    with closing(file):
        yield from _part(Sound(name, file), sample_rate, offset, duration, channel)


def load_native(
    source: Source,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> tuple[Samples, int]:
    """Read a sound as :func:`load` does, but at the rate that it has: the waveform (N,) and the rate."""
    check_part(offset, duration)
    name, file = open_source(source)
    with closing(file):
        sound = Sound(name, file)
        return np.concatenate(list(_part(sound, sound.rate, offset, duration, channel))), sound.rate


def _part(
    sound: Sound, sample_rate: int, offset: float, seconds: float | None, channel: int | None
) -> Iterator[Samples]:
    """The mono waveform at ``sample_rate``, checked, from ``offset`` on, for ``seconds``."""
    rate, window = sound.rate, window_samples(sound.rate)
    first = round(offset * sample_rate)
    count = sample_count(seconds, sample_rate)
    # The windows of the mix are counted from the beginning, and one depends on the one before; what is
    # resampled begins where a sample of both rates lies, with all that the filter reaches.
    common = math.gcd(rate, sample_rate)
    old, new = rate // common, sample_rate // common
    reach = margin(rate, sample_rate)
    begin = max(0, (first * old // new - reach) // old * old)
    start = max(0, (begin // window - 1) * window)
    stop = None
    if count is not None:
        last = math.ceil((first + count) * old / new) + reach
        stop = -(-last // window) * window
    mono = skipped(mix(sound.read(start, stop), rate, sound.name, channel), begin - start)
    wanted = skipped(resample(mono, rate, sample_rate), first - begin // old * new, count)
    if first:
        ahead = next(wanted, None)
        if ahead is None:
            raise beyond_end(sound.name, offset, (sound.length or 0) / rate)
        wanted = chain([ahead], wanted)
    yield from checked(wanted, sample_rate, sound.name)


def duration(source: Source) -> float:
    """Return the seconds that a sound file lasts, by its header; where that does not tell, it is decoded.

    Raises an ``AudioError`` where the file is missing, empty or not a sound.
    """
    name, file = open_source(source)
    with closing(file):
        sound = Sound(name, file)
        if (frames := sound.frames) is None:
            frames = sum(map(len, sound.read(0, None)))
        return frames / sound.rate


def native_rate(source: Source) -> int:
    """Return the samples per second that a sound file has.

    Raises an ``AudioError`` where the file is missing, empty or not a sound.
    """
    name, file = open_source(source)
    with closing(file):
        return Sound(name, file).rate


def channel_count(source: Source) -> int:
    """Return the number of channels of a sound file.

    Raises an ``AudioError`` where the file is missing, empty or not a sound.
    """
    name, file = open_source(source)
    with closing(file):
        first = next(Sound(name, file).read(0, 1), None)
    return 1 if first is None else int(first.shape[1])


def expected_seconds(source: object) -> float:
    """About how long a sound file lasts, by its header alone; 0 where that does not tell, and no error."""
    try:
        if not Path(str(source)).is_file():  # standard input or a pipe, of which nothing may be taken away
            return 0.0
        info = soundfile.info(os.fsencode(str(source)))
    except (*PROBLEMS, OSError):
        return 0.0
    known = 0 < info.frames < UNKNOWN_FRAMES and info.samplerate in RATES
    return info.frames / info.samplerate if known else 0.0
