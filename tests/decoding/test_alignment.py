import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torchaudio.functional import forced_align

from asr_seq2seq.decoding.alignment import Loudness, best_paths, character_frames, peak_frames, word_times

Sound = npt.NDArray[np.floating]

RATE = 8000


def _sound(*parts: tuple[float, float], rate: int = RATE) -> Sound:
    """Noise of (seconds, level)."""
    random = np.random.default_rng(0)
    return np.concatenate([level * random.standard_normal(round(s * rate)) for s, level in parts])


def test_words_begin_and_end_where_the_sound_does() -> None:
    sound = _sound((0.3, 1e-4), (0.5, 0.1), (0.4, 1e-4), (0.6, 0.1), (0.2, 1e-4))
    # Characters by frames of 40 ms; the second word's first stands in the pause, 0.2 s early.
    words = [[(8, 9), (12, 13), (18, 19)], [(25, 26), (38, 39), (43, 44)]]
    times = word_times(words, 0.04, Loudness.of(sound, RATE))
    assert np.array(times) == pytest.approx(np.array([[0.3, 0.8], [1.2, 1.8]]), abs=0.02)


@pytest.mark.parametrize("rate", [8000, 11025, 22050])  # of which a hundredth is no whole number of samples
def test_times_do_not_drift(rate: int) -> None:
    sound = _sound((26.5, 1e-4), (3.0, 0.1), (0.5, 1e-4), rate=rate)
    ((start, end),) = word_times([[(664, 665), (668, 669), (736, 737)]], 0.04, Loudness.of(sound, rate))
    assert (start, end) == pytest.approx((26.5, 29.5), abs=0.02)


def test_without_a_pause_the_quietest_frame_is_the_boundary() -> None:
    sound = _sound((0.2, 1e-4), (0.5, 0.1), (0.02, 0.04), (0.5, 0.1))
    ((_, end), (start, _)) = word_times(
        [[(7, 8), (15, 16)], [(19, 20), (25, 26)]], 0.04, Loudness.of(sound, RATE)
    )
    assert end <= start
    assert (start, end) == pytest.approx((0.71, 0.71), abs=0.02)


def test_times_are_ordered_whatever_the_sound() -> None:
    for seed in range(50):
        random = np.random.default_rng(seed)
        frames = np.sort(random.choice(60, size=9, replace=False))
        words = [[(int(f), int(f) + 1) for f in frames[i : i + 3]] for i in (0, 3, 6)]
        sound = random.standard_normal(20000) * np.repeat(10.0 ** -random.integers(0, 5, 50), 400)
        times = word_times(words, 0.04, Loudness.of(sound, RATE))
        flat = [edge for word in times for edge in word]
        assert flat == sorted(flat)
        assert flat[0] >= 0
        assert flat[-1] <= len(sound) / RATE


def _heads(*times: int, vocabulary: int = 3, seed: int = 0) -> tuple[Sound, npt.NDArray[np.int64]]:
    """CTC log-probabilities (B, T, V) of so many frames each, with rubbish behind them."""
    logits = np.random.default_rng(seed).standard_normal((len(times), max(times), vocabulary))
    return logits - np.log(np.exp(logits).sum(2, keepdims=True)), np.array(times)


def _collapse(path: tuple[int, ...]) -> list[int]:
    return [token for token, _ in itertools.groupby(path) if token != 0]


def test_the_path_is_the_best_of_all() -> None:
    texts = [[1], [1, 2], [2, 2], [1, 2, 1]]
    for seed in range(10):
        ctc, lengths = _heads(5, 3, 4, 5, seed=seed)
        found = character_frames(ctc, lengths, texts)
        for log_p, time, tokens, frames in zip(ctc, lengths, texts, found, strict=True):
            paths = (p for p in itertools.product(range(3), repeat=int(time)) if _collapse(p) == tokens)
            best = max(paths, key=lambda path: sum(log_p[t, token] for t, token in enumerate(path)))
            expected, frame = [], 0
            for token, group in itertools.groupby(best):
                length = len(list(group))
                if token:
                    expected.append((frame, frame + length))
                frame += length
            assert frames == expected


def test_paths_are_those_of_torchaudio() -> None:
    random = np.random.default_rng(1)
    ctc, lengths = _heads(120, 77, 200, 60, vocabulary=9, seed=1)
    texts = [random.integers(1, 9, size=count).tolist() for count in (40, 30, 90, 5)]
    paths = best_paths(ctc, lengths, texts)
    for log_p, time, text, path in zip(ctc, lengths, texts, paths, strict=True):
        expected = forced_align(torch.from_numpy(log_p[None, :time]), torch.tensor([text]).int())[0][0]
        symbols = np.where(path >= 0, np.array(text)[np.maximum(path, 0)], 0)
        assert symbols[:time].tolist() == expected.tolist()
        assert (path[time:] == -1).all()


def test_too_few_frames_and_no_characters_give_nothing() -> None:
    ctc, lengths = _heads(3, 3, 3, 3, 1, vocabulary=4)
    found = character_frames(ctc, lengths, [[1, 2, 3], [1, 1, 2], [], [1, 2, 1, 2], [3]])
    assert found[0] is not None
    assert found[1:4] == [None] * 3
    assert found[4] == [(0, 1)]


def test_peaks_of_attention_go_forward() -> None:
    weights = np.eye(6)[[1, 3, 2, 5]]
    assert peak_frames(weights) == [(1, 2), (3, 4), (3, 4), (5, 6)]
    assert peak_frames(weights[:0]) == []
