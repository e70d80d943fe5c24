"""The part of each sound that `--start` and `--end` choose."""

from __future__ import annotations

import re
from typing import NamedTuple

from asr_seq2seq.errors import ConfigError, brief

_LATEST = 1e8  # seconds, three years
_TIME = re.compile(r"(?:(?:(\d{1,5}):)?(\d{1,6}):)?(\d{1,9}(?:[.,]\d{1,9})?)", re.ASCII)


class Part(NamedTuple):
    """From `start` to `end`, in seconds of the sound; `end` is None for the end of the sound."""

    start: float = 0.0
    end: float | None = None

    def seconds(self, whole: float) -> float:
        """How much of a sound of so many seconds it is; 0 where that is not known."""
        return max(0.0, (whole if self.end is None else min(whole, self.end)) - self.start)


def parse_part(start: str | None, end: str | None) -> Part:
    """The part between two times as they are typed; ConfigError where it is none.

    >>> parse_part("1:30", "01:02:03.5")
    Part(start=90.0, end=3723.5)
    """
    begin = 0.0 if start is None else _seconds("--start", start)
    stop = None if end is None else _seconds("--end", end)
    if stop is not None and stop <= begin:
        raise ConfigError(f"--end {end} is not after --start {start or 0}: give a later end")
    return Part(begin, stop)


def _seconds(option: str, text: str) -> float:
    found = _TIME.fullmatch(text.strip())
    if found:
        hours, minutes, seconds = found[1], found[2], float(found[3].replace(",", "."))
        fits = (minutes is None or seconds < 60) and (hours is None or int(minutes) < 60)
        total = int(hours or 0) * 3600 + int(minutes or 0) * 60 + seconds
        if fits and total < _LATEST:
            return total
    raise ConfigError(f"{option} {brief(text)}: give seconds, such as 90.5, or [HH:]MM:SS, such as 01:30.5")
