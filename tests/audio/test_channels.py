from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_seq2seq import audio
from asr_seq2seq.audio.channels import mix, window_samples
from asr_seq2seq.errors import AudioError

RATE = 8000


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def mixed(sound: np.ndarray, size: int | None = None) -> np.ndarray:
    size = size or len(sound)
    parts = (sound[at : at + size] for at in range(0, len(sound), size))
    return np.concatenate(list(mix(parts, RATE, "it")))


@pytest.mark.parametrize("noise", [0.0, 0.0001, 0.01])
@pytest.mark.parametrize("gain", [-1.0, -0.8])
def test_opposite_channels_give_the_first(noise: float, gain: float) -> None:
    voice = speech(2.1)
    stereo = np.stack([voice + noise * speech(2.1, 1), gain * voice + noise * speech(2.1, 2)], axis=1)
    assert np.array_equal(mixed(stereo), stereo[:, 0])
    swapped = np.ascontiguousarray(stereo[:, ::-1])
    assert np.array_equal(mixed(swapped), swapped[:, 0])
    assert np.array_equal(audio.from_samples(stereo, RATE, RATE), stereo[:, 0])


@pytest.mark.parametrize("channels", [2, 3, 6, 16])
def test_what_does_not_cancel_is_averaged(channels: int) -> None:
    alone = np.zeros((RATE, channels), np.float32)
    alone[:, channels - 1] = speech(1.0)
    same = np.stack([speech(1.0)] * channels, axis=1)
    unlike = np.stack([speech(1.0, seed) for seed in range(channels)], axis=1)
    for sound in (alone, same, unlike):
        assert np.allclose(mixed(sound), sound.mean(axis=1), atol=1e-6)


def test_only_the_stretch_that_cancels_is_taken_from_one_channel() -> None:
    first, second = speech(2.0), speech(2.0, 1)
    sound = np.stack([np.r_[first, second], np.r_[first, -second]], axis=1)
    got = mixed(sound)
    different = np.flatnonzero(np.abs(got - sound[:, 0]) > 1e-6)
    assert different.min() >= 2 * RATE and different.max() < 2.011 * RATE, "10 ms are faded from the mean"
    quiet_left = np.stack([0.1 * first, -first], axis=1) * np.float32(0.5)
    assert np.allclose(mixed(quiet_left), quiet_left.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 1999, 2000, 2001, 5000])
def test_blocks_make_no_difference(size: int) -> None:
    first, second = speech(1.1), speech(1.3, 1)
    sound = np.stack([np.r_[first, second, first], np.r_[second[: len(first)], -second, first]], axis=1)
    whole = mixed(sound)
    assert np.array_equal(mixed(sound, size), whole)
    start = 2 * window_samples(RATE)  # the window before decides what is faded from
    later = mixed(sound[start:])
    assert np.array_equal(later[window_samples(RATE) :], whole[start + window_samples(RATE) :])


def test_one_channel_alone(tmp_path: Path) -> None:
    sound = np.stack([speech(1.0, seed) for seed in range(3)], axis=1)
    path = tmp_path / "three.wav"
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    for channel in range(3):
        calls: list[Callable[[], np.ndarray]] = [
            lambda: audio.load(path, RATE, channel=channel),  # noqa: B023
            lambda: audio.load_native(path, channel=channel)[0],  # noqa: B023
            lambda: np.concatenate(list(audio.blocks(path, RATE, channel=channel))),  # noqa: B023
            lambda: audio.from_samples(sound, RATE, RATE, channel=channel),  # noqa: B023
        ]
        for call in calls:
            assert np.array_equal(call(), sound[:, channel])
    with pytest.raises(AudioError, match=r"three\.wav has no channel 3: it has 3 channels \(0 to 2\)"):
        audio.load(path, RATE, channel=3)
    with pytest.raises(AudioError, match=r"no channel -1"):
        audio.load(path, RATE, channel=-1)
    with pytest.raises(AudioError, match=r"the array of samples has no channel 1: it has 1 channel \(0\)"):
        audio.from_samples(sound[:, 0], RATE, RATE, channel=1)
