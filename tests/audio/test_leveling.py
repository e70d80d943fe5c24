import numpy as np
import pytest

from asr_seq2seq.audio.leveling import even_out
from asr_seq2seq.audio.segmentation import Samples

RATE = 8000


def _speech(level: float, seconds: float = 8.0, rest: float = 1e-4) -> Samples:
    """Words of 0.3 s of noise with pauses of 0.2 s, of `rest` times their amplitude."""
    noise = np.random.default_rng(0).standard_normal(round(seconds * RATE))
    word = np.repeat([1.0, rest], [round(0.3 * RATE), round(0.2 * RATE)])
    return (level * noise * np.resize(word, len(noise))).astype(np.float32)


def _event(seconds: float) -> Samples:
    return np.sin(np.arange(round(seconds * RATE)) * 0.7, dtype=np.float32)


@pytest.mark.parametrize("seconds", [0.06, 0.6, 3.0])
def test_an_event_is_attenuated_and_the_speech_beside_it_stays(seconds: float) -> None:
    speech, event = _speech(0.003), _event(seconds)
    at = 3 * RATE
    given = np.concatenate((speech[:at], event, speech[at:]))
    even = even_out(given, RATE)
    far = np.ones(len(given), bool)
    far[at - RATE // 4 : at + len(event) + RATE // 4] = False
    np.testing.assert_array_equal(even[far], given[far])
    inside = even[at + RATE // 50 : at + len(event) - RATE // 50]
    assert np.abs(inside).max() < 0.05
    gains = inside / np.where(event == 0, 1, event)[RATE // 50 : len(event) - RATE // 50]
    assert np.ptp(gains[np.abs(gains) > 0]) < 1e-3  # as a whole, not sample by sample


@pytest.mark.parametrize("rest", [1e-4, 1e-2, 0.1])
def test_usual_speech_stays_as_it_is(rest: float) -> None:
    speech = _speech(0.1, rest=rest)
    assert even_out(speech, RATE) is speech
    word_in_noise = (1e-4 * np.random.default_rng(1).standard_normal(10 * RATE)).astype(np.float32)
    word_in_noise[5 * RATE : 6 * RATE] += _event(1.0)
    assert even_out(word_in_noise, RATE) is word_in_noise
    for length in (1, 100, 4000):
        assert even_out(speech[:length], RATE).shape == (length,)


def test_two_noises_beside_speech_are_no_soft_speech() -> None:
    chance = np.random.default_rng(2)
    faint, room = 3e-4 * chance.standard_normal(RATE), 2e-3 * chance.standard_normal(4 * RATE)
    room[RATE : 3 * RATE] += _speech(0.6, 2.0)
    # As recorders have it: the noise of the room begins softly and ends with a rustle.
    room[: RATE // 4] *= np.linspace(0.3, 1, RATE // 4)
    room[-RATE // 4 :] *= np.linspace(1, 3, RATE // 4)
    given = np.concatenate((faint, room, faint)).astype(np.float32)
    assert even_out(given, RATE) is given
