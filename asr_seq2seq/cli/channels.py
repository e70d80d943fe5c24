"""What `--channel` makes of the inputs of `transcribe`: one channel of each, or each of its channels."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from asr_seq2seq.errors import AsrError, ConfigError

if TYPE_CHECKING:
    from asr_seq2seq.cli.part import Part
    from asr_seq2seq.transcript import Transcript

_MOST = 1024  # channels that any format has


class Input(NamedTuple):
    """A sound: its name, how results call it, where these go, its channel from 0, what is to be read."""

    name: str
    shown: str
    stem: str
    channel: int | None
    source: str | bytes


def by_channel(inputs: Iterable[tuple[str, str]], choice: str | None) -> list[Input]:
    """Names and output stems -> what to transcribe; `choice` is a number from 1, `all`, or None.

    The results of a channel are called `NAME channel 2` and `STEM.channel2`. ConfigError for other choices.
    A sound whose channels cannot be counted is given as it is: what is wrong is told where it is read.
    """
    if choice is None:
        return [Input(name, name, stem, None, name) for name, stem in inputs]
    number = int(choice) if choice.isascii() and choice.isdecimal() and len(choice) < 6 else 0
    if choice != "all" and not 1 <= number <= _MOST:
        raise ConfigError(f"--channel {choice}: give the number of a channel, the first is 1, or all")
    if choice != "all":
        return [_one(name, stem, number - 1, name) for name, stem in inputs]
    from asr_seq2seq.audio import channel_count

    found = []
    for name, stem in inputs:
        source = sys.stdin.buffer.read() if name == "-" else name  # it is read once for each channel
        try:
            count = channel_count(source)
        except AsrError:
            found.append(Input(name, name, stem, None, source))
        else:
            found += [_one(name, stem, channel, source) for channel in range(count)]
    return found


def silent_channel(one: Input, part: Part) -> Transcript:
    """The transcript of a channel that is silent where others may not be: no text, and all of it left out."""
    from asr_seq2seq.audio import duration
    from asr_seq2seq.transcript import Transcript

    seconds = part.seconds(duration(one.source))
    dropped = (part.start, part.start + seconds)
    return Transcript("", (), None, seconds, (dropped,), one.channel, part.start)


def _one(name: str, stem: str, channel: int, source: str | bytes) -> Input:
    return Input(name, f"{name} channel {channel + 1}", f"{stem}.channel{channel + 1}", channel, source)
