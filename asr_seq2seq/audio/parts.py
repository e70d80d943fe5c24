"""A part of a waveform, by its beginning and its length in seconds."""

from collections.abc import Iterator
from itertools import chain

from asr_seq2seq.audio.checks import Samples
from asr_seq2seq.errors import AudioError

_LONGEST = 1e9  # seconds; no sound is 30 years long


def check_part(offset: float, duration: float | None) -> None:
    """AudioError where a part is none that a sound can have."""
    if not (0 <= offset < _LONGEST and 0 < (1 if duration is None else duration) < _LONGEST):
        raise AudioError(f"cannot read {duration} s from {offset} s: give an offset >= 0 and a duration > 0")


def sample_count(duration: float | None, sample_rate: int) -> int | None:
    """How many samples last so many seconds, at least one; None for all that there are."""
    return None if duration is None else max(1, round(duration * sample_rate))


def skipped(parts: Iterator[Samples], first: int, count: int | None = None) -> Iterator[Samples]:
    """Without the ``first`` samples, and at most ``count`` of the others; blocks (N_i,), N_i > 0."""
    for part in parts:
        wanted = part[first:][:count]
        first = max(0, first - len(part))
        if len(wanted):
            yield wanted
        if count is not None and (count := count - len(wanted)) <= 0:
            return


def beyond_end(name: str, offset: float, end: float) -> AudioError:
    """The error of a part that is to begin where there is no sound any more."""
    return AudioError(
        f"{name} ends at {end:.3f} s, before the part that begins at {offset:g} s: give an earlier beginning"
    )


def part_of(
    parts: Iterator[Samples], offset: float, duration: float | None, sample_rate: int, name: str
) -> Iterator[Samples]:
    """Blocks (N_i,) of a waveform from ``offset`` seconds on, for ``duration`` seconds or to its end."""
    if not offset and duration is None:
        yield from parts
        return
    length = 0

    def counted() -> Iterator[Samples]:
        nonlocal length
        for part in parts:
            length += len(part)
            yield part

    first = round(offset * sample_rate)
    wanted = skipped(counted(), first, sample_count(duration, sample_rate))
    ahead = next(wanted, None)
    if ahead is None and first:
        raise beyond_end(name, offset, length / sample_rate)
    yield from wanted if ahead is None else chain([ahead], wanted)
