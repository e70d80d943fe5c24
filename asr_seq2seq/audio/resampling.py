"""Change the sampling rate of a waveform that comes block by block, by soxr (HQ)."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

_REACH = 256  # samples at the lower rate; measured, twice that of the HQ filter
Samples = npt.NDArray[np.float32]


def resample(parts: Iterable[Samples], rate: int, sample_rate: int) -> Iterator[Samples]:
    """Change the rate of blocks (N_i,) or (N_i, channels) from ``rate`` to ``sample_rate``, both in Hz.

    The blocks are those of one waveform: N samples at ``rate`` become ceil(N * sample_rate / rate), and
    where they are cut makes no difference.
    """
    if rate == sample_rate:
        yield from parts
        return
    common = math.gcd(rate, sample_rate)
    old, new = rate // common, sample_rate // common
    stream, given, made, empty = None, 0, 0, None
    for part in parts:
        if stream is None:
            channels = 1 if part.ndim == 1 else part.shape[1]
            stream = soxr.ResampleStream(rate, sample_rate, channels, dtype="float32", quality="HQ")
            empty = part[:0]
        given += len(part)
        chunk = stream.resample_chunk(part)
        made += len(chunk)
        if len(chunk):
            yield chunk
    if stream is None or empty is None:
        return
    missing = math.ceil(given * new / old) - made
    rest = stream.resample_chunk(empty, last=True)[: max(0, missing)]
    padding = [(0, missing - len(rest))] + [(0, 0)] * (rest.ndim - 1)
    if missing > 0:
        yield np.pad(rest, padding)


def margin(rate: int, sample_rate: int) -> int:
    """How many samples at ``rate`` beside it a resampled one depends on, at most."""
    return 0 if rate == sample_rate else math.ceil(_REACH * max(1.0, rate / sample_rate))
