"""Samples that an application already holds, all of them or block by block, as a waveform."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.channels import mix
from asr_seq2seq.audio.checks import RATES, Samples, check_rate, checked
from asr_seq2seq.audio.parts import check_part, part_of
from asr_seq2seq.audio.resampling import resample
from asr_seq2seq.errors import AudioError


def from_samples(
    samples: npt.ArrayLike, rate: int, sample_rate: int, *, channel: int | None = None
) -> Samples:
    """Make a waveform, as :func:`load` does, of samples that an application already holds.

    Args:
        samples: (N,), (channels, N) or (N, channels), where the shorter axis is the channels, under 16.
            Floating point has full scale at 1.0; integers of 8 to 32 bits are scaled by their full range.
        rate: the rate of ``samples``, in Hz.
        sample_rate: the rate wanted, in Hz.
        channel: take this channel alone, counted from 0.

    Raises an ``AudioError`` for a shape or type that is no sound and for samples that :func:`load` refuses.
    """
    return np.concatenate(list(from_blocks([samples], rate, sample_rate, channel=channel)))


def from_blocks(
    parts: Iterable[npt.ArrayLike],
    rate: int,
    sample_rate: int,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> Iterator[Samples]:
    """The same for samples that come part by part, as from a microphone.

    Where to begin, and how much to take, are `offset` and `duration` in seconds.
    """
    name = "the array of samples"
    check_part(offset, duration)
    if rate not in RATES:
        raise AudioError(f"{name} cannot have {rate} samples a second: give the rate it was recorded at")
    check_rate(sample_rate)
    frames = (_frames(part, name) for part in parts)
    waveform = resample(mix(frames, int(rate), name, channel), int(rate), sample_rate)
    yield from checked(part_of(waveform, offset, duration, sample_rate, name), sample_rate, name)


def _frames(samples: npt.ArrayLike, name: str) -> Samples:
    """What an application holds as (N, channels)."""
    array = _array(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 0 < min(array.shape) < 16):
        wanted = "give (N,), (channels, N) or (N, channels), with 1 to 15 channels"
        raise AudioError(f"{name} has the shape {array.shape}: {wanted}")
    array = array if array.ndim == 2 and array.shape[0] >= array.shape[1] else np.atleast_2d(array).T
    kind, bits = array.dtype.kind, array.dtype.itemsize * 8
    if kind not in "fiu" or (kind in "iu" and bits > 32):
        raise AudioError(f"{name} is of type {array.dtype}: give floats or integers of 8, 16 or 32 bits")
    if kind in "iu":
        array = array / 2.0 ** (bits - 1) - (1.0 if kind == "u" else 0.0)
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused as that
        frames: Samples = array.astype(np.float32)  # a copy: the caller's may be read-only, or change
    return frames


def _array(samples: Any) -> npt.NDArray[Any]:
    """The array of what NumPy takes, and of a tensor of PyTorch's, which is not imported for that."""
    if hasattr(samples, "detach"):
        samples = samples.detach().cpu()
        samples = (samples.float() if str(samples.dtype) == "torch.bfloat16" else samples).numpy()
    return np.asarray(samples)
