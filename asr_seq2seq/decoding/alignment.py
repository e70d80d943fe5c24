"""When each character and word was spoken: CTC forced alignment, its edges moved to where the sound is quiet.

A CTC head says in which order and roughly when characters come, but it is free to place the first
character of a word anywhere in the pause before it (Graves et al. 2006 train only the order). So
the alignment decides between which two frames a word boundary lies, and the energy of the sound
decides where between them. Without a CTC head the peaks of attention stand for the alignment.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        candidate = best[:, 1:-1]
        skipped = best[:, :-2] + skips
        stay = np.maximum(best[:, 2:], candidate)
        steps[frame] = candidate > best[:, 2:]
        steps[frame][skipped > stay] = 2
        np.add(np.maximum(stay, skipped), emitted[frame], out=after[:, 2:])
        best, after = after, best
        last.append(best[:, 2:].copy())
    return _traced(np.stack(last), steps, lengths, np.array(ends, np.int64))


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


def word_times(
    words: Sequence[Sequence[tuple[int, int]]],
    seconds_per_frame: float,
    sound: npt.NDArray[Any],
    sample_rate: int,
) -> list[tuple[float, float]]:
    """Frames of each word's characters, and the sound (N,) -> (start, end) in seconds of each word.

    The boundary of two words lies between the last character of the first and the second character
    of the second (its own first may stand in the pause); the longest quiet stretch there is the
    pause, and where all is loud the quietest frame is the boundary.
    """
    frame = max(1, round(_FRAME_SECONDS * sample_rate))  # samples
    seconds = frame / sample_rate
    energy = _decibels(sound, frame)
    low, high = percentiles(energy, _BACKGROUND, _SPEECH)

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


def _decibels(sound: npt.NDArray[Any], frame: int) -> npt.NDArray[np.float64]:
    """Level of each `frame` samples, smoothed over three of them."""
    count = max(1, len(sound) // frame)
    samples = np.resize(sound, count * frame).astype(np.float64).reshape(count, frame)
    level = 10 * np.log10(np.square(samples).mean(1) + 1e-10)
    smooth: npt.NDArray[np.float64] = np.convolve(np.pad(level, 1, mode="edge"), np.full(3, 1 / 3), "valid")
    return smooth
