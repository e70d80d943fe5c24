"""How music and drums differ from speech."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from asr_seq2seq.audio import load
from asr_seq2seq.audio.music import rhythm, tonality

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.flac"))
RATE = 8000

Sound = npt.NDArray[np.float32]


def notes(seconds: float, rate: int = RATE) -> Sound:
    """A note of eight harmonics and another pitch every half second."""
    rng = np.random.default_rng(5)
    time = np.arange(rate // 2) / rate
    parts = []
    for _ in range(int(2 * seconds)):
        hertz = 220 * 2 ** (rng.integers(0, 12) / 12)
        tone = sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 9) if hertz * n < rate / 2)
        parts.append(tone * np.exp(-2 * time))
    return (0.1 * np.concatenate(parts)).astype(np.float32)


def drums(seconds: float, rate: int = RATE) -> Sound:
    """A burst of noise every quarter of a second, every second one softer."""
    rng = np.random.default_rng(6)
    beat = rate // 4
    fall = np.exp(-np.arange(beat) / rate / 0.04)
    hits = [(0.3 if n % 2 else 0.1) * fall * rng.standard_normal(beat) for n in range(int(4 * seconds))]
    return np.concatenate(hits).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_notes_and_drums(rate: int) -> None:
    assert tonality(notes(6, rate), rate) > 0.9
    assert tonality(drums(6, rate), rate) < 0.2
    assert rhythm(drums(6, rate), rate) > 0.95


def test_speech_and_noise_have_neither() -> None:
    rng = np.random.default_rng(7)
    for sound in [load(sample, RATE) for sample in SAMPLES] + [rng.standard_normal(6 * RATE) / 10]:
        assert tonality(sound.astype(np.float32), RATE) < 0.55
        assert rhythm(sound.astype(np.float32), RATE) < 0.8


@pytest.mark.parametrize("sound", [np.zeros(1), np.zeros(100), np.zeros(RATE)])
def test_what_has_no_sound_has_neither(sound: Sound) -> None:
    assert rhythm(sound.astype(np.float32), RATE) == 0
    assert tonality(sound.astype(np.float32), RATE) == pytest.approx(0, abs=1e-6)


def test_a_level_changes_nothing() -> None:
    sound = notes(3) + drums(3)
    assert tonality(sound, RATE) == pytest.approx(tonality(sound / 64, RATE), abs=1e-3)
    assert rhythm(sound, RATE) == pytest.approx(rhythm(sound / 64, RATE), abs=1e-3)
