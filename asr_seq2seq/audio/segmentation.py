"""Cut long sound into segments that a model can take.

A model that was trained on utterances of up to ten seconds has never seen a minute. Segments end in the
latest pause that keeps them short enough; where there is no pause, at the quietest moment. A pause is
quiet beside what is near it, so neither a loud event nor music nor another speaker makes a pause of
speech, and a pause decides where to cut, nothing else. What is left out is silent in itself: longer
than two margins and below :data:`SILENCE_DECIBEL`, which is under the softest speech and above the
dither of 16 bits. (Silero VAD, where it is asked for, leaves out all in which it finds no voice.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.percentiles import percentiles
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.extras import needed

SILENCE_DECIBEL = -90.0  # of full scale, the level of 20 ms without their mean; 16 bits end at -98
_FRAME_SECONDS = 0.02
_PAUSE_SECONDS = 0.16  # shorter gaps may stand inside a word, before a plosive
_MARGIN_SECONDS = 0.25  # of silence, what is kept beside the sound
_EARLIEST = 4  # a segment is at least the limit divided by this, where a cut can be chosen
_QUIET = 0.3  # a pause is below this part of the way from the quietest moment to the usual level, in decibels
_FLAT = 6.0  # decibels; where the quietest moment is no further below the usual level there is no pause
_BOTTOM = 3.0  # decibels above the quietest moment of a pause, in the middle of which the cut is
_SILERO_RATE = 16000

Samples = npt.NDArray[np.float32]


class Cut(NamedTuple):
    """Of a window of samples the segment `first:stop`, which may be empty, and where the next begins."""

    first: int
    stop: int
    next: int


# A window (N,), its rate, the samples of silence to keep beside sound, whether the sound ends with it.
Cutter = Callable[[Samples, int, int, bool], Cut]


def split(
    blocks: Iterable[Samples], sample_rate: int, longest: float, cut: Cutter | None = None
) -> Iterator[tuple[int, Samples]]:
    """Successive blocks of a sound -> its segments, each with the sample it begins at.

    No segment is over `longest` seconds, and no more than that and a block is held. How the sound is
    divided into blocks changes nothing. A sound that is short enough is one segment as it is; what a
    longer one has between its segments was left out.
    """
    cut = cut or cut_at_pause
    limit = max(1, int(longest * sample_rate))
    margin = min(round(_MARGIN_SECONDS * sample_rate), limit // 8)
    source = iter(blocks)
    held, begin = np.zeros(0, np.float32), 0
    while True:
        parts, length = [held], len(held)
        while length <= limit and (block := next(source, None)) is not None:
            parts.append(block)
            length += len(block)
        held = np.concatenate(parts) if len(parts) > 1 else held
        if not len(held):
            return
        window = held[:limit]
        last = len(window) == len(held)
        if last and begin == 0:
            yield 0, held
            return
        found = cut(window, sample_rate, margin, last)
        if found.stop > found.first:
            yield begin + found.first, window[found.first : found.stop]
        begin += found.next
        held = held[found.next :]


def cut_at_pause(window: Samples, sample_rate: int, margin: int, last: bool) -> Cut:
    """The segment of a window by its levels; silence before and after it is left out."""
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    power = _power(window, frame)
    loud = np.flatnonzero(power > _to_power(SILENCE_DECIBEL)) * frame
    if not len(loud):
        return Cut(0, 0, len(window) if last else len(window) - margin)
    first = int(loud[0]) - margin
    if first > margin:  # begin again just before the sound, so that the segment can be long
        return Cut(0, 0, first)
    end = len(window) if last else _pause(power, frame, len(window))
    inside = loud[loud < end]
    if not len(inside):
        return Cut(0, 0, end)
    stop = int(inside[-1]) + frame + margin
    return Cut(0, stop if end - stop > margin else end, end)


def cutter(name: str) -> Cutter:
    """`energy` or `silero`; ConfigError for another name, or where Silero is not installed."""
    if name == "energy":
        return cut_at_pause
    if name != "silero":
        raise ConfigError(f"there is no way called {name} to find speech: give energy or silero")
    _silero()
    return cut_by_voice


def cut_by_voice(window: Samples, sample_rate: int, margin: int, last: bool) -> Cut:
    """The segment of a window by where a small network finds a voice (Silero VAD)."""
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    voice = find_voice(window, sample_rate)
    if not len(voice):
        return Cut(0, 0, len(window))
    first = max(0, int(voice[0, 0]) - margin)
    if first > margin:
        return Cut(0, 0, first)
    if last or len(window) - voice[-1, 1] > 2 * frame:
        end = len(window)  # it ends where the sound does, or in a pause
    elif len(voice) > 1:
        end = int(voice[-2, 1] + voice[-1, 0]) // 2
    else:
        end = _pause(_power(window, frame), frame, len(window))
    return Cut(first, min(end, int(voice[voice[:, 0] < end][-1, 1]) + margin), end)


def find_voice(samples: Samples, sample_rate: int) -> npt.NDArray[np.int64]:
    """Samples (N,) -> intervals (start, stop) with a voice, (I, 2), by Silero VAD."""
    silero, model = _silero()
    import torch

    sound, scale = samples, 1.0
    if sample_rate != _SILERO_RATE:
        from asr_seq2seq.audio.resampling import resample

        sound = np.concatenate(list(resample([samples], sample_rate, _SILERO_RATE)))
        scale = sample_rate / _SILERO_RATE
    found = silero.get_speech_timestamps(torch.from_numpy(sound), model, sampling_rate=_SILERO_RATE)
    joined: list[list[int]] = []
    for part in found:
        start, stop = int(part["start"] * scale), min(len(samples), int(part["end"] * scale))
        if joined and start - joined[-1][1] < _PAUSE_SECONDS * sample_rate:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return np.array(joined, dtype=np.int64).reshape(-1, 2)


@cache
def _silero() -> tuple[Any, Any]:
    with needed("finding speech with silero", "silero"):
        import torch

        threads = torch.get_num_threads()
        import silero_vad
    torch.set_num_threads(threads)  # its import leaves one thread to all the process
    return silero_vad, silero_vad.load_silero_vad()


def frame_levels(samples: Samples, frame: int) -> npt.NDArray[np.float64]:
    """The level of each frame of samples (N,) in decibels of full scale, at least that of silence."""
    power = _power(samples, frame)
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(power, _to_power(SILENCE_DECIBEL)))
    return levels


def _to_power(decibel: float) -> float:
    return float(10 ** (decibel / 10))


def _power(samples: Samples, frame: int) -> npt.NDArray[np.float64]:
    """The power of each frame of samples without its mean, which is no sound; the last may be short."""
    starts = np.arange(0, len(samples), frame)
    lengths = np.diff(np.append(starts, len(samples)))
    exact = samples.astype(np.float64)
    means = np.add.reduceat(exact, starts) / lengths
    power: npt.NDArray[np.float64] = np.add.reduceat(np.square(exact - np.repeat(means, lengths)), starts)
    return power / lengths


def _pause(power: npt.NDArray[np.float64], frame: int, length: int) -> int:
    """The sample in the middle of the latest pause, else at the quietest moment of the second half.

    It is inside the window of `length` samples, whose last frame may be short.
    """
    width = max(1, min(round(_PAUSE_SECONDS / _FRAME_SECONDS), len(power) // 8))
    smooth = np.convolve(power, np.ones(width) / width, mode="valid")
    level = 10 * np.log10(np.maximum(smooth, _to_power(SILENCE_DECIBEL)))
    begin = len(level) // _EARLIEST
    low, usual = float(level[begin:].min()), percentiles(level[begin:], 75)[0]
    if usual - low < _FLAT:
        begin = len(level) // 2
        at = begin + int(level[begin:].argmin())
        return min(round((at + width / 2) * frame), length)
    first, stop = _last_run(level, begin, len(level), low + _QUIET * (usual - low))
    first, stop = _last_run(level, first, stop, float(level[first:stop].min()) + _BOTTOM)
    return min(round(((first + stop - 1) / 2 + width / 2) * frame), length)


def _last_run(level: npt.NDArray[np.float64], begin: int, end: int, highest: float) -> tuple[int, int]:
    """The last stretch of `begin:end` that is at most `highest`; there is one."""
    quiet = np.flatnonzero(level[begin:end] <= highest) + begin
    gaps = np.flatnonzero(np.diff(quiet) > 1)
    return int(quiet[gaps[-1] + 1 if len(gaps) else 0]), int(quiet[-1]) + 1
