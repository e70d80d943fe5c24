import numpy as np
import pytest

from asr_seq2seq.audio.segmentation import Samples
from asr_seq2seq.audio.trimming import trim, without_offset

RATE = 8000


def _speech(seconds: float = 2.0, background: float = 0.0) -> Samples:
    """Bursts of 0.3 s of noise with dips of 0.1 s, and a steady background beneath."""
    rng = np.random.default_rng(0)
    count = round(seconds * RATE)
    burst = np.repeat([1.0, 0.15], [round(0.3 * RATE), round(0.1 * RATE)])
    loud = 0.1 * rng.standard_normal(count) * np.resize(burst, count)
    return (loud + background * rng.standard_normal(count)).astype(np.float32)


def _noise(seconds: float, level: float) -> Samples:
    found: Samples = (
        10 ** (level / 20) * np.random.default_rng(1).standard_normal(round(seconds * RATE))
    ).astype(np.float32)
    return found


@pytest.mark.parametrize("level", [None, -80.0, -70.0, -60.0])
@pytest.mark.parametrize(("before", "after"), [(1.0, 0.0), (0.0, 1.0), (0.4, 7.3), (3.007, 3.007)])
def test_what_is_put_beside_speech_is_taken_out(before: float, after: float, level: float | None) -> None:
    speech = _speech()
    sides = [
        np.zeros(round(seconds * RATE), np.float32) if level is None else _noise(seconds, level)
        for seconds in (before, after)
    ]
    trimmed = trim(np.concatenate((sides[0], speech, sides[1])), RATE)
    assert abs(len(trimmed.samples) - len(speech)) <= 0.03 * RATE
    assert trimmed.source(0) == pytest.approx(len(sides[0]), abs=0.021 * RATE)


def test_some_of_the_background_of_speech_itself_stays() -> None:
    speech = _speech(background=0.003)
    quiet = (0.003 * np.random.default_rng(2).standard_normal(2 * RATE)).astype(np.float32)
    speech[3 * RATE // 2 :] = quiet[: len(speech) - 3 * RATE // 2]  # a pause in it
    given = np.concatenate((quiet, speech[: 3 * RATE // 2], quiet[: RATE // 2], _speech(background=0.003)))
    trimmed = trim(given, RATE)
    assert trimmed.source(0) == pytest.approx(2 * RATE - 0.3 * RATE, abs=0.05 * RATE)
    assert len(given) - len(trimmed.samples) == trimmed.source(0)  # and the pause too


def test_a_long_pause_is_shortened_and_times_are_those_of_the_whole() -> None:
    speech = _speech(1.6)
    given = np.concatenate((speech, np.zeros(3 * RATE, np.float32), speech))
    trimmed = trim(given, RATE)
    assert len(trimmed.samples) == pytest.approx(len(given) - 2.8 * RATE, abs=0.03 * RATE)
    begin, end = trimmed.seconds(1.75, 2.5, RATE)  # across the pause: only its second half is behind it
    assert (begin, end) == (pytest.approx(4.55, abs=0.03), pytest.approx(5.3, abs=0.03))
    assert trimmed.seconds(0.5, 1.0, RATE) == (0.5, 1.0)
    assert trimmed.frames([(10, 20), (50, 60)], RATE / 20) == [(10, 20), (106, 116)]
    weights = np.ones((2, 36), np.float32)
    spread = trimmed.spread(weights, RATE / 20)
    assert spread.sum() == weights.sum() and not spread[:, 36:86].any()


def test_soft_speech_and_noise_alone_stay() -> None:
    soft = (0.01 * _speech(3.0)).astype(np.float32)
    given = np.concatenate((soft, _speech()))
    assert trim(given, RATE).whole
    for alone in (_noise(3, -70), np.zeros(RATE, np.float32), _noise(0.01, -20)):
        assert trim(alone, RATE).whole


@pytest.mark.parametrize("offset", [0.05, -0.2, 0.001])
def test_a_constant_offset_is_removed(offset: float) -> None:
    speech = 0.01 * _speech()
    speech -= speech.mean()
    np.testing.assert_allclose(without_offset(speech + np.float32(offset), RATE), speech, atol=1e-6)
    silence = np.zeros(RATE, np.float32)  # without the offset
    found = without_offset(np.concatenate((silence, speech + np.float32(offset))), RATE)
    np.testing.assert_allclose(found, np.concatenate((silence, speech)), atol=1e-6)
    assert not without_offset(silence + np.float32(offset), RATE).any()


def test_sound_without_an_offset_stays_as_it_is() -> None:
    speech = _speech()
    assert without_offset(speech, RATE) is speech


@pytest.mark.parametrize("samples", [1, 10, 80, 160, 240])
def test_of_a_click_in_noise_something_is_left(samples: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sound = (0.002 * rng.standard_normal(16000)).astype(np.float32)
        begin = int(rng.integers(4000, 12000))
        sound[begin : begin + samples] = 0.9
        left = trim(sound, 8000).samples
        assert 0 < len(left) < 16000
        assert np.abs(left).max() == np.float32(0.9)
