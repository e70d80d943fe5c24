"""When each character and word was spoken: CTC forced alignment, its edges moved to where the sound is quiet.

A CTC head says in which order and roughly when characters come, but it is free to place the first
character of a word anywhere in the pause before it (Graves et al. 2006 train only the order). So
the alignment decides between which two frames a word boundary lies, and the energy of the sound
decides where between them. Without a CTC head the peaks of attention stand for the alignment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.percentiles import percentiles
from asr_seq2seq.runtime.protocol import AcousticModel, Floats, Integers
from asr_seq2seq.text.tokenizer import PADDING, START

Frames = list[tuple[int, int]]  # (first, last + 1) frame of each character

_FRAME_SECONDS = 0.01
# A frame is quiet below this part of the way, in decibels, from quiet to loud: the utterance's tenth and
# ninety-fifth percentile, or the quietest frame at hand where the background is louder there.
_QUIET = 0.08
_BACKGROUND, _SPEECH = 10, 95
_LONG_PAUSE = 0.1  # seconds


def best_paths(ctc: Floats, lengths: Integers, texts: Sequence[Sequence[int]]) -> Integers:
    """The most likely alignment of each text: (B, T), the position of the character at each frame.

    CTC log-probabilities (B, T, V), frames (B,), texts of B utterances. -1 stands for the blank, and -2 at
    every frame of a text without characters, or with more than CTC has frames for. The Viterbi algorithm over
    blank, character, blank .. (Graves et al. 2006, section 4.1), all utterances and states at once.
    """
    batch, time, _ = ctc.shape
    states = 2 * max(map(len, texts), default=0) + 1
    symbols, skips, ends = np.full((batch, states), PADDING), np.full((batch, states), -np.inf), []
    for row, text in enumerate(texts):
        symbols[row, 1 : 2 * len(text) : 2] = text
        # A character can follow another without a blank, unless it is the same.
        skips[row, 3 : 2 * len(text) : 2] = np.where(np.diff(text) != 0, 0.0, -np.inf)
        ends.append(2 * len(text))
    emitted = np.take_along_axis(ctc.astype(np.float64), symbols[:, None], 2).transpose(1, 0, 2).copy()
    steps = np.zeros((time, batch, states), np.int8)  # how many states a path came on by
    # Two states that no path is in stand before the first.
    best, after = np.full((batch, states + 2), -np.inf), np.full((batch, states + 2), -np.inf)
    best[:, 2:4] = emitted[0, :, :2]
    last = [best[:, 2:].copy()]
    for frame in range(1, time):
        steps[frame] = advance(best, skips, emitted[frame], after)
        best, after = after, best
        last.append(best[:, 2:].copy())
    return _traced(np.stack(last), steps, lengths, np.array(ends, np.int64))


def advance(best: Floats, skips: Floats, emitted: Floats, after: Floats) -> npt.NDArray[np.int8]:
    """One frame of the Viterbi algorithm: by how many states, 0 to 2, the best path to each came on, (B, S).

    `best` are the scores before the frame, (B, S + 2), two states that no path is in before the first;
    `skips` (B, S) is 0 where a state can be reached from the last but one and else minus infinity, and
    `emitted` (B, S) what a state scores at this frame. The scores behind it are written to `after`.
    """
    candidate = best[:, 1:-1]
    skipped = best[:, :-2] + skips
    stay = np.maximum(best[:, 2:], candidate)
    steps = (candidate > best[:, 2:]).view(np.int8)
    steps[skipped > stay] = 2
    np.maximum(stay, skipped, out=stay)
    np.add(stay, emitted, out=after[:, 2:])
    return steps


def _traced(scores: Floats, steps: Integers, lengths: Integers, ends: Integers) -> Integers:
    """Scores and steps (T, B, S) -> the paths of `best_paths`, from each utterance's last frame back."""
    time, batch, _ = scores.shape
    rows = np.arange(batch)
    final = scores[lengths - 1, rows]  # (B, S)
    before = np.maximum(ends - 1, 0)
    with_character = final[rows, before] > final[rows, ends]
    state = np.where(with_character, before, ends)
    impossible = (final[rows, state] == -np.inf) | (ends == 0)
    paths = np.full((batch, time), -1)
    for frame in reversed(range(time)):
        inside = frame < lengths
        paths[:, frame] = np.where(inside & (state % 2 == 1), state // 2, -1)
        state = np.where(inside, state - steps[frame, rows, state], state)
    paths[impossible] = -2
    return paths


def character_frames(ctc: Floats, lengths: Integers, texts: Sequence[Sequence[int]]) -> list[Frames | None]:
    """CTC log-probabilities (B, T, V), frames (B,), texts -> the frames of each character of each text.

    None where CTC cannot align a text: it has no characters, or more than there are frames for.
    """
    found: list[Frames | None] = []
    for path, text in zip(best_paths(ctc, lengths, texts), texts, strict=True):
        if path[0] == -2:
            found.append(None)
            continue
        (frames,) = np.nonzero(path >= 0)
        counts = np.bincount(path[frames], minlength=len(text))
        last = frames[np.cumsum(counts) - 1] + 1
        found.append(list(zip((last - counts).tolist(), last.tolist(), strict=True)))
    return found


def attention_of(
    model: AcousticModel, encoded: Any, texts: Sequence[Sequence[int]]
) -> list[npt.NDArray[np.float32]] | None:
    """Where the decoder looks along each text: (U + 1, T'), the end symbol last, the mean over heads.

    None where the decoder has no attention.
    """
    if not model.has_attention:
        return None
    tokens = np.full((len(texts), 1 + max(map(len, texts))), PADDING)
    tokens[:, 0] = START
    for row, text in zip(tokens, texts, strict=True):
        row[1 : 1 + len(text)] = text
    state, looked = model.start(encoded), []
    for column in tokens.T:
        _, weights, state = model.step(state, np.ascontiguousarray(column), attention=True)
        assert weights is not None
        looked.append(weights)
    weights = np.stack(looked, axis=1)  # (B, U + 1, T')
    return [
        row[: len(text) + 1, :count].astype(np.float32)
        for row, text, count in zip(weights, texts, encoded.lengths, strict=True)
    ]


def peak_frames(weights: Floats) -> Frames:
    """Attention (U, T') of each character -> the frame of each: where it looked most.

    Speech goes forward, so that no peak lies before that of an earlier character.
    """
    if not len(weights):
        return []
    peaks = np.maximum.accumulate(weights.argmax(1)).tolist()
    return [(peak, peak + 1) for peak in peaks]


@dataclass(frozen=True)
class Loudness:
    """How loud a sound is: decibels of successive frames (N,), each of `seconds`.

    Quiet is what is below the part `quiet` of the way, in decibels, from the quiet to the loud frames of the
    sound, within some `near` seconds of the place where that is given. A pause is looked for no further than
    `reach` seconds from a word where that is given.
    """

    decibels: npt.NDArray[np.float64]
    seconds: float
    quiet: float = _QUIET
    near: float | None = None
    reach: float | None = None

    @classmethod
    def of(cls, sound: npt.NDArray[Any], sample_rate: int) -> Loudness:
        """That of samples (N,)."""
        frame = frame_samples(sample_rate)
        return cls(smooth(levels(sound, frame)), frame / sample_rate)

    def frame(self, seconds: float) -> int:
        """The number of the frame at a time."""
        return min(max(0, round(seconds / self.seconds)), len(self.decibels) - 1)

    @cached_property
    def _ranges(self) -> npt.NDArray[np.float64]:
        """Quiet and loud, in decibels, near each stretch of `near` seconds."""
        if self.near is None:
            return np.array([percentiles(self.decibels, _BACKGROUND, _SPEECH)])
        width = max(1, round(self.near / self.seconds))
        places = range(0, len(self.decibels), width)
        parts = (self.decibels[max(0, place - width) : place + 2 * width] for place in places)
        return np.array([percentiles(part, _BACKGROUND, _SPEECH) for part in parts])

    def pause(self, first: int, last: int) -> tuple[int, int]:
        """The pause between two frames: (first, last + 1) of the longest quiet stretch.

        Where all is loud it is the quietest frame, as an empty stretch.
        """
        last = max(first, last)
        width = len(self.decibels) if self.near is None else max(1, round(self.near / self.seconds))
        low, high = self._ranges[(first + last) // 2 // width]
        energy = self.decibels[first : last + 1]
        low = max(float(low), float(energy.min()))
        runs = _runs(energy < low + self.quiet * (float(high) - low))
        if not len(runs):
            quietest = first + int(energy.argmin())
            return quietest, quietest
        lengths = runs[:, 1] - runs[:, 0]
        begin, end = runs[lengths.argmax()]
        if self.near is not None and (lengths * self.seconds >= _LONG_PAUSE).any():
            long = runs[lengths * self.seconds >= _LONG_PAUSE]  # with a breath between them perhaps
            begin, end = long[0, 0], long[-1, 1]
        return first + int(begin), first + int(end)

    def pauses(self, shortest: float, frame: float, count: int) -> npt.NDArray[np.bool_]:
        """Which of `count` frames of `frame` seconds lie in quiet stretches of `shortest` seconds or more."""
        width = len(self.decibels) if self.near is None else max(1, round(self.near / self.seconds))
        low, high = (np.repeat(level, width)[: len(self.decibels)] for level in self._ranges.T)
        runs = _runs(self.decibels < low + self.quiet * (high - low))
        runs = runs[(runs[:, 1] - runs[:, 0]) * self.seconds >= shortest]
        found = np.zeros(count, bool)
        for begin, end in (runs * self.seconds / frame).tolist():
            found[math.ceil(begin) : math.floor(end)] = True
        return found


def word_times(
    words: Sequence[Sequence[tuple[int, int]]], seconds_per_frame: float, loudness: Loudness
) -> list[tuple[float, float]]:
    """Frames of each word's characters -> (start, end) in seconds of each word.

    The boundary of two words lies between the last character of the first and the second character
    of the second (its own first may stand in the pause); the longest quiet stretch there is the
    pause, and where all is loud the quietest frame is the boundary. Between words that are further apart
    than twice the `reach` of the loudness, what is beside each is looked at alone.
    """
    edges: list[tuple[int, int]] = []  # (end of the word before, start of the next) in frames of loudness
    for number in range(len(words) + 1):
        before = words[number - 1] if number else None
        behind = words[number] if number < len(words) else None
        edges.append(_edge(before, behind, seconds_per_frame, loudness))
    return [
        (before[1] * loudness.seconds, max(before[1], after[0]) * loudness.seconds)
        for before, after in pairwise(edges)
    ]


def _edge(
    before: Sequence[tuple[int, int]] | None,
    behind: Sequence[tuple[int, int]] | None,
    seconds_per_frame: float,
    loudness: Loudness,
) -> tuple[int, int]:
    """Where the word before a pause ends and the one behind it begins, in frames of loudness."""

    def frame(encoded: float) -> int:
        return loudness.frame(encoded * seconds_per_frame)

    first = frame(before[-1][0]) if before else 0
    last = frame(behind[:2][-1][1]) if behind else len(loudness.decibels) - 1
    if loudness.reach is None or (last - first) * loudness.seconds <= 2 * loudness.reach:
        return loudness.pause(first, last)
    reach = loudness.reach / seconds_per_frame
    end = loudness.pause(first, frame(before[-1][1] + reach))[0] if before else first
    return end, (loudness.pause(frame(behind[0][0] - reach), last)[1] if behind else last)


def _runs(quiet: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """(first, last + 1) of each stretch of true frames, (R, 2)."""
    return np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(np.int8), [0])))).reshape(-1, 2)


def frame_samples(sample_rate: int) -> int:
    """Samples of a frame of loudness, a hundredth of a second."""
    return max(1, round(_FRAME_SECONDS * sample_rate))


def levels(sound: npt.NDArray[Any], frame: int) -> npt.NDArray[np.float64]:
    """Samples (N,) -> the level of each `frame` of them in decibels; a shorter sound is one frame."""
    count = max(1, len(sound) // frame)
    samples = np.resize(sound, count * frame).astype(np.float64).reshape(count, frame)
    level: npt.NDArray[np.float64] = 10 * np.log10(np.square(samples).mean(1) + 1e-10)
    return level


def smooth(level: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Levels (N,), each the mean of three."""
    result: npt.NDArray[np.float64] = np.convolve(np.pad(level, 1, mode="edge"), np.full(3, 1 / 3), "valid")
    return result
