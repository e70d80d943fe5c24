"""Three measures of sound by which speech differs from noise, machines and music, whatever is said.

The pitch of a voice never stands still, where that of notes and machines does and noise has none; and vowels,
whose power is in few harmonics, take turns with consonants, whose power is not. A whisper has no pitch, but
its spectrum moves as that of a voice does.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.segmentation import Samples

_RATE = 8000  # hertz, about which a higher sample rate is lowered to
_WINDOW_SECONDS, _HOP_SECONDS = 0.04, 0.01
_RANGE = 20.0  # decibels below the loudest frame in which one counts
_LOWEST_PITCH, _HIGHEST_PITCH = 75.0, 400.0  # hertz
_PERIODIC = 0.5  # of the autocorrelation, from which on a frame has a pitch
_SLOWEST, _FASTEST = 0.3, 10.0  # octaves a second that a gliding pitch changes by
_LOWEST, _HIGHEST = 80.0, 3700.0  # hertz, of the spectrum
_STRONGEST = 3  # frequencies that a vowel has much of its power in
_BANDS = 12  # of equal width in mel
_TOGETHER = 8  # frames whose mean spectrum is compared with that of the next
_BLOCK = 512  # frames at a time

_Float32 = npt.NDArray[np.float32]


def voice(samples: Samples, sample_rate: int) -> tuple[float, float, float]:
    """Samples (N,) -> how much of its loud time has a gliding pitch, how far frames differ, and how fast.

    The first is the fraction of loud frames whose pitch (the maximum of the autocorrelation) continues in
    the next frame with a small change: of speech 0.4 to 0.8, in much noise 0.1 or more. The second is the
    standard deviation of the fraction of their power that is in the three strongest frequencies: of speech
    0.1 to 0.3, of steady sounds less than 0.05. The third is how many decibels the shape of the spectrum
    changes by in 80 ms. All are 0 of sound that is shorter than two frames.
    """
    step = max(1, sample_rate // _RATE)
    rate = sample_rate / step
    sound = samples[: len(samples) // step * step].reshape(-1, step).mean(1, dtype=np.float32)
    size, hop = round(_WINDOW_SECONDS * rate), round(_HOP_SECONDS * rate)
    if len(sound) < size + hop:
        return 0.0, 0.0, 0.0
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    power = frames.var(1)
    loud = np.flatnonzero(power > max(1e-12, power.max() * 10 ** (-_RANGE / 10)))
    if not len(loud):
        return 0.0, 0.0, 0.0
    parts = [_measured(frames[loud[first : first + _BLOCK]], rate) for first in range(0, len(loud), _BLOCK)]
    periodicity, lag, concentration, bands = (np.concatenate(part) for part in zip(*parts, strict=True))
    pitched = periodicity > _PERIODIC
    change = np.abs(np.diff(np.log2(lag))) / _HOP_SECONDS
    gliding = (np.diff(loud) == 1) & pitched[1:] & pitched[:-1] & (change > _SLOWEST) & (change < _FASTEST)
    return float(gliding.sum() / len(loud)), float(concentration.std()), _movement(bands, loud // _TOGETHER)


def _movement(bands: _Float32, times: npt.NDArray[np.int64]) -> float:
    """Power of loud frames in bands (F, B), and which of them are together (F,) -> decibels of change."""
    starts = np.flatnonzero(np.diff(times, prepend=-1))
    means = np.add.reduceat(bands, starts) / np.diff(starts, append=len(bands))[:, None]
    level = 10 * np.log10(means + 1e-4 * means.max(1, keepdims=True) + 1e-12)
    level -= level.mean(1, keepdims=True)
    change = np.diff(level, axis=0)[np.diff(times[starts]) == 1]
    return float(np.sqrt(np.square(change).mean(1)).mean()) if len(change) else 0.0


class _Tables(NamedTuple):
    """What depends on the sample rate alone: a window (N,), and of its spectra of N + 1 bins the rest.

    `lags` (N + 1, L) makes autocorrelations of power spectra, of all lags to the longest period and one more,
    relative to those of the window; `band` are the bins of the band, of every second one, and `edges` where
    the mel bands begin.
    """

    window: _Float32
    lags: _Float32
    first: int
    band: slice
    edges: npt.NDArray[np.int64]


@cache
def _tables(size: int, rate: float) -> _Tables:
    window = np.hanning(size).astype(np.float32)
    hertz = np.fft.rfftfreq(2 * size, 1 / rate)
    lag = np.arange(round(rate / _LOWEST_PITCH) + 2)
    # The inverse transform of a real, even spectrum: every bin but the first and the last stands for two.
    cosines = np.cos(np.pi / size * np.outer(np.arange(size + 1), lag))
    cosines[1:-1] *= 2
    own = np.square(np.abs(np.fft.rfft(window, 2 * size))) @ cosines
    first, last = np.searchsorted(hertz[::2], [_LOWEST, _HIGHEST])
    mel = np.linspace(math.log1p(_LOWEST / 700), math.log1p(_HIGHEST / 700), _BANDS + 1)[:-1]
    edges = np.searchsorted(hertz, 700 * np.expm1(mel))
    band = slice(2 * int(first), 2 * int(last), 2)
    return _Tables(
        window, (cosines * (own[0] / own)).astype(np.float32), round(rate / _HIGHEST_PITCH), band, edges
    )


def _measured(frames: _Float32, rate: float) -> tuple[_Float32, ...]:
    """Frames (F, N) -> periodicity, samples of a period and concentration, each (F,), and power (F, B)."""
    size = frames.shape[1]
    tables = _tables(size, rate)
    centered = (frames - frames.mean(1, keepdims=True)) * tables.window
    spectra = np.square(np.abs(np.fft.rfft(centered, 2 * size)))
    found = spectra @ tables.lags
    found /= found[:, :1]
    rows, peak = np.arange(len(found)), tables.first + found[:, tables.first : -1].argmax(1)
    before, at, behind = (found[rows, peak + side] for side in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + behind, -1e-6)  # of the parabola through the peak
    lag = peak + np.clip((before - behind) / bend / 2, -0.5, 0.5)
    band = spectra[:, tables.band]
    strongest = np.partition(band, -_STRONGEST, axis=1)[:, -_STRONGEST:].sum(1)
    in_bands = np.add.reduceat(spectra[:, : tables.band.stop], tables.edges, axis=1)
    return at, lag, strongest / np.maximum(band.sum(1), 1e-12), in_bands
