"""One sound of one file, whichever library reads it, and of files that were put one behind the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from asr_seq2seq.audio.checks import Samples
from asr_seq2seq.audio.headers import first_part, mend, next_part
from asr_seq2seq.audio.libsndfile import LibsndfileSound
from asr_seq2seq.audio.resampling import resample
from asr_seq2seq.audio.source import SoundFile
from asr_seq2seq.errors import AudioError

if TYPE_CHECKING:
    from asr_seq2seq.audio.container import ContainerSound


class Sound:
    """The sound of a file: its ``rate`` in Hz, and its ``length`` in samples once it is read to its end."""

    def __init__(self, name: str, file: SoundFile) -> None:
        """Open a file; an AudioError where it is no sound."""
        self.name, self.file = name, file
        self._first = _open(name, file)
        self.rate = self._first.rate
        self.length: int | None = None

    @property
    def frames(self) -> int | None:
        """The number of samples, where the header tells it and no other file follows."""
        known = isinstance(self._first, LibsndfileSound) and next_part(self.file.part(0, None)) is None
        return self._first.frames if known and isinstance(self._first, LibsndfileSound) else None

    def read(self, start: int, stop: int | None) -> Iterator[Samples]:
        """Blocks (N_i, channels) from sample ``start`` to ``stop``; it can be done once."""
        part, file, begin = self._first, self.file, 0
        while True:
            first, last = max(0, start - begin), None if stop is None else stop - begin
            if part.rate == self.rate:
                yield from part.read(first, last)
                length = part.length
            else:
                length = 0
                for block in resample(part.read(0, None), part.rate, self.rate):
                    wanted = block[max(0, first - length) : None if last is None else max(0, last - length)]
                    length += len(block)
                    if len(wanted):
                        yield wanted
            if length is None:  # it was left before its end
                return
            begin += length
            if stop is not None and begin >= stop:
                return
            place = next_part(file)
            if place is None:
                self.length = begin
                return
            file = file.part(place, None)
            part = _open(self.name, file)


def _open(name: str, file: SoundFile) -> LibsndfileSound | ContainerSound:
    head = file.at(0, 4)
    file = first_part(file)
    share = mend(file)
    for_ffmpeg = head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")  # MP3, AAC
    try:
        if for_ffmpeg:
            raise ValueError("libsndfile reads no further than the first tag says")
        return LibsndfileSound(name, file, share)
    except ValueError:
        pass
    from asr_seq2seq.audio.container import ContainerSound  # which is needed for few files

    try:
        return ContainerSound(name, file, share)
    except ValueError:
        pass
    try:
        return LibsndfileSound(name, file, share, every=True)
    except ValueError:
        raise AudioError(f"{name} is nothing that can be read as sound: give a sound or video file") from None
