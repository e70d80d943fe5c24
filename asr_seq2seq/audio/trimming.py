"""Shorten silence in a segment and remove a constant offset, before an encoder sees it.

A network that was trained on utterances cut close to the words takes seconds of silence for something, and
features that are normalized over an utterance, or its level, are no longer those of its speech. Silence is
far below the loudest frame of the segment, and either digital silence or steady, as the noise of a room or a
recorder is: soft speech rises and falls. Some of it is kept beside the speech.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.leveling import STEADY, steady
from asr_seq2seq.audio.percentiles import percentiles
from asr_seq2seq.audio.segmentation import SILENCE_DECIBEL, Samples, frame_levels

_FRAME_SECONDS = 0.01
_DEPTH = 30.0  # decibels below the loudest frame, from which on a frame may be silent
_NEAR = 5  # frames on each side that are near
_SHORTEST = 40  # frames of one level are silence; a syllable is shorter
_TRANSITION = 2  # frames from one level to another
_MARGIN = 30  # frames that are kept of the background before and after all speech
_PAUSE = 50  # frames that are left of noise between words where it is more than twice as long
_DEAD_PAUSE = 20  # the same of digital silence
_OFFSET = 1e-2  # of the power of a segment, from which on a constant offset is removed
_STILL_SECONDS = 0.05  # longer than a crest that is clipped


@dataclass(frozen=True)
class Trimmed:
    """The samples (N',) that are left of a segment of `length` samples, in one or more stretches.

    `begins` are the first samples of the stretches in `samples`, `sources` (as many) those in the segment.
    """

    samples: npt.NDArray[np.floating[Any]]
    length: int
    begins: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]

    @property
    def whole(self) -> bool:
        """Whether nothing was taken out."""
        return len(self.samples) == self.length

    def source(self, sample: float, *, end: bool = False) -> float:
        """Where a sample of `samples` is in the segment; as an `end` it belongs to the stretch before it."""
        place = int(np.searchsorted(self.begins, sample, side="left" if end else "right"))
        stretch = max(0, place - 1)
        return float(sample - self.begins[stretch] + self.sources[stretch])

    def seconds(self, begin: float, end: float, sample_rate: int) -> tuple[float, float]:
        """The times in the segment of what begins and ends at these of `samples`."""
        if self.whole:
            return begin, end
        first = self.source(begin * sample_rate)
        return first / sample_rate, max(first, self.source(end * sample_rate, end=True)) / sample_rate

    def frames(self, spans: Sequence[tuple[int, int]], size: float) -> list[tuple[int, int]]:
        """Spans of encoded frames, each of `size` samples, as if all of the segment had been encoded."""
        if self.whole:
            return list(spans)
        firsts = [round(self.source(first * size) / size) for first, _ in spans]
        lasts = [round(self.source(stop * size, end=True) / size) for _, stop in spans]
        return [(first, max(first + 1, stop)) for first, stop in zip(firsts, lasts, strict=True)]

    def spread(self, weights: npt.NDArray[np.float32], size: float) -> npt.NDArray[np.float32]:
        """Weights (U, T') of encoded frames among those of the whole segment: 0 where nothing was encoded."""
        if self.whole:
            return weights
        places = [round(self.source(frame * size) / size) for frame in range(weights.shape[1])]
        count = max(places[-1] + 1, math.ceil((self.length + 1) / size))
        whole = np.zeros((len(weights), count), np.float32)
        for column, place in enumerate(places):
            whole[:, place] += weights[:, column]
        return whole


def untrimmed(samples: npt.NDArray[np.floating[Any]]) -> Trimmed:
    """Samples (N,), or features (T, F), of which all is left."""
    first = np.zeros(1, np.int64)
    return Trimmed(samples, len(samples), first, first)


def trim(samples: Samples, sample_rate: int) -> Trimmed:
    """Samples (N,) -> those that are no silence, or within a margin beside speech."""
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    keep = _kept(frame_levels(samples, frame))
    edges = _runs(keep) * frame
    stretches = [samples[first:stop] for first, stop in edges]
    rest = stretches[0] if len(stretches) == 1 else np.concatenate(stretches)
    lengths = [len(stretch) for stretch in stretches]
    begins = np.cumsum([0, *lengths[:-1]])
    return Trimmed(rest, len(samples), begins, edges[:, 0])


def without_offset(samples: Samples, sample_rate: int) -> Samples:
    """Samples (N,) less their mean; where they do not change at all for a while, as in digital silence, zero.

    So neither is an offset that sound has and the silence beside it has not.
    """
    still = np.zeros(len(samples), bool)
    for first, stop in _runs(np.diff(samples) == 0):
        if stop - first >= _STILL_SECONDS * sample_rate:
            still[first : stop + 1] = True
    if still.all():
        return np.zeros_like(samples)
    rest = samples[~still] if still.any() else samples
    offset = float(rest.mean(dtype=np.float64))
    if offset**2 <= _OFFSET * float(rest.var(dtype=np.float64)):
        return samples
    even = samples - np.float32(offset)
    even[still] = 0
    return even


def _runs(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Where flags (T,) are true: (R, 2), the first of each run and what follows its last."""
    padded = np.concatenate(([0], flags.astype(np.int8), [0]))
    found: npt.NDArray[np.int64] = np.flatnonzero(np.diff(padded)).reshape(-1, 2)
    return found


def _kept(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Levels (T,) of frames in decibels -> true for each frame that is kept; at least one is."""
    dead = levels <= SILENCE_DECIBEL
    quiet = levels <= levels.max() - _DEPTH
    keep = np.ones(len(levels), bool)
    if dead.all() or not quiet.any():
        return keep
    silent = quiet & (dead | steady(levels, _NEAR))
    for begin, end in _runs(silent):
        left = _DEAD_PAUSE if dead[begin:end].all() else _PAUSE
        if end - begin > 2 * left:
            keep[begin + left // 2 : end - left // 2] = False
    before, after = _silence(levels, quiet, dead), _silence(levels[::-1], quiet[::-1], dead[::-1])
    inside = slice(before[-1][1] if before else 0, len(levels) - (after[-1][1] if after else 0))
    lowest = float(levels[inside][~dead[inside]].min())
    loudest = int(levels.argmax())  # which may be the only frame between two silences, as of a click
    first = min(loudest, _cut(levels, dead, before, lowest))
    stop = max(loudest + 1, len(levels) - _cut(levels[::-1], dead[::-1], after, lowest))
    keep[:first] = keep[stop:] = False
    return keep


def _cut(
    levels: npt.NDArray[np.float64], dead: npt.NDArray[np.bool_], runs: list[tuple[int, int]], lowest: float
) -> int:
    """How many frames at the beginning are taken out, given the runs of silence there.

    Of the last run a margin is left if it is the background of the speech itself, which comes close to it; if
    not it was put there, and goes with the frame in which the level changes.
    """
    if not runs:
        return 0
    begin, end = runs[-1]
    if dead[begin:end].all():
        return end
    if abs(percentiles(levels[begin:end], 50)[0] - lowest) > STEADY:
        return end + 1  # a little noise is much in a band where the recording has none
    return max(begin + int(len(runs) > 1), end - _MARGIN)


def _silence(
    levels: npt.NDArray[np.float64], quiet: npt.NDArray[np.bool_], dead: npt.NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """The runs of silence, each of one level, with which frames begin: (first, last + 1) of each."""
    runs: list[tuple[int, int]] = []
    begin, low, high = 0, np.inf, -np.inf
    loud = len(quiet) if quiet.all() else int(quiet.argmin())
    for place in range(loud + 1):
        level = levels[place] if place < loud else np.inf
        changed = place == loud or dead[place] != dead[begin]
        if changed or max(high, level) - min(low, level) > STEADY:
            if place - begin >= (1 if dead[begin] else _SHORTEST):
                runs.append((begin, place))
            elif place - begin > _TRANSITION:
                break
            begin, low, high = place, np.inf, -np.inf
        low, high = min(low, level), max(high, level)
    return runs
