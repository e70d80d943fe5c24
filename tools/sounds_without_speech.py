"""Sounds without speech, made from a seed: what the rule that leaves out such segments is fitted on.

Each kind has parameters of its own in every example. They are not those of `benchmarks/changed_sounds.py`,
on which the rule is measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.float64]
Maker = Callable[[int, int, np.random.Generator], Sound]

_LOWEST = 30.0  # hertz


def made(kind: str, seconds: float, rate: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """An example of one of `KINDS` (N,), 12 to 45 dB below full scale, over a noise 30 to 70 dB softer."""
    count = round(seconds * rate)
    sound = KINDS[kind](count, rate, rng)
    sound = sound / max(1e-9, float(sound.std()))
    sound += 10 ** (rng.uniform(-70, -30) / 20) * rng.standard_normal(count)
    loudness = 10 ** (rng.uniform(-45, -12) / 20)
    return np.clip(loudness * sound, -1, 1).astype(np.float32)


def noise(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Noise of any color from blue to darker than brown, often of one band."""
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / rate), _LOWEST)
    gain = hertz ** (-rng.uniform(-0.5, 2.6) / 2)
    if rng.random() < 0.4:
        low = rng.uniform(0.02, 0.5) * rate / 2
        gain *= 1 / (1 + (low / hertz) ** 6) / (1 + (hertz / (low * rng.uniform(1.3, 5))) ** 6)
    return _unit(np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * gain, count))


