"""What is done to speech, and what is no speech, when robustness is measured: all made from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio import Samples

Change = Callable[[Samples, int, np.random.Generator], Samples]


def decibels(level: float) -> np.float32:
    """An amplitude from its level in decibels of full scale."""
    return np.float32(10 ** (level / 20))


def silence(seconds: float) -> Change:
    """Digital silence of a length."""
    return lambda sound, rate, rng: np.zeros(round(seconds * rate), np.float32)


def noise(seconds: float, level: float) -> Change:
    """White noise of a length and a level."""
    return lambda sound, rate, rng: (
        decibels(level) * rng.standard_normal(round(seconds * rate)).astype(np.float32)
    )


def padded(before: Change | None, after: Change | None) -> Change:
    """Something before speech and behind it."""

    def change(sound: Samples, rate: int, rng: np.random.Generator) -> Samples:
        sides = [[] if side is None else [side(sound, rate, rng)] for side in (before, after)]
        return np.concatenate([*sides[0], sound, *sides[1]])

    return change


def offset(value: float) -> Change:
    """A constant that is added."""
    return lambda sound, rate, rng: sound + np.float32(value)


def then(*changes: Change) -> Change:
    """One change after another."""

    def change(sound: Samples, rate: int, rng: np.random.Generator) -> Samples:
        for one in changes:
            sound = one(sound, rate, rng)
        return sound

    return change


def gain(level: float) -> Change:
    """Amplified by decibels, and clipped at full scale."""
    return lambda sound, rate, rng: np.clip(sound * decibels(level), -1, 1)


def noisy(ratio: float) -> Change:
    """White noise so many decibels below the sound."""
    return lambda sound, rate, rng: (
        sound + decibels(-ratio) * sound.std() * rng.standard_normal(len(sound)).astype(np.float32)
    )


def paused(seconds: float) -> Change:
    """Digital silence put in at the quietest moment of the middle half."""

    def change(sound: Samples, rate: int, rng: np.random.Generator) -> Samples:
        width = max(1, round(0.05 * rate))
        power = np.convolve(np.square(sound), np.ones(width), mode="same")
        first = len(sound) // 4
        at = first + int(power[first : first + len(sound) // 2 + 1].argmin())
        return np.concatenate((sound[:at], np.zeros(round(seconds * rate), np.float32), sound[at:]))

    return change


# Of no whole number of frames.
CHANGES: dict[str, Change] = {
    "as it is": lambda sound, rate, rng: sound,
    "1 s of digital silence before": padded(silence(1.007), None),
    "1 s of digital silence after": padded(None, silence(1.007)),
    "3 s of digital silence on both sides": padded(silence(3), silence(3)),
    "1 s of noise (-70 dB) on both sides": padded(noise(1.007, -70), noise(1.007, -70)),
    "3 s of noise (-60 dB) before": padded(noise(3, -60), None),
    "offset 0.05": offset(0.05),
    "offset -0.2": offset(-0.2),
    "1 s of silence before, then offset 0.05": then(padded(silence(1.007), None), offset(0.05)),
    "offset 0.05, then 1 s of silence before": then(offset(0.05), padded(silence(1.007), None)),
    "2 s of digital silence in the middle": paused(2),
    "gain -20 dB": gain(-20),
    "gain -40 dB": gain(-40),
    "gain +20 dB, clipped": gain(20),
    "white noise at 10 dB": noisy(10),
}


def white(seconds: float, rate: int, rng: np.random.Generator, level: float = -30.0) -> Samples:
    """White noise."""
    return _colored(seconds, rate, rng, 0, level)


def pink(seconds: float, rate: int, rng: np.random.Generator, level: float = -30.0) -> Samples:
    """Pink noise: 3 dB less in each octave."""
    return _colored(seconds, rate, rng, 1, level)


def brown(seconds: float, rate: int, rng: np.random.Generator, level: float = -30.0) -> Samples:
    """Brown noise: 6 dB less in each octave."""
    return _colored(seconds, rate, rng, 2, level)


def _colored(seconds: float, rate: int, rng: np.random.Generator, slope: int, level: float) -> Samples:
    count = round(seconds * rate)
    hertz = np.fft.rfftfreq(count, 1 / rate)
    spectrum = np.fft.rfft(rng.standard_normal(count)) / np.maximum(hertz, 20) ** (slope / 2)
    return _leveled(np.fft.irfft(spectrum, count), level)


def _leveled(sound: npt.NDArray[np.floating[Any]], level: float) -> Samples:
    """The sound with the root mean square of a level in decibels of full scale."""
    sound = sound - sound.mean()
    leveled: Samples = (sound / np.sqrt(np.square(sound).mean()) * decibels(level)).astype(np.float32)
    return leveled


def chords(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Chords of three notes, held for a second each, as of an organ."""
    return _music(seconds, rate, rng, beat=1.0, voices=3, drums=False)


