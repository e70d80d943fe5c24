"""Changes of speech that make it harder to recognize, as segments without speech are told from it."""

from __future__ import annotations

import numpy as np
from make_acoustics import room
from sounds_without_speech import KINDS, made

from asr_seq2seq.audio import Samples


def changed(sound: Samples, rate: int, number: int, rng: np.random.Generator) -> Samples:
    """Softer, in noise, beside another sound, in a room, slower or faster, or whispered, in turn."""
    count = len(sound)
    match number % 6:
        case 0:
            return sound * np.float32(0.01)
        case 1 | 2:
            noise: Samples = rng.standard_normal(count).astype(np.float32)
            if number % 6 == 2:
                noise = made(str(rng.choice(list(KINDS))), count / rate, rate, rng)
            ratio = 10 ** (-rng.uniform(5, 20) / 20) * sound.std() / max(1e-9, float(noise.std()))
            return sound + np.float32(ratio) * np.resize(noise, count)
        case 3:
            response = room(rate, rng)
            size = count + len(response)
            spectrum = np.fft.rfft(sound, size) * np.fft.rfft(response, size)
            return np.fft.irfft(spectrum, size)[:count].astype(np.float32)
        case 4:
            return whispered(sound, rate, rng)
    places = np.arange(0, count - 1, np.exp(rng.uniform(-0.25, 0.25)))
    return np.interp(places, np.arange(count), sound).astype(np.float32)


def whispered(sound: Samples, rate: int, rng: np.random.Generator) -> Samples:
    """Noise with the short-time spectrum of speech, without its harmonics and with little below 500 Hz."""
    size = round(0.032 * rate) // 4 * 4
    window = np.hanning(size + 1)[:-1]
    wide = np.ones(max(3, round(0.0097 * size)))  # 300 Hz
    padded = np.pad(sound, size)
    hertz = np.fft.rfftfreq(size, 1 / rate)
    whisper = np.zeros(len(padded))
    for first in range(0, len(padded) - size, size // 4):
        power = np.square(np.abs(np.fft.rfft(padded[first : first + size] * window)))
        noise = np.fft.rfft(rng.standard_normal(size))
        spectrum = noise / np.abs(noise) * np.sqrt(np.convolve(power, wide / len(wide), mode="same"))
        whisper[first : first + size] += np.fft.irfft(spectrum * np.minimum(1, hertz / 500)) * window
    return (whisper[size:-size] / 2).astype(np.float32)
