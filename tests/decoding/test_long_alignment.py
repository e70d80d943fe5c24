import itertools
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest

from asr_seq2seq.decoding.alignment import best_paths
from asr_seq2seq.decoding.long_alignment import (
    IN_UTTERANCE,
    IN_WORD,
    align_long,
    frames_of,
    path_scores,
    worst_mean,
)

Array = npt.NDArray[np.floating]


def _log_softmax(logits: Array) -> Array:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _ctc(frames: int, vocabulary: int, seed: int, scale: float = 1.0) -> Array:
    return _log_softmax(scale * np.random.default_rng(seed).standard_normal((frames, vocabulary)))


def _spoken(text: list[int], vocabulary: int, seed: int = 0, frames_each: int = 3) -> Array:
    """Log-probabilities in which each character is clear in one frame and blank in the others."""
    random = np.random.default_rng(seed)
    logits = random.standard_normal((len(text) * frames_each, vocabulary))
    logits[:, 0] += 8
    for number, token in enumerate(text):
        logits[number * frames_each + 1, 0] -= 8
        logits[number * frames_each + 1, token] += 8
    return _log_softmax(logits)


def _all_paths(
    ctc: Array, text: list[int], gaps: set[int], breaks: set[int], pauses: Array, skip: float
) -> dict[tuple[int, ...], float]:
    """Every way through blank, character, blank ..: its characters, and their highest score."""
    states = 2 * len(text) + 1
    symbols = [0 if state % 2 == 0 else text[state // 2] for state in range(states)]
    free = {0, states - 1} | {2 * gap for gap in breaks}
    waiting = free | {2 * gap for gap in gaps}

    def emitted(frame: int, state: int) -> float:
        score = ctc[frame, symbols[state]] - ctc[frame].max() + skip
        if state not in waiting:
            return float(score - IN_WORD * pauses[frame])
        return float(max(0.0, score) - IN_UTTERANCE * (pauses[frame] and state not in free))

    def allowed(before: int, after: int) -> bool:
        step = after - before
        apart = step == 2 and after % 2 == 1 and symbols[after] != symbols[before]
        return step in (0, 1) or apart

    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(states), repeat=len(ctc)):
        if path[0] > 1 or path[-1] < states - 2 or not all(map(allowed, path, path[1:])):
            continue
        score = sum(emitted(frame, state) for frame, state in enumerate(path))
        characters = tuple(state // 2 if state % 2 else -1 for state in path)
        found[characters] = max(score, found.get(characters, -np.inf))
    return found


@pytest.mark.parametrize("text", [[1], [1, 2], [2, 2], [1, 2, 1]])
def test_the_path_is_the_best_of_all(text: list[int]) -> None:
    for seed in range(6):
        random = np.random.default_rng(seed)
        ctc = _ctc(6 if len(text) < 3 else 5, 3, seed, 2.0)
        pauses = random.random(len(ctc)) < 0.3
        gaps = {position for position in range(1, len(text)) if random.random() < 0.6}
        breaks = {gap for gap in gaps if random.random() < 0.5}
        for skip in (0.5, 2.0):
            found = align_long(ctc, text, sorted(gaps), sorted(breaks), pauses, skip=skip)
            assert found is not None
            scores = _all_paths(ctc, text, gaps, breaks, pauses, skip)  # several may be the best
            assert scores[tuple(found.tolist())] == pytest.approx(max(scores.values()), abs=1e-4)


def test_where_nothing_may_be_skipped_it_is_the_alignment_of_a_short_text() -> None:
    for seed in range(5):
        ctc = _ctc(80, 9, seed)
        text = np.random.default_rng(seed).integers(1, 9, 25).tolist()
        expected = best_paths(ctc[None], np.array([80]), [text])[0]
        found = align_long(ctc, text, [], skip=30.0)
        assert found is not None and found.tolist() == expected.tolist()


def test_blocks_and_windows_change_nothing() -> None:
    text = np.random.default_rng(3).integers(1, 20, 200).tolist()
    ctc, gaps = _spoken(text, 20), list(range(10, 200, 10))
    expected = align_long(ctc, text, gaps)
    assert expected is not None
    for block, beam, most in ((1, 1e9, 1 << 16), (7, 1e9, 1 << 16), (64, 150.0, 1 << 16), (32, 1e9, 200)):
        found = align_long(ctc, text, gaps, block=block, beam=beam, most=most)
        assert found is not None and (found == expected).all(), (block, beam, most)


@pytest.mark.parametrize("speech", [False, True])  # of something else, or silence
def test_sound_before_between_and_behind_moves_the_text_and_nothing_else(speech: bool) -> None:
    random = np.random.default_rng(1)
    text = random.integers(1, 20, 60).tolist()
    ctc = _spoken(text, 20)
    other = _spoken(random.integers(1, 20, 400).tolist(), 20, seed=5)
    silence = np.tile(_log_softmax(np.array([9.0] + [0.0] * 19)), (1200, 1))
    more = other if speech else silence
    alone = align_long(ctc, text, [30])
    assert alone is not None
    frames = frames_of(alone, 60)
    longer = np.concatenate((more, ctc[:90], more, ctc[90:], more))
    path = align_long(longer, text, [30])
    assert path is not None
    shift = [1200 * (1 + (number >= 30)) for number in range(60)]
    assert frames_of(path, 60) == [
        (first + s, last + s) for (first, last), s in zip(frames, shift, strict=True)
    ]


def test_what_cannot_be_aligned_is_none() -> None:
    assert align_long(_ctc(5, 4, 0), [], []) is None
    assert align_long(_ctc(2, 4, 0), [1, 2, 3], []) is None
    assert align_long(_ctc(3, 4, 0), [1, 1, 2], []) is None  # the same twice needs a blank
    assert align_long(np.zeros((0, 4)), [1], []) is None


def test_progress_counts_both_ways() -> None:
    done: list[int] = []
    align_long(_spoken([1, 2, 3] * 20, 5), [1, 2, 3] * 20, [], block=50, on_progress=done.append)
    assert sum(done) == 2 * 180


def test_scores_are_those_of_the_path() -> None:
    ctc = _ctc(6, 4, 0)
    path = np.array([-1, 0, 0, -1, 1, -1])
    assert path_scores(ctc, path, [2, 3]).tolist() == ctc[range(6), [0, 2, 2, 0, 3, 0]].tolist()
    assert worst_mean(np.array([0.0, -1, -3, 0]), 2) == -2.0
    assert worst_mean(np.array([-1.0, -3]), 30) == -2.0


@pytest.mark.slow
def test_an_hour_takes_bounded_memory() -> None:
    text = np.random.default_rng(0).integers(1, 20, 30_000).tolist()
    ctc = _spoken(text, 20).astype(np.float32)  # 90,000 frames of 40 ms
    tracemalloc.start()
    path = align_long(ctc, text, list(range(5, 30_000, 5)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path is not None
    assert (np.array(frames_of(path, 30_000))[:, 0] == np.arange(30_000) * 3 + 1).mean() > 0.99
    # One step in a byte for each state and frame would be 5.4 GB.
    assert peak < 200e6