def band(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Arpeggios, a bass and drums."""
    return _music(seconds, rate, rng, beat=0.2, voices=1, drums=True)


def melody(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Notes of an instrument, one after another."""
    return _music(seconds, rate, rng, beat=0.35, voices=1, drums=False)


def drums(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """A falling tone and bursts of noise in turn, three in a second."""
    sound = np.zeros(round(seconds * rate) + rate)
    time = np.arange(rate // 4) / rate
    for number in range(int(3 * seconds)):
        kick = 4 * np.sin(20 * (1 - np.exp(-20 * time))) * np.exp(-time / 0.08)
        hit = rng.standard_normal(len(time)) * np.exp(-time / (0.05 if number % 4 == 1 else 0.02))
        sound[number * rate // 3 :][: len(time)] += hit if number % 2 else kick
    return _leveled(sound[: round(seconds * rate)], -23.0)


def hum(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """The hum of the mains: 50 Hz with harmonics, and faint noise."""
    time = np.arange(round(seconds * rate)) / rate
    sound = 0.01 * rng.standard_normal(len(time))
    for harmonic in range(1, 13):
        sound += np.sin(2 * np.pi * 50 * harmonic * time + rng.uniform(0, 6)) / harmonic
    return _leveled(sound, -30.0)


def _music(
    seconds: float, rate: int, rng: np.random.Generator, *, beat: float, voices: int, drums: bool
) -> Samples:
    sound = np.zeros(round(seconds * rate) + rate)
    roots = rng.choice([0, 5, 7, 9], size=int(seconds / 2) + 1)
    for number in range(int(seconds / beat)):
        begin = round(number * beat * rate)
        root = int(roots[int(number * beat / 2)])
        degrees = (0, 4, 7) if voices > 1 else (int(rng.choice([0, 4, 7, 12])),)
        length = round(beat * rate * 1.2)
        time = np.arange(length) / rate
        envelope = np.minimum(time / 0.01, 1) * np.exp(-time / (2 * beat))
        for degree in (*degrees, *((-12,) if drums and number % 4 == 0 else ())):
            hertz = 220 * 2 ** ((root + degree) / 12)
            for harmonic in range(1, 9):
                if harmonic * hertz < rate / 2:
                    tone = np.sin(2 * np.pi * harmonic * hertz * time + rng.uniform(0, 6))
                    sound[begin : begin + length] += envelope * tone / harmonic**1.5
        if drums and number % 2 == 0:  # a snare of noise, or a falling kick
            kick = 4 * np.sin(400 * (1 - np.exp(-time * 20)) / 3)
            hit = rng.standard_normal(length) if number % 4 else kick
            sound[begin : begin + length] += 0.8 * hit * np.exp(-time / 0.05)
    return _leveled(sound[: round(seconds * rate)], -23.0)


def music(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Chords, a melody, arpeggios and drums, half a minute of each in turn."""
    makers = [chords, melody, band, drums]
    parts = [makers[number % 4](30, rate, rng) for number in range(int(seconds / 30) + 1)]
    return np.concatenate(parts)[: round(seconds * rate)]


def loud_drums(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Chords, a melody and drums that are louder than both."""
    return _leveled(
        chords(seconds, rate, rng) + melody(seconds, rate, rng) + 2.0 * drums(seconds, rate, rng), -20.0
    )


def gusts(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Wind: pink noise that swells every second or two."""
    return _leveled(pink(seconds, rate, rng) * np.exp(1.5 * _curve(seconds, rate, rng, 0.7)), -26.0)


def syllables(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """White noise whose level changes four times a second."""
    return _leveled(white(seconds, rate, rng) * np.maximum(0.05, 1 + _curve(seconds, rate, rng, 4)), -26.0)


def ventilator(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """A hum and brown noise that beat twice a second."""
    beats = 1 + 0.6 * np.sin(2 * np.pi * 2 / rate * np.arange(round(seconds * rate)))
    return _leveled(beats * (hum(seconds, rate, rng) + brown(seconds, rate, rng)), -30.0)


def telephone(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Rings of a second, dialed keys, and short beeps, in turn."""
    time = np.arange(round(seconds * rate)) / rate
    turn, part = (time // 6).astype(int) % 3, time % 6
    ring = (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 480 * time)) * (part % 3 < 1)
    key = rng.integers(0, 3, (int(seconds / 0.25) + 1, 2))[(time / 0.25).astype(int)]
    low, high = np.array([697, 770, 852])[key[:, 0]], np.array([1209, 1336, 1477])[key[:, 1]]
    dialed = (np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * high * time)) * (part % 0.25 < 0.12)
    beeps = np.sin(2 * np.pi * 1000 * time) * (part % 1 < 0.3)
    return _leveled(np.choose(turn, [ring, dialed, beeps]) + 0.002 * rng.standard_normal(len(time)), -23.0)


def claps(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """One pair of hands, three claps a second, not quite even."""
    return _hits(seconds, rate, rng, 3 * seconds, 0.012)


def applause(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Many hands that clap."""
    return _hits(seconds, rate, rng, 60 * seconds, 0.012)


def clicks(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Keys of a keyboard, five in a second."""
    return _hits(seconds, rate, rng, 5 * seconds, 0.001)


def whistling(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """A whistled tune: a tone without harmonics that slides from note to note, with a faint breath."""
    notes = rng.choice([0, 2, 4, 5, 7, 9, 12], int(seconds / 0.4) + 2)
    place = np.arange(round(seconds * rate)) / rate / 0.4
    slide = np.minimum(1, (place % 1) * 4)  # in a quarter of the note
    pitch = notes[place.astype(int)] * (1 - slide) + notes[place.astype(int) + 1] * slide
    tone = np.sin(2 * np.pi * np.cumsum(700 * 2 ** (pitch / 12)) / rate)
    return _leveled(tone + 0.05 * rng.standard_normal(len(tone)), -26.0)


def siren(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """A tone with harmonics that rises and falls in three seconds."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(700 * 2 ** (0.5 * np.sin(2 * np.pi * time / 3))) / rate
    sound = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)
    return _leveled(sound + 0.01 * rng.standard_normal(len(time)), -23.0)


def _hits(seconds: float, rate: int, rng: np.random.Generator, count: float, fall: float) -> Samples:
    """Noises that die away, evenly at first and then each moved by up to 60 ms."""
    sound = np.zeros(round(seconds * rate) + rate)
    time = np.arange(round(0.1 * rate)) / rate
    for number in range(int(count)):
        begin = round((number * seconds / count + rng.uniform(0, 0.06)) * rate)
        sound[begin : begin + len(time)] += rng.standard_normal(len(time)) * np.exp(-time / fall)
    return _leveled(sound[: round(seconds * rate)] + 1e-3 * rng.standard_normal(round(seconds * rate)), -26.0)


def _curve(seconds: float, rate: int, rng: np.random.Generator, often: float) -> npt.NDArray[np.float64]:
    """A random curve from -1 to 1 that has a value of its own so often a second, lines between them."""
    points = rng.uniform(-1, 1, int(seconds * often) + 2)
    return np.interp(np.arange(round(seconds * rate)) / rate * often, np.arange(len(points)), points)


def nothing(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Digital silence."""
    return np.zeros(round(seconds * rate), np.float32)


def dither(seconds: float, rate: int, rng: np.random.Generator) -> Samples:
    """Noise of -80 dB: the silence of a recorder of 16 bits."""
    return _colored(seconds, rate, rng, 0, -80.0)


NO_SPEECH: dict[str, Callable[[float, int, np.random.Generator], Samples]] = {
    "digital silence": nothing,
    "faint noise (-80 dB)": dither,
    "white noise": white,
    "pink noise": pink,
    "brown noise": brown,
    "hum of 50 Hz": hum,
    "chords": chords,
    "melody": melody,
    "drums": drums,
    "arpeggios and drums": band,
    "chords, melody and loud drums": loud_drums,
    "music of 1 to 3 s": music,
    "gusts of wind": gusts,
    "noise at the rate of syllables": syllables,
    "ventilator": ventilator,
    "telephone": telephone,
    "claps": claps,
    "applause": applause,
    "clicks": clicks,
    "whistling": whistling,
    "siren": siren,
}
SHORT = {"music of 1 to 3 s"}  # of these, each one to three seconds are recognized alone
