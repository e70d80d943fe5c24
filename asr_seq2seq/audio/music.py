"""Two measures of sound by which music differs from speech, whatever a recognizer takes it for.

Notes are held or struck again at the same pitch, while a voice glides; and no syllable follows another like
clockwork, as drums do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.percentiles import percentiles
from asr_seq2seq.audio.segmentation import Samples, frame_levels

_WINDOW_SECONDS, _HOP_SECONDS = 0.064, 0.032
_APART = 4  # hops between the spectra that are compared: longer than a voice keeps its pitch
_LOWEST, _HIGHEST = 80.0, 3500.0  # hertz
_SMOOTH = 130.0  # hertz on each side: what is left of a spectrum less its mean over them is its harmonics
_DEPTH = 1e-4  # of a spectrum's largest power, below which nothing counts
_LEVEL_SECONDS = 0.01
_RANGE = 30.0  # decibels below the loudest frame that count in a rhythm
_LEAST_RANGE = 0.5  # decibels that the level must change by to have a rhythm
_SHORTEST_BEAT, _LONGEST_BEAT = 0.12, 2.2  # seconds
_BEATS = 3  # periods that a sound must have for one to be found
_BLOCK = 512  # spectra at a time

_Float64 = npt.NDArray[np.float64]


def tonality(samples: Samples, sample_rate: int) -> float:
    """How far the harmonics of louder moments are still the same an eighth of a second later, up to 1.

    The median correlation of log spectra without their envelope. Music has 0.6 to 1, speech -0.1 to 0.6,
    noise and drums 0. It is 0 for sound of less than a fifth of a second.
    """
    size, hop = round(_WINDOW_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    if len(samples) < size + (_APART + 1) * hop:
        return 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    parts = [
        _harmonics(frames[first : first + _BLOCK], sample_rate) for first in range(0, len(frames), _BLOCK)
    ]
    fine, power = (np.concatenate(part) for part in zip(*parts, strict=True))
    same = (fine[_APART:] * fine[:-_APART]).sum(1)
    loudness = np.minimum(power[_APART:], power[:-_APART])
    (middle,) = percentiles(loudness, 50)
    return percentiles(same[loudness >= middle], 50)[0]


def _harmonics(frames: Samples, sample_rate: int) -> tuple[_Float64, _Float64]:
    """Frames (F, N) -> their log spectra without envelope, of length 1, (F, K), and their power (F,)."""
    size = frames.shape[1]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32)))).astype(np.float64)
    bins = np.searchsorted(np.fft.rfftfreq(size, 1 / sample_rate), [_LOWEST, _HIGHEST])
    band = power[:, bins[0] : bins[1]]
    log = np.log(band + _DEPTH * band.max(1, keepdims=True) + 1e-12)
    side = round(_SMOOTH * size / sample_rate)
    sums = np.cumsum(np.pad(np.pad(log, ((0, 0), (side, side)), mode="edge"), ((0, 0), (1, 0))), 1)
    width = 2 * side + 1
    fine = log - (sums[:, width:] - sums[:, :-width]) / width
    return fine / (np.sqrt(np.square(fine).sum(1, keepdims=True)) + 1e-6), power.sum(1)


def rhythm(samples: Samples, sample_rate: int) -> float:
    """How far the level repeats itself after a beat of 0.12 to 2.2 seconds, from 0 to 1.

    The highest peak of the normalized autocorrelation of the level in decibels; beats are no longer than a
    third of the sound. Drums have 0.8 to 1, speech 0 to 0.8, noise 0.1.
    """
    level = frame_levels(samples, max(1, round(_LEVEL_SECONDS * sample_rate)))
    level = np.maximum(level, level.max() - _RANGE)
    first = round(_SHORTEST_BEAT / _LEVEL_SECONDS)
    last = min(round(_LONGEST_BEAT / _LEVEL_SECONDS), len(level) // _BEATS)
    if last <= first or np.ptp(level) < _LEAST_RANGE:
        return 0.0
    level = level - level.mean()
    size = 1 << (2 * len(level) - 1).bit_length()
    products = np.fft.irfft(np.square(np.abs(np.fft.rfft(level, size))), size)[1 : last + 2]
    energy = np.cumsum(np.square(level))
    lags = np.arange(1, last + 2)
    early, late = energy[len(level) - lags - 1], energy[-1] - energy[lags - 1]
    found = products / np.sqrt(np.maximum(early * late, 1e-20))  # of lags from 1 on
    inner = found[first - 1 : -1]
    peaks = (inner >= found[first - 2 : -2]) & (inner >= found[first:])
    return float(max(0.0, inner[peaks].max(initial=0.0)))
