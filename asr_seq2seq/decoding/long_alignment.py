"""A long text and the sound that it was read in: where each character is, in memory that is bounded.

CTC segmentation (Kuerzinger et al. 2020, "CTC-Segmentation of Large Corpora for German End-to-end Speech
Recognition"): the Viterbi algorithm over the whole text, in which sound before, behind and between the words
that is not in the text costs nothing. Where that paper lets the first state wait for free, here every state
beside a word can: what a frame scores is counted from its most likely symbol less `SKIP`, so that
skipped sound scores 0, right text more and wrong text less. Where the sound pauses, no word continues, and
the place between two utterances is more likely than another: the weaker a model, the more that helps.

Only states near the best are kept, and of the steps of a path only those of one block of frames: the scores
before each block are stored, and on the way back the steps of a block are computed again (checkpointing).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr_seq2seq.decoding.alignment import Frames, advance
from asr_seq2seq.runtime.protocol import Floats, Integers
from asr_seq2seq.text.tokenizer import PADDING

SKIP = 4.0  # nats that a frame of skipped sound is below its most likely symbol
IN_WORD = 4.0  # nats that a frame of a pause costs inside a word, ...
IN_UTTERANCE = 1.0  # ... and between two words of one utterance
BEAM = 10_000.0  # nats; states that are so far below the best are given up
MOST_STATES = 1 << 16  # kept at a time, two for each character
BLOCK = 256  # frames

_Progress = Callable[[int], None]


@dataclass(frozen=True)
class _Topology:
    """The states of a text, blank, character, blank ..: (S,) each.

    Symbols; 0 where a state may be reached from the last but one, else minus infinity; and the numbers of the
    states in which sound may be skipped, in order, with what such a frame of a pause costs.
    """

    symbols: Integers
    skips: npt.NDArray[np.float32]
    waiting: Integers
    costs: npt.NDArray[np.float32]

    @classmethod
    def of(cls, text: Sequence[int], gaps: Sequence[int], breaks: Sequence[int]) -> _Topology:
        states = 2 * len(text) + 1
        symbols, skips = np.full(states, PADDING), np.full(states, -np.inf, np.float32)
        symbols[1::2] = text
        skips[3::2] = np.where(np.diff(text) != 0, 0.0, -np.inf)
        free = {0, states - 1, *(2 * gap for gap in breaks)}
        waiting = sorted(free.union(2 * gap for gap in gaps))
        costs = [0.0 if state in free else IN_UTTERANCE for state in waiting]
        return cls(symbols, skips, np.array(waiting), np.array(costs, np.float32))


@dataclass(frozen=True)
class _Checkpoint:
    """The scores of the states `first`, `first` + 1 .. before a block, (W,)."""

    first: int
    scores: npt.NDArray[np.float32]


def align_long(
    ctc: Floats,
    text: Sequence[int],
    gaps: Sequence[int],
    breaks: Sequence[int] = (),
    pauses: npt.NDArray[np.bool_] | None = None,
    *,
    skip: float = SKIP,
    beam: float = BEAM,
    most: int = MOST_STATES,
    block: int = BLOCK,
    on_progress: _Progress = lambda frames: None,
) -> Integers | None:
    """CTC log-probabilities (T, V) and a text of U characters -> the position of the character at each frame.

    (T,), -1 where there is none. Sound may be skipped before the characters at the positions `gaps`, and
    before and behind the text; `breaks` are those of `gaps` at which an utterance ends or begins, and at the
    frames `pauses` (T,) nobody speaks. None where the text cannot be aligned: it is empty, or has too many
    characters for so few frames. Memory: 4 bytes for each of at most `most` states every `block` frames, and
    `most` * `block` bytes. `on_progress` is told the frames that were passed, 2 T altogether.
    """
    if not text or not len(ctc):
        return None
    topology = _Topology.of(text, gaps, breaks)
    quiet = np.zeros(len(ctc), bool) if pauses is None else pauses
    states = len(topology.symbols)
    start = np.full(min(states, most), -np.inf, np.float32)
    start[0] = 0.0  # before the first frame all paths are in the first state
    checkpoints = [_window(_Checkpoint(0, start), states, beam, most, block)]
    for begin in range(0, len(ctc), block):
        frames = ctc[begin : begin + block]
        relative = _relative(frames, skip)
        after, _ = _pass(relative, quiet[begin:], checkpoints[-1], topology, traced=False)
        on_progress(len(frames))
        checkpoints.append(_window(after, states, beam, most, block))
    after = checkpoints.pop()
    last = _score(after, states - 1)
    if max(last, _score(after, states - 2)) == -np.inf:
        return None
    state = states - 1 if last >= _score(after, states - 2) else states - 2
    path = np.empty(len(ctc), np.int64)
    for number, checkpoint in reversed(list(enumerate(checkpoints))):
        begin = number * block
        frames = ctc[begin : begin + block]
        _, steps = _pass(_relative(frames, skip), quiet[begin:], checkpoint, topology, traced=True)
        for frame in reversed(range(len(frames))):
            path[begin + frame] = state
            state -= int(steps[frame, state - checkpoint.first])
        on_progress(len(frames))
    found: Integers = np.where(path % 2 == 1, path // 2, -1)
    return found


def _score(checkpoint: _Checkpoint, state: int) -> float:
    inside = 0 <= state - checkpoint.first < len(checkpoint.scores)
    return float(checkpoint.scores[state - checkpoint.first]) if inside else -np.inf


def _window(before: _Checkpoint, states: int, beam: float, most: int, block: int) -> _Checkpoint:
    """The states to keep for a block: those near the best, and what can be reached from them."""
    scores = before.scores
    best = int(scores.argmax())
    good = np.flatnonzero(scores > scores[best] - beam)
    first = max(int(good[0]), best - most // 2)
    stop = min(int(good[-1]) + 1 + 2 * block, first + most, states - before.first)
    kept = np.full(stop - first, -np.inf, np.float32)
    there = scores[first:stop]
    kept[: len(there)] = there - scores[best]  # only differences count, and these keep their precision
    return _Checkpoint(before.first + first, kept)


def _relative(ctc: Floats, skip: float) -> npt.NDArray[np.float32]:
    """Log-probabilities (T, V), counted from the most likely symbol of each frame less `skip`."""
    relative: npt.NDArray[np.float32] = (ctc - ctc.max(1, keepdims=True) + skip).astype(np.float32)
    return relative


def _pass(
    relative: npt.NDArray[np.float32],
    pauses: npt.NDArray[np.bool_],
    before: _Checkpoint,
    topology: _Topology,
    *,
    traced: bool,
) -> tuple[_Checkpoint, npt.NDArray[np.int8]]:
    """The scores behind a block of frames, and where `traced` the steps (frames, W)."""
    first, width = before.first, len(before.scores)
    symbols, skips = topology.symbols[first : first + width], topology.skips[None, first : first + width]
    inside = slice(*np.searchsorted(topology.waiting, (first, first + width)))
    waiting, costs = topology.waiting[inside] - first, topology.costs[inside]
    best, after = (np.full((1, width + 2), -np.inf, np.float32) for _ in range(2))
    best[0, 2:] = before.scores
    steps = np.zeros((len(relative) if traced else 0, width), np.int8)
    for number, frame in enumerate(relative):
        emitted = frame[symbols]
        waits = max(np.float32(0), frame[PADDING])
        if pauses[number]:
            emitted -= np.float32(IN_WORD)
            emitted[waiting] = waits - costs
        else:
            emitted[waiting] = waits
        step = advance(best, skips, emitted[None], after)
        if traced:
            steps[number] = step[0]
        best, after = after, best
    return _Checkpoint(first, best[0, 2:].copy()), steps


def frames_of(path: Integers, count: int) -> Frames:
    """A path (T,) through `count` characters -> the (first, last + 1) frame of each."""
    frames = np.flatnonzero(path >= 0)
    positions = path[frames]
    first = frames[np.searchsorted(positions, np.arange(count))]
    last = frames[np.searchsorted(positions, np.arange(count), side="right") - 1] + 1
    return list(zip(first.tolist(), last.tolist(), strict=True))


def path_scores(ctc: Floats, path: Integers, text: Sequence[int]) -> npt.NDArray[np.float64]:
    """The log-probability of each frame's symbol on a path, (T,)."""
    symbols = np.where(path >= 0, np.array(text)[np.maximum(path, 0)], PADDING)
    scores: npt.NDArray[np.float64] = np.take_along_axis(ctc, symbols[:, None], 1)[:, 0].astype(np.float64)
    return scores


def worst_mean(scores: npt.NDArray[np.float64], width: int) -> float:
    """The lowest mean of `width` successive scores (N,), N > 0; of all where there are no more."""
    if len(scores) <= width:
        return float(scores.mean())
    sums = np.cumsum(np.concatenate(([0.0], scores)))
    return float((sums[width:] - sums[:-width]).min() / width)
