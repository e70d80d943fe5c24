"""When each word was spoken: CTC forced alignment, its edges moved to where the sound is quiet.

A CTC head says in which order and roughly when characters come, but it is free to place the first
character of a word anywhere in the pause before it (Graves et al. 2006 train only the order). So
the alignment decides between which two frames a word boundary lies, and the energy of the sound
decides where between them. Without a CTC head the peaks of attention stand for the alignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from torch import Tensor

_FRAME_SECONDS = 0.01
# A frame is quiet below this part of the way, in decibels, from quiet to loud: the utterance's tenth and
# ninety-fifth percentile, or the quietest frame at hand where the background is louder there.
_QUIET = 0.08
_BACKGROUND, _SPEECH = 10, 95


def peak_frames(weights: Tensor) -> list[tuple[int, int]]:
    """Attention (U, T') of each character -> (first, last + 1) frame of each: where it looked most.

    Speech goes forward, so that no peak lies before that of an earlier character.
    """
    peaks = weights.argmax(1).cummax(0).values.tolist() if len(weights) else []
    return [(peak, peak + 1) for peak in peaks]


def word_times(
    words: Sequence[Sequence[tuple[int, int]]], seconds_per_frame: float, sound: Tensor, sample_rate: int
) -> list[tuple[float, float]]:
    """Frames of each word's characters, and the sound (N,) -> (start, end) in seconds of each word.

    The boundary of two words lies between the last character of the first and the second character
    of the second (its own first may stand in the pause); the longest quiet stretch there is the
    pause, and where all is loud the quietest frame is the boundary.
    """
    frame = max(1, round(_FRAME_SECONDS * sample_rate))  # samples
    seconds = frame / sample_rate
    energy = _decibels(sound, frame)
    low, high = np.percentile(energy, (_BACKGROUND, _SPEECH))

    def energy_frame(encoder_frame: int) -> int:
        return min(round(encoder_frame * seconds_per_frame / seconds), len(energy) - 1)

    edges = []  # the pause before each word and after the last, in energy frames
    for number in range(len(words) + 1):
        first = energy_frame(words[number - 1][-1][0]) if number else 0
        last = energy_frame(words[number][:2][-1][1]) if number < len(words) else len(energy) - 1
        edges.append(_pause(energy[first : max(first, last) + 1], low, high, first))
    return [(before[1] * seconds, max(before[1], after[0]) * seconds) for before, after in pairwise(edges)]


def _pause(energy: npt.NDArray[np.float64], low: float, high: float, first: int) -> tuple[int, int]:
    """The longest run of quiet frames, else the quietest frame as an empty run; `first` counts before."""
    low = max(low, float(energy.min()))
    quiet = energy < low + _QUIET * (high - low)
    steps = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(np.int8), [0]))))
    if not len(steps):
        quietest = first + int(energy.argmin())
        return quietest, quietest
    runs = steps.reshape(-1, 2)
    begin, end = runs[(runs[:, 1] - runs[:, 0]).argmax()]
    return first + int(begin), first + int(end)


def _decibels(sound: Tensor, frame: int) -> npt.NDArray[np.float64]:
    """Level of each `frame` samples, smoothed over three of them."""
    count = max(1, len(sound) // frame)
    samples = np.resize(sound.numpy(), count * frame).astype(np.float64).reshape(count, frame)
    level = 10 * np.log10(np.square(samples).mean(1) + 1e-10)
    smooth: npt.NDArray[np.float64] = np.convolve(np.pad(level, 1, mode="edge"), np.full(3, 1 / 3), "valid")
    return smooth
