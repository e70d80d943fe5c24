"""How a voice differs from notes, machines and noise."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from asr_seq2seq.audio import load
from asr_seq2seq.audio.voice import voice

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.flac"))

Sound = npt.NDArray[np.float32]


def harmonics(hertz: npt.NDArray[np.float64], rate: int) -> Sound:
    """A tone with ten harmonics whose pitch at each sample is given."""
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    return (0.05 * sum(np.sin(n * phase) / n for n in range(1, 11))).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_only_a_pitch_that_moves_glides(rate: int) -> None:
    time = np.arange(3 * rate) / rate
    steady = harmonics(np.full(3 * rate, 140.0), rate)
    assert voice(harmonics(120 * 2 ** (0.5 * np.sin(5 * time)), rate), rate)[0] > 0.7
    assert voice(steady, rate)[0] < 0.02
    assert voice(steady, rate)[1] < 0.02
    assert voice(steady, rate)[2] < 0.5


@pytest.mark.parametrize("rate", [8000, 16000])
def test_speech_glides_varies_and_moves(rate: int) -> None:
    for sample in SAMPLES:
        gliding, variety, movement = voice(load(sample, rate), rate)
        assert gliding > 0.3, sample
        assert variety > 0.1, sample
        assert movement > 3, sample


@pytest.mark.parametrize("rate", [8000, 16000])
def test_noise_does_none_of_it(rate: int) -> None:
    noise = np.random.default_rng(3).standard_normal(4 * rate).astype(np.float32) / 10
    gliding, variety, movement = voice(noise, rate)
    assert gliding < 0.02
    assert variety < 0.05
    assert movement < 2


@pytest.mark.parametrize("count", [0, 1, 320, 399, 400, 8000])
def test_what_has_no_sound_has_none(count: int) -> None:
    assert voice(np.zeros(count, np.float32), 8000) == (0.0, 0.0, 0.0)


def test_long_sound_is_measured_in_blocks() -> None:
    sound = load(SAMPLES[0], 8000)
    once, often = voice(sound, 8000), voice(np.tile(sound, 12), 8000)
    assert often == pytest.approx(once, rel=0.1)


def test_a_level_changes_nothing() -> None:
    sound = load(SAMPLES[1], 16000)
    assert voice(sound / 64, 16000) == pytest.approx(voice(sound, 16000), rel=1e-2)


def test_a_whisper_moves_without_a_pitch() -> None:
    """The frames of speech with random phases, each a third of a syllable long, have its spectra alone."""
    rng = np.random.default_rng(9)
    sound = load(SAMPLES[1], 16000)
    size = 400
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    spectra = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))
    wide = np.stack([np.convolve(one, np.ones(12) / 12, mode="same") for one in spectra])
    noise = np.fft.rfft(rng.standard_normal(frames.shape), axis=1)
    whisper = np.fft.irfft(wide * noise / np.abs(noise), axis=1).reshape(-1).astype(np.float32)
    gliding, _, movement = voice(whisper, 16000)
    assert gliding < 0.05
    assert movement > 3
