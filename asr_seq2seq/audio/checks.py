"""What a sound must be, on every road to one, and the errors that say that it is not."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from asr_seq2seq.errors import AudioError, SilentAudioError

MINIMUM_SECONDS = 0.025  # one analysis window of the features
LOUDEST = 1e6  # times full scale; its power, and that of a batch with it, would overflow
RATES = range(1_000, 1_000_001)  # Hz; what else a header claims is not believed
CHANNELS = range(1, 65)
BLOCK_VALUES = 1 << 20  # samples times channels that are read at a time

Samples = npt.NDArray[np.float32]


def check_rate(sample_rate: int) -> None:
    """Raise an AudioError where sound is wanted at a rate that it cannot be had at."""
    if sample_rate not in RATES:
        rates = f"{RATES[0]:,} to {RATES[-1]:,} Hz"
        raise AudioError(f"sound cannot be had at {sample_rate} samples a second: give {rates}")


def check_shape(name: str, rate: int, channels: int) -> None:
    """Raise an AudioError where a header claims an absurd rate or number of channels."""
    if rate not in RATES:
        raise AudioError(f"{name} claims {rate} samples a second: its header is damaged")
    if channels not in CHANNELS:
        raise AudioError(f"{name} claims {channels} channels: 1 to {CHANNELS[-1]} can be read")


def damaged(name: str) -> AudioError:
    """The error of a sound that stops making sense somewhere."""
    return AudioError(f"{name} is damaged or cut short: copy or convert it again")


def cut_short(name: str, promised: float, there: float) -> AudioError:
    """The error of a sound of which the header promises more seconds than are there."""
    found = f"{promised:.2f} s of sound and {there:.2f} s are there"
    return AudioError(f"{name} is cut short (its header promises {found}): copy it again")


def checked(parts: Iterable[Samples], sample_rate: int, name: str) -> Iterator[Samples]:
    """Pass mono blocks (N_i,) on; an AudioError where a sample, or all of them, cannot be used."""
    count, silent = 0, True
    for samples in parts:
        if not (np.abs(samples) <= LOUDEST).all():  # false for NaN as well
            why = "samples that are NaN, infinite or absurdly large"
            raise AudioError(f"{name} holds {why}: export it again")
        count += len(samples)
        silent = silent and not samples.any()
        if len(samples):
            yield samples
    if not count:
        raise AudioError(f"{name} holds no samples: record or convert it again")
    if count < math.floor(MINIMUM_SECONDS * sample_rate):
        short = f"too short ({1000 * count / sample_rate:.1f} ms of sound)"
        raise AudioError(f"{name} is {short}: at least {1000 * MINIMUM_SECONDS:g} ms are needed")
    if silent:
        why = "only digital silence (all samples are zero)"
        raise SilentAudioError(f"{name} holds {why}: check the recording")


def gathered(parts: Iterable[Samples]) -> Iterator[Samples]:
    """Join small blocks (N_i, channels) of as many channels to larger ones."""
    held: list[Samples] = []
    count = 0
    for part in parts:
        held.append(part)
        count += part.size
        if count >= BLOCK_VALUES // 8:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)


def zeros(count: int, channels: int) -> Iterator[Samples]:
    """``count`` samples of silence (N_i, channels), in blocks."""
    most = max(1, BLOCK_VALUES // channels)
    for at in range(0, count, most):
        yield np.zeros((min(most, count - at), channels), dtype=np.float32)
