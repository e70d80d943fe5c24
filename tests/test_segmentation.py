import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_seq2seq.segmentation import split

RATE = 8000


def _tones(*seconds: float, pause: float) -> torch.Tensor:
    """Tones with pauses of faint noise between them and around."""
    noise = np.random.default_rng(0)
    parts = []
    for length in seconds:
        parts.append(1e-4 * noise.standard_normal(round(pause * RATE)))
        parts.append(0.3 * np.sin(np.arange(round(length * RATE)) * 0.3))
    parts.append(1e-4 * noise.standard_normal(round(pause * RATE)))
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))


def test_a_short_sound_is_one_piece() -> None:
    sound = _tones(1.0, 1.0, pause=0.5)
    assert list(split(sound, RATE, 10.0)) == [(0, len(sound))]


def test_pieces_end_in_pauses_and_hold_all_speech() -> None:
    sound = _tones(*[0.9] * 12, pause=0.4)
    pieces = list(split(sound, RATE, 4.0))
    assert len(pieces) > 3
    covered = np.zeros(len(sound), dtype=bool)
    for start, stop in pieces:
        assert stop - start <= 4.0 * RATE
        for edge in (start, stop - 1):
            assert abs(float(sound[edge])) < 1e-2
        covered[start:stop] = True
    assert covered[np.abs(sound.numpy()) > 1e-2].all()


def test_without_a_pause_the_quietest_moment_is_cut() -> None:
    time = np.arange(round(6 * RATE)) / RATE
    swell = 0.2 + 0.15 * np.cos(2 * np.pi * time / 3)  # quietest at 1.5 s and 4.5 s
    sound = torch.from_numpy((swell * np.sin(time * 2000)).astype(np.float32))
    (_, first), *_ = split(sound, RATE, 2.0)
    assert first / RATE == pytest.approx(1.5, abs=0.1)


def test_long_silence_is_left_out_and_silence_alone_is_nothing() -> None:
    quiet = torch.zeros(20 * RATE)
    sound = torch.cat((quiet, _tones(1.0, pause=0.3), quiet))
    ((start, stop),) = split(sound, RATE, 5.0)
    assert start / RATE == pytest.approx(20.05, abs=0.1)
    assert stop / RATE == pytest.approx(21.55, abs=0.1)
    assert list(split(quiet, RATE, 5.0)) == []


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 3.0), st.floats(0.0, 1.0)), min_size=1, max_size=8),
    st.floats(0.1, 5.0),
)
def test_any_sound_gives_ordered_pieces_within_the_limit(
    parts: list[tuple[float, float]], longest: float
) -> None:
    noise = torch.Generator().manual_seed(0)
    sound = torch.cat([level * torch.randn(round(length * RATE), generator=noise) for length, level in parts])
    end = 0
    for start, stop in split(sound, RATE, longest):
        assert end <= start < stop <= len(sound)
        assert stop - start <= longest * RATE
        end = stop
