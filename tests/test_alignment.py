import numpy as np
import pytest
import torch

from asr_seq2seq.alignment import word_times

RATE = 8000


def _sound(*parts: tuple[float, float]) -> torch.Tensor:
    """Noise of (seconds, level)."""
    generator = torch.Generator().manual_seed(0)
    return torch.cat([level * torch.randn(round(s * RATE), generator=generator) for s, level in parts])


def test_words_begin_and_end_where_the_sound_does() -> None:
    sound = _sound((0.3, 1e-4), (0.5, 0.1), (0.4, 1e-4), (0.6, 0.1), (0.2, 1e-4))
    # Characters by frames of 40 ms; the second word's first stands in the pause, 0.2 s early.
    words = [[(8, 9), (12, 13), (18, 19)], [(25, 26), (38, 39), (43, 44)]]
    times = word_times(words, 0.04, sound, RATE)
    assert np.array(times) == pytest.approx(np.array([[0.3, 0.8], [1.2, 1.8]]), abs=0.02)


@pytest.mark.parametrize("rate", [8000, 11025, 22050])  # of which a hundredth is no whole number of samples
def test_times_do_not_drift(rate: int) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [(26.5, 1e-4), (3.0, 0.1), (0.5, 1e-4)]
    sound = torch.cat([level * torch.randn(round(s * rate), generator=generator) for s, level in parts])
    ((start, end),) = word_times([[(664, 665), (668, 669), (736, 737)]], 0.04, sound, rate)
    assert (start, end) == pytest.approx((26.5, 29.5), abs=0.02)


def test_without_a_pause_the_quietest_frame_is_the_boundary() -> None:
    sound = _sound((0.2, 1e-4), (0.5, 0.1), (0.02, 0.04), (0.5, 0.1))
    ((_, end), (start, _)) = word_times([[(7, 8), (15, 16)], [(19, 20), (25, 26)]], 0.04, sound, RATE)
    assert end <= start
    assert (start, end) == pytest.approx((0.71, 0.71), abs=0.02)


def test_times_are_ordered_whatever_the_sound() -> None:
    for seed in range(50):
        random = np.random.default_rng(seed)
        frames = np.sort(random.choice(60, size=9, replace=False))
        words = [[(int(f), int(f) + 1) for f in frames[i : i + 3]] for i in (0, 3, 6)]
        sound = torch.from_numpy(random.standard_normal(20000).astype(np.float32))
        sound *= torch.from_numpy(10.0 ** -random.integers(0, 5, 20000 // 400)).float().repeat_interleave(400)
        times = word_times(words, 0.04, sound, RATE)
        flat = [edge for word in times for edge in word]
        assert flat == sorted(flat)
        assert flat[0] >= 0
        assert flat[-1] <= len(sound) / RATE