def hum(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """A steady tone with harmonics, of the mains, of a transformer or of a machine."""
    return _unit(_tone(rng.uniform(45, 300), count, rate, rng)) + rng.uniform(0, 0.3) * noise(
        count, rate, rng
    )


def gusts(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Wind: noise that swells and falls and is brighter where it is louder."""
    swell = _slow(count, rate, rng.uniform(0.2, 2.5), rng)
    swell = np.exp(rng.uniform(0.5, 2.0) * swell)
    bright = np.clip(swell / swell.max(), 0, 1) ** rng.uniform(0.5, 2)
    sound: Sound = swell * ((1 - bright) * noise(count, rate, rng) + bright * noise(count, rate, rng))
    return sound


def syllables_of_noise(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Noise whose loudness changes about as often as that of speech."""
    beat = _slow(count, rate, rng.uniform(2, 9), rng)
    return noise(count, rate, rng) * np.maximum(rng.uniform(0, 0.2), 1 + rng.uniform(0.5, 1.5) * beat)


def fan(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """A ventilator: hum and noise with beats."""
    time = np.arange(count) / rate
    beats = 1 + rng.uniform(0.1, 1) * np.cos(2 * np.pi * rng.uniform(0.4, 14) * time + rng.uniform(0, 6))
    return beats * (noise(count, rate, rng) + rng.uniform(0.1, 2) * hum(count, rate, rng))


def engine(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Pulses through a resonance, a little slower and faster, as of a motor."""
    hertz = rng.uniform(20, 150) * np.exp(
        rng.uniform(0.02, 0.3) * _slow(count, rate, rng.uniform(0.1, 1), rng)
    )
    cycles = np.floor(np.cumsum(hertz) / rate)
    pulses = np.diff(cycles, prepend=0) * rng.uniform(0.5, 1, count)
    return _unit(_resonant(pulses, rate, rng)) + rng.uniform(0.02, 0.5) * noise(count, rate, rng)


def chords(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Three or four notes at once, held or struck again."""
    return _notes(count, rate, rng, rng.uniform(0.4, 3), ((0, 4, 7), (0, 3, 7), (0, 4, 7, 10)))


def melody(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """One note after another, as of a flute, a guitar or a piano."""
    return _notes(count, rate, rng, rng.uniform(0.15, 0.8), ((0,),))


def drums(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """A measure of hits on drums and cymbals, over and over, a little uneven."""
    return _hits(count, rate, rng, rng.uniform(0.11, 0.4))


def song(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Notes and drums at the same beat, either of them the louder one."""
    beat = rng.uniform(0.11, 0.4)
    notes = _notes(count, rate, rng, beat * rng.choice([0.5, 1, 2]), ((0,), (0,), (0, 4, 7)))
    return rng.uniform(0.2, 1) * _unit(notes) + rng.uniform(0.2, 1) * _unit(_hits(count, rate, rng, beat))


def band(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Chords, a melody and drums, any of them the loudest."""
    parts = [_unit(make(count, rate, rng)) for make in (chords, melody, drums)]
    return sum((rng.uniform(0.1, 1) * part for part in parts), np.zeros(count))


def beeps(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """A tone that is turned on and off, of an alarm or a machine."""
    time = np.arange(count) / rate
    on = (time / rng.uniform(0.1, 1.5)) % 1 < rng.uniform(0.2, 0.8)
    return np.sin(2 * np.pi * rng.uniform(300, 3000) * time) * _rounded(on, rate)


def dialing(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Pairs of tones, as of the keys of a telephone."""
    time, length = np.arange(count) / rate, rng.uniform(0.12, 0.5)
    keys = rng.integers(0, 4, (int(count / rate / length) + 1, 2))
    low, high = np.array([697, 770, 852, 941]), np.array([1209, 1336, 1477, 1633])
    now = keys[(time / length).astype(int)]
    tones: Sound = np.sin(2 * np.pi * low[now[:, 0]] * time) + np.sin(2 * np.pi * high[now[:, 1]] * time)
    return tones * _rounded((time / length) % 1 < rng.uniform(0.3, 0.9), rate)


def ringing(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """A telephone that rings, electronic or with a bell."""
    time = np.arange(count) / rate
    low, flutter = rng.uniform(380, 1400), rng.uniform(10, 30)
    tones = np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * low * rng.uniform(1.05, 1.6) * time)
    tones *= 1 + rng.uniform(0, 1) * np.sign(np.sin(2 * np.pi * flutter * time))
    return tones * _rounded((time / rng.uniform(1.5, 6)) % 1 < rng.uniform(0.3, 0.6), rate)


def sirens(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """A tone with harmonics that rises and falls."""
    time = np.arange(count) / rate
    turn = np.sin(2 * np.pi * rng.uniform(0.1, 4) * time)
    hertz = rng.uniform(300, 1200) * 2 ** (rng.uniform(0.2, 0.8) * turn)
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    return sum((np.sin(n * phase) / n ** rng.uniform(1, 3) for n in range(1, 4)), np.zeros(count))


def birds(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Chirps: short tones whose pitch rises or falls."""
    sound = np.zeros(count + rate)
    for begin in _times(count, rate, rng.uniform(0.1, 0.6), rng):
        time = np.arange(round(rng.uniform(0.03, 0.25) * rate)) / rate
        hertz = rng.uniform(0.3, 0.8) * rate / 2 * 2 ** (rng.uniform(-1, 0.3) * time / time[-1])
        chirp = np.sin(2 * np.pi * np.cumsum(hertz) / rate) * np.hanning(len(time))
        sound[begin : begin + len(time)] += rng.uniform(0.3, 1) * chirp
    return sound[:count]


def claps(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Hands that clap, or knocks: short noises through a resonance."""
    sound, fall = np.zeros(count + rate), rng.uniform(0.004, 0.05)
    for begin in _times(count, rate, rng.uniform(0.05, 0.7), rng):
        time = np.arange(round(8 * fall * rate)) / rate
        hit = _resonant(rng.standard_normal(len(time)) * np.exp(-time / fall), rate, rng)
        sound[begin : begin + len(time)] += rng.uniform(0.3, 1) * _unit(hit)
    return sound[:count]


def clicks(count: int, rate: int, rng: np.random.Generator) -> Sound:
    """Keys, crackling or a clock: a sample or two at a time."""
    sound = np.zeros(count)
    sound[_times(count, rate, rng.uniform(0.02, 0.8), rng)] = 1
    return np.convolve(sound, np.hanning(rng.integers(3, 30)) * rng.choice([-1.0, 1.0]), mode="same")


def _hits(count: int, rate: int, rng: np.random.Generator, beat: float) -> Sound:
    sound = np.zeros(count + rate)
    measure = rng.integers(0, 4, rng.choice([6, 8, 16]))  # of silence, kicks, snares and cymbals
    measure[0], falls = 1, rng.uniform(0.02, 0.15, 4)
    time = np.arange(rate // 2) / rate
    kick = np.sin(2 * np.pi * rng.uniform(45, 90) * (time + 0.1 * (1 - np.exp(-time / 0.03))))
    for number in range(int(count / rate / beat) + 1):
        drum = measure[number % len(measure)]
        hit = kick * rng.uniform(2, 4) if drum == 1 else rng.standard_normal(len(time))
        if drum == 3:
            hit = np.diff(hit, prepend=0.0) / 2
        if drum:
            begin = max(0, round((number * beat + rng.normal(0, 0.005)) * rate))
            sound[begin : begin + len(time)] += rng.uniform(0.6, 1) * hit * np.exp(-time / falls[drum])
    return sound[:count]


def _notes(
    count: int, rate: int, rng: np.random.Generator, beat: float, shapes: tuple[tuple[int, ...], ...]
) -> Sound:
    length = round(beat * rng.uniform(0.8, 2.5) * rate)
    sound, time = np.zeros(count + length + rate), np.arange(length) / rate
    envelope = np.minimum(time / rng.uniform(0.004, 0.08), 1) * np.exp(-time / rng.uniform(0.1, 2))
    root, timbre = rng.uniform(90, 500), rng.uniform(0.6, 2.5)
    vibrato = rng.choice([0.0, rng.uniform(0, 0.01)])
    bend = time + vibrato / 30 * np.sin(2 * np.pi * rng.uniform(4, 7) * time)
    for number in range(int(count / rate / beat) + 1):
        begin = round(number * beat * rate)
        lowest = rng.choice([0, 2, 4, 5, 7, 9, 11, 12])
        for above in shapes[rng.integers(len(shapes))]:
            hertz = root * 2 ** ((lowest + above) / 12)
            for n in range(1, min(12, int(rate / 2 / hertz)) + 1):
                tone = np.sin(2 * np.pi * n * hertz * bend + rng.uniform(0, 6))
                sound[begin : begin + length] += envelope * tone / n**timbre
    return sound[:count]


def _tone(hertz: float, count: int, rate: int, rng: np.random.Generator) -> Sound:
    time, fall = np.arange(count) / rate, rng.uniform(0.5, 2)
    return sum(
        (
            np.sin(2 * np.pi * n * hertz * time + rng.uniform(0, 6)) / n**fall
            for n in range(1, 16)
            if n * hertz < rate / 2
        ),
        np.zeros(count),
    )


def _slow(count: int, rate: int, hertz: float, rng: np.random.Generator) -> Sound:
    """A random curve that turns about so often a second, of standard deviation 1."""
    points = rng.standard_normal(int(count / rate * 2 * hertz) + 4)
    places = np.arange(count) / rate * 2 * hertz
    first = places.astype(int)
    part = (1 - np.cos(np.pi * (places - first))) / 2
    curve: Sound = points[first] * (1 - part) + points[first + 1] * part
    return curve


def _resonant(sound: Sound, rate: int, rng: np.random.Generator) -> Sound:
    """Through two resonances, as of a body or a room."""
    hertz = np.fft.rfftfreq(len(sound), 1 / rate)
    gain = np.full(len(hertz), rng.uniform(0, 0.2))
    for _ in range(2):
        center = np.exp(rng.uniform(np.log(150), np.log(0.45 * rate)))
        gain += 1 / (1 + np.square((hertz - center) / (center * rng.uniform(0.03, 0.6))))
    return np.fft.irfft(np.fft.rfft(sound) * gain, len(sound))


def _rounded(on: npt.NDArray[np.bool_], rate: int) -> Sound:
    """1 where it is on and 0 elsewhere, with edges of some milliseconds."""
    edge = np.hanning(round(0.008 * rate))
    return np.convolve(on.astype(np.float64), edge / edge.sum(), mode="same")


def _times(count: int, rate: int, apart: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The samples at which something happens: so many seconds apart, regularly or at random."""
    shape = rng.choice([1.0, 4.0, 1000.0])
    gaps = rng.gamma(shape, apart / shape, int(count / rate / apart * 2) + 8)
    times = (np.cumsum(gaps) * rate).astype(np.int64)
    return times[times < count]


def _unit(sound: Sound) -> Sound:
    return sound / max(1e-9, float(sound.std()))


KINDS: dict[str, Maker] = {
    "noise": noise,
    "hum": hum,
    "gusts": gusts,
    "syllables of noise": syllables_of_noise,
    "ventilator": fan,
    "engine": engine,
    "chords": chords,
    "melody": melody,
    "drums": drums,
    "band": band,
    "song": song,
    "beeps": beeps,
    "dialing": dialing,
    "ringing": ringing,
    "sirens": sirens,
    "birds": birds,
    "claps": claps,
    "clicks": clicks,
}
