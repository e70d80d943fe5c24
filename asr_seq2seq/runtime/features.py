"""What the encoder reads, in NumPy: log-mel frames of sound, or features that another program computed.

The same numbers as `asr_seq2seq.model.features`, which training uses: a test holds them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.config import FeaturesConfig, LogMelConfig, PrecomputedConfig
from asr_seq2seq.model_file.storage import Arrays

Float32 = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer[Any]]

EPSILON = np.float32(1e-5)
LEVEL = np.float32(0.1)  # root mean square of a speaker close to the microphone
_BLOCK = 200  # windows whose spectra are computed at a time: these stay in the cache


def pad(sequences: Sequence[npt.NDArray[Any]]) -> tuple[Float32, Integers]:
    """Sequences (N_i,) or (N_i, F) -> (B, N) or (B, N, F) with zeros behind, and lengths (B,)."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    rest = sequences[0].shape[1:] if sequences else ()
    padded = np.zeros((len(sequences), int(lengths.max(initial=0)), *rest), np.float32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded, lengths


def length_mask(lengths: Integers, size: int) -> npt.NDArray[np.bool_]:
    """(B,) lengths -> (B, size), true at the positions that exist."""
    return np.arange(size) < lengths[:, None]


class FrontEnd:
    """Padded input and its lengths -> normalized features (B, T, F), zero behind each end, and theirs."""

    def __init__(self, config: FeaturesConfig, arrays: Arrays) -> None:
        """`arrays` hold the corpus' mean and deviation of each value."""
        self.config = config
        self.mean, self.deviation = arrays["features.mean"], arrays["features.deviation"]
        self._log_mel = LogMel(config) if isinstance(config, LogMelConfig) else None

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next."""
        if self._log_mel is not None:
            return self._log_mel.hop / self._log_mel.config.sample_rate
        return self.config.hop_seconds

    def __call__(self, inputs: npt.NDArray[Any], lengths: Integers) -> tuple[Float32, Integers]:
        """Sound (B, N) in [-1, 1], or frames (B, T, S), and lengths (B,) -> (B, T, F), (B,)."""
        if self._log_mel is not None:
            frames, counts = self._log_mel(inputs, lengths)
        else:
            assert isinstance(self.config, PrecomputedConfig)
            frames, counts = with_deltas(self.config, inputs.astype(np.float32), lengths), lengths
        mask = length_mask(counts, frames.shape[1])[..., None].astype(np.float32)  # (B, T, 1)
        if self.config.normalization == "corpus":
            frames -= self.mean
            frames /= self.deviation
        elif self.config.normalization == "utterance":
            count = counts[:, None, None].astype(np.float32)
            for _ in range(2):  # the second takes out what rounding has left of the mean
                frames -= (frames * mask).sum(1, keepdims=True) / count
            variance = (np.square(frames) * mask).sum(1, keepdims=True) / count
            frames /= np.sqrt(variance + EPSILON)
        frames *= mask
        return frames, counts


class LogMel:
    """Sound (B, N) -> log-mel frames (B, T, F), T = 1 + N // hop; natural logarithm, not normalized.

    Frame t is centered on sample t * hop and sees zeros beyond either end of the sound.
    """

    def __init__(self, config: LogMelConfig) -> None:
        self.config = config
        rate = config.sample_rate
        width = round(config.window_seconds * rate)
        self.hop = round(config.hop_seconds * rate)
        self.fft_size = 1 << (width - 1).bit_length()
        # A periodic Hann window, in float32 as in training: its rounding is all that weak bins differ by.
        angles = np.arange(width, dtype=np.float32) * np.float32(2 * np.pi / width)
        self.window = np.float32(0.5) - np.float32(0.5) * np.cos(angles)
        self.filters = mel_filters(config, self.fft_size // 2 + 1)

    def __call__(self, sound: npt.NDArray[Any], lengths: Integers) -> tuple[Float32, Integers]:
        """Sound (B, N), lengths in samples (B,) -> frames (B, T, F) and their numbers (B,)."""
        width, samples = len(self.window), sound.shape[1]
        before = self.fft_size // 2 - (self.fft_size - width) // 2
        padded = np.zeros((len(sound), samples + width), np.float32)
        inside = padded[:, before : before + samples]
        inside[:] = sound
        for row, length in zip(inside, lengths.tolist(), strict=True):
            row[length:] = 0.0
        if self.config.level:
            power = np.square(inside).sum(1, keepdims=True) / lengths[:, None].astype(np.float32)
            inside *= LEVEL / np.sqrt(np.maximum(power, EPSILON**2))
        windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)[:, :: self.hop]
        frames = np.empty((*windows.shape[:2], self.config.mels), np.float32)
        counts = lengths // self.hop + 1
        for of_row, result, count in zip(windows, frames, counts.tolist(), strict=True):
            self._energies(of_row[:count], result)
            result[count:] = 1.0  # is masked later
        np.log(np.maximum(frames, np.float32(self.config.floor), out=frames), out=frames)
        return frames, counts

    def _energies(self, windows: Float32, result: Float32) -> None:
        """Samples (T, width) -> the energies of their mel bins, in the first T rows of (.., F)."""
        bins = self.fft_size // 2 + 1
        padded = np.zeros((_BLOCK, self.fft_size), np.float32)
        spectrum, power = np.empty((_BLOCK, bins), np.complex64), np.empty((_BLOCK, bins), np.float32)
        parts = spectrum.view(np.float32)
        for first in range(0, len(windows), _BLOCK):
            block = windows[first : first + _BLOCK]
            count = len(block)
            np.multiply(block, self.window, out=padded[:count, : len(self.window)])
            np.fft.rfft(padded[:count], out=spectrum[:count])  # type: ignore[arg-type]  # complex64 of float32
            np.square(parts[:count], out=parts[:count])
            np.add(parts[:count, ::2], parts[:count, 1::2], out=power[:count])
            np.matmul(power[:count], self.filters, out=result[first : first + count])


def mel_filters(config: LogMelConfig, bins: int) -> Float32:
    """Triangles of equal width on the mel scale of HTK, of height 1: (bins, F)."""
    rate = config.sample_rate

    def mel(hertz: float) -> float:
        return float(2595 * np.log10(1 + hertz / 700))

    edges = np.linspace(mel(config.low_hertz), mel(config.high_hertz or rate // 2), config.mels + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    slopes = hertz - np.linspace(0, rate // 2, bins)[:, None]  # (bins, F + 2)
    widths = np.diff(hertz)
    triangles = np.minimum(-slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:])
    return np.maximum(triangles, 0).astype(np.float32)


def with_deltas(config: PrecomputedConfig, frames: Float32, lengths: Integers) -> Float32:
    """Frames (B, T, S) -> (B, T, S * (1 + deltas)).

    Each order of deltas is the slope of a line fitted to the order below over 2 * delta_width + 1 frames
    (Young et al., The HTK Book, section 5.9); before the first frame and after the last these are repeated.
    """
    orders, steps = [frames], range(1, config.delta_width + 1)
    time, last = np.arange(frames.shape[1]), (lengths - 1)[:, None]  # (B, 1)
    scale = np.float32(2 * sum(step**2 for step in steps))

    def at(shift: int) -> Float32:
        places = np.minimum(np.maximum(time + shift, 0), last)  # (B, T)
        return np.take_along_axis(orders[-1], places[..., None], axis=1)

    for _ in range(config.deltas):
        slope = sum((np.float32(step) * (at(step) - at(-step)) for step in steps), np.float32(0))
        orders.append(np.asarray(slope / scale, np.float32))
    return np.concatenate(orders, axis=2)
